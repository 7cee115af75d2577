"""Processes that make clips; simulator and ray tracer are imported there, not here."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def make_all(items: Sequence[Item], make: Callable[[Item], Result], workers: int, device: str) -> Iterator[Result]:
    """Map `make` over items with several processes; results come in any order.

    Where it is left early, what is being made is finished and no more is begun.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(make, items)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads of torch and of PyAV in any state
    pool = ProcessPoolExecutor(workers, context, _start_worker, (device,))
    try:
        waiting = [pool.submit(make, item) for item in items[1:]]
        yield make(items[0])  # in this process: the ray tracer is compiled once, and the workers find it in the cache
        for done in as_completed(waiting):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(device: str) -> None:
    """Load what takes long while the first clip is made.

    Ctrl-C, a closed terminal and being told to end are for the process that started the workers: it lets them finish. A
    handler that raised would do so anywhere, in the midst of a lock too. Where that process is gone, they end.
    """
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import_module("tenku.world.clip")
    if device == "cuda":
        import_module("tenku.world.cuda")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
