"""A pipeline whose network is compiled; the graphs are run op by op, as compiling them takes a minute."""

import numpy as np
import pytest
import torch
from tiny_wan import write_pipeline

import tenku
from tenku.cli import main
from tenku.sample.pipeline import Pipeline
from tenku.wan.memory_plan import MemoryPlan


@pytest.fixture
def traced(monkeypatch):
    """The modules that were compiled."""
    compile_it, modules = torch.nn.Module.compile, []

    def noted(module, **how):
        modules.append(module)
        compile_it(module, backend="eager", **how)

    monkeypatch.setattr(torch.nn.Module, "compile", noted)
    return modules


def test_the_shipped_model_makes_the_same_video(traced):
    options = {"seconds": 1, "steps": 2, "seed": 1}
    plain = tenku.load("embedded").generate("a red ball", **options).frames.astype(int)
    pipeline = tenku.load("embedded")
    pipeline.compile()
    assert traced == list(pipeline.transformer.blocks)
    made = pipeline.generate("a red ball", **options).frames.astype(int)
    assert np.abs(made - plain).mean() < 1 and np.abs(made - plain).max() < 64  # bf16 in another order
    assert pipeline.generate("a blue ball", seconds=2, steps=1).num_frames == 32


@pytest.mark.parametrize("weights", ["bf16", "int8"])
def test_both_experts_are_compiled(tmp_path, traced, weights):
    folder = write_pipeline(tmp_path / "a14b", "a14b")
    plain, compiled = (Pipeline.load(folder, device="cpu", plan=MemoryPlan(weight_dtype=weights)) for _ in range(2))
    compiled.compile()
    assert len(traced) == 4
    options = {"seconds": 9 / plain.settings.fps, "size": (64, 64), "steps": 3, "seed": 1}
    a, b = (each.generate("a dog run", **options).frames.astype(int) for each in (plain, compiled))
    assert np.abs(a - b).mean() < 2


def test_what_cannot_be_compiled_is_said(tmp_path, monkeypatch, capsys):
    streamed = Pipeline.load(write_pipeline(tmp_path / "2.1", "2.1"), device="cpu", plan=MemoryPlan(block_offload=True))
    with pytest.raises(ValueError, match="streamed from main memory are not compiled"):
        streamed.compile()
    capsys.readouterr()
    monkeypatch.setenv("CXX", "no-such-compiler")
    out = tmp_path / "a.mp4"
    assert main(["generate", "a ball", "--compile", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "install g++, or leave out --compile" in error and error.count("\n") == 1
    assert not out.exists()


def test_the_command_compiles(tmp_path, traced):
    options = ["--steps", "1", "--seconds", "0", "--out", str(tmp_path / "a.png")]
    assert main(["generate", "a ball", *options, "--compile"]) == 0
    assert len(traced) == len(tenku.load("embedded").transformer.blocks)
