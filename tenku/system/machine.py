"""What this machine has, cores and memory, and how this process uses it."""

import ctypes
import os
import sys
from pathlib import Path

# glibc's mallopt: parameters by their numbers in malloc.h, and what they are set to.
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
KEPT_BYTES, LARGEST_KEPT = 1 << 30, 32 << 20


def usable_cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def total_memory() -> int:
    """Bytes of memory, 0 when it cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def available_memory() -> int:
    """Bytes that a new process may take, 0 when it cannot be told."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        values = dict(line.split(":", 1) for line in lines)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0


def keep_freed_memory() -> None:
    """Let this process keep up to 1 GiB that it freed instead of giving it back to the system at once.

    A network on a CPU frees and asks for the same few megabytes at every layer, and the system zeroes each page again
    that it hands out. Buffers of more than 32 MiB still go back. It holds for the whole process from then on, whose
    threads share one arena of memory, those aside that have their own already. Does nothing where the C library is not
    glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((ARENA_MAX, 1), (MMAP_THRESHOLD, LARGEST_KEPT), (TRIM_THRESHOLD, KEPT_BYTES)):
            mallopt(parameter, value)
