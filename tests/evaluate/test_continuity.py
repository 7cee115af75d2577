"""A seam and a drift are seen where there is one, and not where there is none."""

import json

import numpy as np
import pytest

from tenku.cli import main
from tenku.evaluate.continuity import drift, seam
from tenku.types import Clip


def moving(frames=48, step=2):
    """A bright square that walks on a torus."""
    video = np.full((frames, 32, 64, 3), 40, np.uint8)
    for index in range(frames):
        columns = (np.arange(12) + step * index) % 64
        video[index, 8:20, columns] = (220, 60, 60)
    return video


def test_no_seam_is_one():
    video = moving(32)  # 64 pixels: it ends where it began
    assert seam(video, loop=True) == pytest.approx(1)
    assert seam(video, [5, 20]) == pytest.approx(1)


def test_a_jump_is_seen():
    video = np.concatenate([moving(20), moving(20)[:, :, ::-1]])
    assert seam(video, [20]) > 3
    assert seam(moving(20), loop=True) > 3
    with pytest.raises(ValueError, match="a joint lies between frames 1 and 39, not at 40"):
        seam(video, [40])
    with pytest.raises(ValueError, match="name the joints"):
        seam(video)
    with pytest.raises(ValueError, match="stands still"):
        seam(np.zeros((8, 4, 4, 3), np.uint8), [4])


def test_drift():
    video = moving(192)
    assert drift(video, 16) == pytest.approx({"sharpness": 1, "saturation": 1, "contrast": 1}, rel=0.02)
    faded = video.copy()
    faded[96:] = 40 + (faded[96:].astype(int) - 40) // 2
    assert all(0.4 < value < 0.6 for value in drift(faded, 16).values())
    with pytest.raises(ValueError, match="drift needs at least 10 s"):
        drift(moving(48), 16)


def test_commands(tmp_path, capsys):
    Clip(moving(32), 16).save(tmp_path / "loop.mp4")
    Clip(moving(192), 16).save(tmp_path / "long.mp4")
    assert main(["evaluate", "seam", str(tmp_path / "loop.mp4"), "--loop", "--at", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["seam"] < 1.3
    assert main(["evaluate", "drift", str(tmp_path / "long.mp4")]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"sharpness", "saturation", "contrast"}
    assert main(["evaluate", "seam", str(tmp_path / "loop.mp4")]) == 2
    assert "name the joints" in capsys.readouterr().err
