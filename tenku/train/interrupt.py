"""Ctrl-C and being told to end: between two steps, never within one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, SIGTERM and a closed terminal set a flag, which the block asks for between two steps.

    A second one interrupts at once. What is ignored, as with `nohup`, stays so.
    """
    received = threading.Event()

    def note(*_: Any) -> None:
        if received.is_set():
            raise KeyboardInterrupt
        received.set()

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield received.is_set
        return
    numbers = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
    heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    former = {number: signal.signal(number, note) for number in heard}
    try:
        yield received.is_set
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
