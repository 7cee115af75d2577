"""Cores, memory and malloc settings; the device that is chosen."""

import ctypes
from types import SimpleNamespace

import torch

from tenku.system.device import choose_device
from tenku.system.machine import available_memory, keep_freed_memory, total_memory, usable_cores


def test_cores_and_memory():
    assert usable_cores() >= 1
    assert 0 < available_memory() <= total_memory()


def test_the_accelerator_is_chosen_where_there_is_one(monkeypatch):
    assert choose_device("cpu") == torch.device("cpu")
    for found in (None, torch.device("mps"), torch.device("cuda")):
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available, found=found: found)
        assert choose_device() == choose_device("auto") == (found or torch.device("cpu"))


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    keep_freed_memory()
