"""What the process asks of the system's memory."""

import ctypes
from types import SimpleNamespace

from tenku.system.machine import available_memory, keep_freed_memory, total_memory, usable_cores


def test_cores_and_memory_can_be_told():
    assert usable_cores() >= 1 and 0 < available_memory() <= total_memory()


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    keep_freed_memory()
