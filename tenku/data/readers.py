"""Read clips in a background thread or in worker processes, ahead of the work that needs them."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def start_readers(device: str) -> Executor:
    """One thread beside a CPU, whose cores have work; a process for each core beside a GPU.

    There threads would wait for each other, and the thread that feeds the GPU for them.
    """
    if device == "cpu":
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(
        len(os.sched_getaffinity(0)), multiprocessing.get_context("spawn"), initializer=leave_interrupts
    )


def leave_interrupts() -> None:
    """Ctrl-C, and being told to end, are for the process that started the readers, which ends them."""
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, signal.SIG_IGN)


def read_ahead(
    readers: Executor, read: Callable[[Item], Result], items: Iterable[Item], count: int
) -> Iterator[tuple[Item, Future[Result]]]:
    """Each item with what `read` gives of it, in order; `count` of them are read while the caller works."""
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    for item in items:
        waiting.append((item, readers.submit(read, item)))
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting
