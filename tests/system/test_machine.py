"""What the process asks of the system's memory."""

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tenku.system.machine import keep_freed_memory

PAGE_FAULTS = """
import resource
import torch
from tenku.machine import keep_freed_memory

torch.set_num_threads(1)
if {kept}:
    keep_freed_memory()

def layers():
    for _ in range(50):
        x = torch.ones(2_000_000)
        x = x + (x * 2)

for _ in range(4):  # until the heap has the room that it needs
    layers()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
layers()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_memory_that_was_freed_is_not_asked_for_again():
    # Left to itself the C library moves its threshold as memory is freed, and at times asks for no more either.
    fixed = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"}

    def faults(kept: bool) -> int:
        command = [sys.executable, "-c", PAGE_FAULTS.format(kept=kept)]
        return int(subprocess.run(command, env=fixed, capture_output=True, text=True, check=True).stdout)

    assert faults(True) < faults(False) / 4


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    keep_freed_memory()
