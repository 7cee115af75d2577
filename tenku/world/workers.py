"""A pool of processes that make clips; simulator and ray tracer are imported there, not here."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def make_all(items: Sequence[Item], make: Callable[[Item], Result], workers: int, device: str) -> Iterator[Result]:
    """Map `make` over items with several processes; results come in any order."""
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(make, items)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads of torch and of PyAV in any state
    with context.Pool(workers, _start_worker, (device,)) as pool:
        yield make(items[0])  # in this process: the ray tracer is compiled once, and the workers find it in the cache
        yield from pool.imap_unordered(make, items[1:])


def _start_worker(device: str) -> None:
    """Load what takes long while the first clip is made.

    Ctrl-C and a closed terminal are for the process that started the workers. Told to end, one lets go of what it holds
    before: the others, and the end of the pool, wait for the queue's lock.
    """
    for number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    import_module("tenku.world.clip")
    if device == "cuda":
        import_module("tenku.world.cuda")
