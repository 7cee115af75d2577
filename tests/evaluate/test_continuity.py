"""A seam and a drift are seen where there is one, and not where there is none."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import tenku
from tenku.cli import main
from tenku.evaluate import continuity
from tenku.evaluate.continuity import drift, seam
from tenku.evaluate.recogniser import Recogniser, RecogniserConfig, RecogniserNetwork
from tenku.media.clip import Clip
from tenku.model.settings import ModelSettings
from tenku.sample import edits
from tenku.wan.memory_plan import MemoryPlan


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A folder of real clips: 12 s, and one that stands still."""
    folder = tmp_path_factory.mktemp("real")
    Clip(moving(192), 16).save(folder / "a.mp4")
    Clip(moving(192, step=0), 16).save(folder / "b.mp4")
    return folder


@pytest.fixture(scope="module")
def recogniser():
    config = RecogniserConfig()
    return Recogniser(RecogniserNetwork(config), config)


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
    with pytest.raises(ValueError, match="a clip of 1 frames is too short"):
        seam(video[:1], loop=True)
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


def test_real_clips_are_the_floor(real, tmp_path):
    assert continuity.seam_of_real_clips(real) == pytest.approx(1, abs=0.1)
    assert continuity.drift_of_real_clips(real) == pytest.approx(
        {"sharpness": 1, "saturation": 1, "contrast": 1}, rel=0.05
    )
    with pytest.raises(ValueError, match="there are no clips"):
        continuity.seam_of_real_clips(tmp_path)
    Clip(moving(32, step=0), 16).save(tmp_path / "still.mp4")
    with pytest.raises(ValueError, match="nothing moves"):
        continuity.seam_of_real_clips(tmp_path)


def test_confidence_is_part_of_drift(recogniser):
    found = drift(moving(192), 16, recogniser)
    assert found["confidence"] == pytest.approx(1, abs=0.2)
    assert len(continuity.curves(moving(192), 16, recogniser)["confidence"]) == 10


@pytest.fixture(scope="module")
def pipeline(tiny_folder):
    return tenku.load(tiny_folder, device="cpu")


def test_identity_is_the_autoencoders_own_loss_when_nothing_is_changed(pipeline):
    given = Clip(moving(20)[:, :, :32], 16)
    back = edits.remix(pipeline, "a red ball", given, 1e-3, size=(32, 32), steps=1, seed=0).clip()
    found = continuity.identity(pipeline, back, given)
    assert found["lost"] == pytest.approx(0, abs=0.5) and found["lost"] == found["round_trip"] - found["psnr"]
    dark = Clip(back.frames // 2, 16)
    assert continuity.identity(pipeline, dark, given)["psnr"] != found["psnr"]
    picture = Clip(given.frames[:1], 16)
    assert set(continuity.identity(pipeline, back, picture)) == {"psnr", "round_trip", "lost"}
    with pytest.raises(ValueError, match="the clip lasts 1.25 s: nothing can be given in it at 9 s"):
        continuity.identity(pipeline, back, given, at=9)


def test_cost_stays_the_same_however_long_the_video(pipeline):
    found = continuity.cost(pipeline, "a red ball", 40, size=(32, 32), steps=1)
    assert min(found.values()) > 0 and 1 <= found["memory_ratio"] < 1.1  # how long it takes is the benchmark's matter
    assert set(found) == {"early", "late", "ratio", "memory_ratio"}
    for seconds in (3, 20):
        with pytest.raises(ValueError, match=f"at least 30 s made in windows, got {seconds} s"):
            continuity.cost(pipeline, "a red ball", seconds, size=(32, 32), steps=1)


def test_cost_compares_windows_early_and_late(monkeypatch):
    clock = [0.0]

    class Slowing:
        """Frames that take a second each, and two from the fortieth second of the video on."""

        settings, device, plan = ModelSettings("m", 16, max_frames=48), torch.device("cpu"), MemoryPlan()

        def request(self, prompt, seconds):
            return SimpleNamespace(num_frames=round(16 * seconds))

        def run(self, request):
            for frame in range(request.num_frames):
                clock[0] += 1 if frame < 640 else 2
                yield np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(continuity.time, "perf_counter", lambda: clock[0])
    found = continuity.cost(Slowing(), "a ball", 60)
    assert found["early"] == 16 and found["late"] == 32 and found["ratio"] == 2
    assert continuity.cost(Slowing(), "a ball", 40)["ratio"] == 1


def test_commands(tmp_path, capsys, real, tiny_folder):
    Clip(moving(32), 16).save(tmp_path / "loop.mp4")
    Clip(moving(192), 16).save(tmp_path / "long.mp4")
    assert main(["evaluate", "seam", str(tmp_path / "loop.mp4"), "--loop", "--at", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["seam"] < 1.3
    assert main(["evaluate", "drift", str(tmp_path / "long.mp4")]) == 0
    assert set(json.loads(capsys.readouterr().out)["drift"]) == {"sharpness", "saturation", "contrast"}
    plot = ["--real", str(real), "--plot", str(tmp_path / "drift.png")]
    assert main(["evaluate", "drift", str(tmp_path / "long.mp4"), *plot]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"drift", "real"}
    with Image.open(tmp_path / "drift.png") as picture:
        assert picture.size == (1200, 300)
    assert main(["evaluate", "seam", str(tmp_path / "loop.mp4"), "--loop", "--real", str(real)]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"seam", "real"}
    identity = ["evaluate", "identity", str(tmp_path / "loop.mp4"), "--given", str(tmp_path / "loop.mp4")]
    assert main([*identity, "--model", str(tiny_folder)]) == 0
    assert json.loads(capsys.readouterr().out)["psnr"] is None  # equal
    assert main(["evaluate", "cost", "--model", str(tiny_folder), "--seconds", "5"]) == 2
    assert "at least 30 s" in capsys.readouterr().err
    assert main(["evaluate", "seam", str(tmp_path / "loop.mp4")]) == 2
    assert "name the joints" in capsys.readouterr().err
