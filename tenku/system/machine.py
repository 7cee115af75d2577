"""CPU cores and memory of this machine, and malloc settings of this process."""

import ctypes
import os
import sys
from pathlib import Path

# glibc's mallopt: parameters by their numbers in malloc.h, and what they are set to.
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
KEPT_BYTES, LARGEST_KEPT = 1 << 30, 32 << 20


def install_command(extra: str) -> str:
    """The command that installs an extra here: in a checkout of the repository, or of the package."""
    is_checkout = (Path(__file__).parents[2] / "pyproject.toml").is_file()
    return f'pip install -e ".[{extra}]"' if is_checkout else f'pip install "tenku[{extra}]"'


def usable_cores() -> int:
    """CPU cores this process may use (its affinity), which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def total_memory() -> int:
    """Bytes of main memory."""
    import psutil  # takes as long to import as some commands run

    return psutil.virtual_memory().total


def available_memory() -> int:
    """Bytes of main memory that a new process can take without swapping."""
    import psutil

    return psutil.virtual_memory().available


def keep_freed_memory() -> None:
    """Raise glibc's malloc thresholds, so that this process keeps up to 1 GiB that it freed for its next allocations.

    A network on a CPU frees and allocates the same few megabytes at every layer, and the kernel zeroes each page again
    that it hands out. Buffers of more than 32 MiB still go back. It holds for the whole process from then on, whose
    threads share one arena, those aside that have their own already. Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((ARENA_MAX, 1), (MMAP_THRESHOLD, LARGEST_KEPT), (TRIM_THRESHOLD, KEPT_BYTES)):
            mallopt(parameter, value)
