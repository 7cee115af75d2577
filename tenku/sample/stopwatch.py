"""How long each stage of a generation takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def stopwatch(stages: dict[str, float], stage: str) -> Iterator[None]:
    """Seconds that a block takes, its work on a GPU included, added to those of its stage."""
    start = time.perf_counter()
    yield
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    stages[stage] = stages.get(stage, 0.0) + time.perf_counter() - start
