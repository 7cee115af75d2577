import os
import stat
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file

from tenku.model.weights import save_module
from tenku.system.files import read_json, write_json, write_tensors


@dataclass
class Config:
    width: int = 2


def test_json_is_replaced_whole(tmp_path):
    path = tmp_path / "manifest.json"
    write_json(path, {"a": "天空"})
    assert "天空" in path.read_text(encoding="utf-8")
    write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifest.json"]
    path.write_text("{")
    with pytest.raises(ValueError, match="manifest.json is not JSON"):
        read_json(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "state.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}


def test_views_and_shared_memory_are_written_as_they_look(tmp_path):
    numbers = torch.arange(6.0).view(2, 3)
    write_tensors(tmp_path / "x.safetensors", {"plain": numbers, "turned": numbers.T, "part": numbers[:, 1:]})
    loaded = load_file(tmp_path / "x.safetensors")
    assert torch.equal(loaded["turned"], numbers.T) and torch.equal(loaded["part"], numbers[:, 1:])


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o002])
def test_files_may_be_read_by_whom_the_umask_lets(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_tensors(tmp_path / "latents.safetensors", {"latents": torch.zeros(2)})
        write_json(tmp_path / "manifest.json", {})
        save_module(torch.nn.Linear(2, 2), Config(), tmp_path / "model")
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o666 & ~mask}
