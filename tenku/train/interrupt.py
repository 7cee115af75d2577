"""Handle SIGINT, SIGTERM and SIGHUP between two training steps, never within one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, SIGTERM and a closed terminal set a flag, which the block asks for between two steps.

    A second one interrupts at once. With `nohup` a terminal may close.
    """
    received = threading.Event()

    def note(*_: Any) -> None:
        if received.is_set():
            raise KeyboardInterrupt
        received.set()

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield received.is_set
        return
    hangup = getattr(signal, "SIGHUP", signal.SIGTERM)
    left_alone = {hangup} if signal.getsignal(hangup) == signal.SIG_IGN else set()
    heard = {signal.SIGINT, signal.SIGTERM, hangup} - left_alone
    former = {number: signal.signal(number, note) for number in heard}
    try:
        yield received.is_set
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
