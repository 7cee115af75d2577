"""The examples run as they stand, on almost nothing."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tenku.media.clip import Clip

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *arguments: str | Path) -> str:
    """What an example prints. It runs in a process of its own, with this checkout's package."""
    path = os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f'run("{path.name}"' not in tests] == []


def test_generate(tiny_folder: Path, tmp_path: Path) -> None:
    said = run("generate.py", "--model", tiny_folder, "--out", tmp_path / "made", "--seconds", "0.5", "--steps", "1")
    assert "neon: 8 frames of 64x64" in said and "ball: 8 frames" in said and "球" in said
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "ball.mp4",
        "ball.png",
        "neon.mp4",
        "neon.png",
    ]


def test_edit(tiny_folder: Path, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), np.uint8)
    Clip(frames, 16).save(tmp_path / "own.mp4")
    given = ("--model", tiny_folder, "--out", tmp_path / "made", "--seconds", "0.5", "--steps", "1")
    said = run("edit.py", tmp_path / "own.mp4", "a red ball drops onto the ice", *given)
    assert said.count("of 1.00") == 3
    lengths = {path.stem: Clip.load(path).num_frames for path in (tmp_path / "made").glob("*.mp4")}
    assert lengths == {"animated": 8, "extended": 32, "looped": 24}


def test_train(tiny_folder: Path, tmp_path: Path) -> None:
    given = ("--clips", "8", "--size", "64", "--frames", "8", "--autoencoder", tiny_folder)
    assert "8 frames of 64x64" in run("train.py", "--out", tmp_path, *given)
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 8
    clip = Clip.load(tmp_path / "sample.mp4")
    assert clip.metadata["prompt"].startswith("A red ball") and clip.size == (64, 64)
