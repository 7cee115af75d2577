"""Clips and model settings keep what they are given and refuse what they cannot be."""

import subprocess
import sys

import numpy as np
import pytest

import tenku
from tenku.media.clip import Clip, as_text
from tenku.model.settings import ModelSettings, SamplingParams

FRAMES = np.linspace(0, 255, 8 * 32 * 48 * 3).reshape(8, 32, 48, 3).astype(np.uint8)


def test_numbers_of_numpy_are_numbers(tmp_path):
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    Clip(frames, np.float32(16), {"a": np.int64(1), "b": np.float32(0.5)}).save(tmp_path / "a.mp4")
    clip = Clip.load(tmp_path / "a.mp4")
    assert (clip.fps, clip.metadata["a"], clip.metadata["b"]) == (16, "1", "0.5")
    for fps in ("many", None):
        with pytest.raises(ValueError, match="fps must be a number"):
            Clip(frames, fps)
    with pytest.raises(ValueError, match="frames must be"):
        Clip(np.zeros((2, 0, 4, 3), np.uint8), 16)


def test_properties():
    clip = tenku.Clip(FRAMES, 16)
    assert (clip.seconds, clip.size, clip.metadata) == (0.5, (48, 32), {})


@pytest.mark.parametrize(
    "frames, fps",
    [
        (FRAMES[0], 16),
        (FRAMES.astype(np.float32), 16),
        (FRAMES[..., :1], 16),
        (FRAMES[:0], 16),
        (FRAMES, 0),
        (FRAMES, np.nan),
    ],
)
def test_not_a_clip(frames, fps):
    with pytest.raises(ValueError, match="must be"):
        Clip(frames, fps)


def test_a_saved_clip_comes_back_with_its_metadata(tmp_path):
    clip = Clip(FRAMES, 16, {"prompt": "红球 🎉 “x”; y=z", "seed": 2**40, "guidance": 3.5, "cards": [{"at": 0.1}]})
    clip.save(tmp_path / "a.mp4")
    loaded = Clip.load(tmp_path / "a.mp4")
    assert loaded.fps == 16 and loaded.frames.shape == FRAMES.shape
    assert np.abs(loaded.frames.astype(int) - FRAMES).mean() < 6
    for key, value in as_text(clip.metadata).items():
        assert loaded.metadata[key] == value


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png", ".PNG"])
def test_other_formats(tmp_path, ending):
    Clip(FRAMES, 16).save(tmp_path / f"a{ending}")
    assert (tmp_path / f"a{ending}").stat().st_size > 100
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["a.avi", "a", "a.mp4.exe"])
def test_unknown_endings(tmp_path, name):
    with pytest.raises(ValueError, match="should end in .mp4, .gif, .webp or .png"):
        Clip(FRAMES, 16).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_settings_round_trip(tmp_path):
    settings = ModelSettings("x", 24, ((64, 64), (96, 64)), 33, SamplingParams(5, 2.5, 4.0, guidance_rescale=0.7))
    settings.save(tmp_path)
    assert ModelSettings.load(tmp_path) == settings


def test_importing_tenku_loads_nothing_heavy():
    code = "import sys, tenku; print([m for m in ('torch', 'numpy', 'av') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_unknown_names():
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = tenku.lode
