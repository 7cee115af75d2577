"""Training of the autoencoder: it learns, resumes exactly, and finishes with measured latents."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from log_fields import documented_log_fields

from tenku.media.writer import write_clip
from tenku.model.autoencoder import load_autoencoder
from tenku.train import checkpoint
from tenku.train.autoencoder import AutoencoderTrainConfig, AutoencoderTrainer
from tenku.train.crops import ClipCache, draw_crops
from tenku.train.reconstruction import halve, loss_parts, moving

TINY = {
    "preset": "nano",
    "batch_size": 2,
    "crop": 32,
    "groups": 2,
    "log_every": 5,
    "warmup_steps": 2,
    "show_progress": False,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three clips of a bright square that moves over a shaded floor."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for index in range(3):
        frames = np.tile(np.linspace(40, 120, 32).astype(np.uint8)[None, :, None, None], (16, 1, 48, 3))
        color = rng.integers(60, 256, 3)
        for t in range(16):
            frames[t, 8:20, 2 * t : 2 * t + 12] = color
        write_clip(folder / f"{index}.mp4", frames, 16)
    return folder


def test_it_learns_and_writes_measured_weights(clips, tmp_path):
    config = AutoencoderTrainConfig(clips=[clips], out=tmp_path, validation=clips, steps=60, **TINY)
    folder = AutoencoderTrainer(config).fit()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {key for line in lines for key in line} <= documented_log_fields()
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.6 * losses[0]
    stored = json.loads((tmp_path / "config.json").read_text())["training"]
    assert {"clip", "decay_from", "average_decay", "busy", "made_by"} < set(stored)  # as former versions have them
    autoencoder = load_autoencoder(folder)
    assert autoencoder.latent_std.min() > 0 and not torch.allclose(autoencoder.latent_std, torch.ones(16))
    assert (tmp_path / "sheet.png").stat().st_size > 0
    assert any("validation_psnr" in line for line in lines)


def test_a_resumed_run_equals_an_uninterrupted_one(clips, tmp_path):
    def run(out, stops):
        for steps in stops:
            one = AutoencoderTrainer(AutoencoderTrainConfig(clips=[clips], out=out, steps=8, **TINY))
            while one.step < steps:
                one.update(one.train_step())
            one.save()
            one.close()
        return checkpoint.load(checkpoint.latest(out))[0]["autoencoder"]

    whole, resumed = run(tmp_path / "a", [6]), run(tmp_path / "b", [2, 5, 6])
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_crops_are_whole_groups_of_the_clips(clips):
    cache = ClipCache([clips], 2**30)
    cache.start()
    cache.close()
    crops = draw_crops(cache.clips, 4, 24, 10, np.random.default_rng(0))
    assert crops.shape == (4, 3, 8, 24, 24) and crops.dtype == torch.uint8
    assert draw_crops(cache.clips, 4, 24, 10, np.random.default_rng(0), multiple=16).shape == (4, 3, 8, 16, 16)


def test_the_loss_is_least_for_the_same_video():
    torch.manual_seed(0)
    video = torch.rand(1, 3, 8, 16, 16) * 2 - 1
    mean = torch.zeros(1, 4, 2, 2, 2)
    small = halve(video)
    same = loss_parts(video, video, small, mean, mean)
    noisy = video + 0.1 * torch.randn_like(video)
    other = loss_parts(noisy, video, halve(noisy), mean, mean, looked_at=3)
    assert torch.allclose(same, torch.zeros(8), atol=1e-5)
    assert (other[:6] > same[:6]).all()


def test_flicker_is_what_changes_from_frame_to_frame():
    video, mean = torch.zeros(1, 3, 8, 16, 16), torch.zeros(1, 4, 2, 2, 2)
    steady, flickering = video + 0.1, video.clone()
    flickering[:, :, ::2] += 0.2  # the same absolute error
    flicker = [float(loss_parts(each, video, halve(each), mean, mean)[4]) for each in (steady, flickering)]
    borders = video.shape[2] // 4 - 1  # which count five times
    assert flicker[0] < 1e-6 and flicker[1] == pytest.approx(0.2 * (1 + 4 * borders / (video.shape[2] - 1)), rel=1e-4)


def test_errors_count_more_where_something_moves():
    video, mean = torch.zeros(1, 3, 8, 32, 64), torch.zeros(1, 4, 2, 4, 8)
    for frame in range(4):
        video[:, :, frame, 12:20, 4 + 4 * frame : 12 + 4 * frame] = 1.0  # crosses the left half, and is gone then
    assert moving(video)[0, 0, :4, 16, 8].eq(1).all()  # also where it was a moment ago
    assert moving(video)[..., 32:].eq(0).all()
    errors = []
    for across in (8, 40):
        wrong = video.clone()
        wrong[:, :, 2, 8:24, across : across + 16] -= 0.3  # the same error in either half
        errors.append(wrong)
    alike, weighed = (
        [loss_parts(wrong, video, halve(wrong), mean, mean, 2, motion)[:2] for wrong in errors] for motion in (0.0, 6.0)
    )
    assert torch.allclose(*alike)
    assert (weighed[0] > 3 * weighed[1]).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [({}, "how long"), ({"steps": 0}, "above 0"), ({"steps": 1, "preset": "huge"}, "choose one of"),
     ({"steps": 1, "crop": 24}, "multiple of 16")],
)  # fmt: skip
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        AutoencoderTrainConfig(clips=[], out=Path("o"), **settings)


def test_no_clips_is_said(tmp_path):
    with pytest.raises(ValueError, match="no clips"):
        AutoencoderTrainer(AutoencoderTrainConfig(clips=[tmp_path], out=tmp_path / "run", steps=1))
