"""Ctrl-C and being told to end: between two steps, never within one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM set a flag, which the block asks for between two steps; a second one interrupts at once."""
    received = threading.Event()

    def note(*_: Any) -> None:
        if received.is_set():
            raise KeyboardInterrupt
        received.set()

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield received.is_set
        return
    former = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received.is_set
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
