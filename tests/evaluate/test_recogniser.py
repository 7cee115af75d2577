"""The recogniser learns to read labelled clips, judges any size, and survives saving."""

import numpy as np
import pytest

from tenku.evaluate.recogniser import (
    LABELS,
    Recogniser,
    RecogniserConfig,
    RecogniserNetwork,
    evenly,
    labels_of,
    score,
    shrink,
)
from tenku.evaluate.recogniser_training import augment, blur, train_recogniser

TINY = RecogniserConfig(side=32, num_frames=6, widths=(8, 16, 16, 24), hidden=32)
SKIES = {"day": (150, 200, 250), "night": (10, 10, 30), "sunset": (240, 140, 60)}
GROUNDS = {"grass": (40, 120, 30), "snow": (230, 235, 240), "wood": (150, 100, 50)}
PAINTS = {"red": (220, 20, 20), "blue": (20, 40, 220)}


def description(event="roll", color="red", floor="grass", light="day", kind="ball", **changes):
    thing = {"kind": kind, "color": color, "material": "plastic", "role": "main"}
    return {"event": event, "floor": floor, "light": light, "objects": [thing], "paint": None, **changes}


def cartoon(rng, num_frames=12, size=(32, 32)):
    """A coloured square over ground and sky that rolls sideways or drops: (frames, description)."""
    width, height = size
    light, floor, color = (rng.choice(list(names)) for names in (SKIES, GROUNDS, PAINTS))
    event = rng.choice(["roll", "drop"])
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    frames[:, : height // 2], frames[:, height // 2 :] = SKIES[light], GROUNDS[floor]
    start = rng.integers(2, 6)
    for i, frame in enumerate(frames):
        along = start + i * (width - 16) // num_frames
        x, y = (along, height // 2) if event == "roll" else (width // 2 - 4 + start, along * height // width)
        frame[y : y + 8, x : x + 8] = PAINTS[color]
    noise = rng.normal(0, 4, frames.shape)
    return (frames + noise).clip(0, 255).astype(np.uint8), description(str(event), color, floor, light)


def test_it_learns_light_floor_colour_and_event(tmp_path):
    rng = np.random.default_rng(0)
    train_recogniser([cartoon(rng) for _ in range(120)], tmp_path, config=TINY, batch_size=24, max_steps=90)
    recogniser = Recogniser.load(tmp_path)
    unseen = recogniser.accuracy([cartoon(rng) for _ in range(60)])
    for name in ("light", "floor", "color", "event"):
        assert unseen[name]["n"] == 60
        assert unseen[name]["right"] > max(0.8, unseen[name]["majority"]), (name, unseen[name])
    wide = recogniser.read(cartoon(rng, num_frames=5, size=(64, 40))[0])
    assert set(wide) == set(LABELS)
    assert all(found in LABELS[name] and 0 < p <= 1 for name, (found, p) in wide.items())


def test_a_repeated_run_gives_the_same_network(tmp_path):
    clips = [cartoon(np.random.default_rng(seed)) for seed in range(8)]
    runs = [train_recogniser(clips, tmp_path / name, config=TINY, batch_size=4, max_steps=2) for name in "ab"]
    reads = [run.probabilities(clips[0][0]) for run in runs]
    assert all(reads[0][name].equal(reads[1][name]) for name in LABELS)
    other = train_recogniser(clips, tmp_path / "c", config=TINY, batch_size=4, max_steps=2, seed=1)
    assert not other.probabilities(clips[0][0])["event"].equal(reads[0]["event"])


def test_a_round_trip_is_applied_to_half_of_the_training_clips(tmp_path):
    clips = [cartoon(np.random.default_rng(seed)) for seed in range(6)]
    seen = []

    def degrade(frames):
        seen.append(frames)
        return frames

    train_recogniser(clips, tmp_path, config=TINY, degrade=degrade, batch_size=2, max_steps=1)
    assert len(seen) == 3


def test_labels_are_none_where_a_clip_has_no_single_answer():
    assert labels_of(description()) == {
        "light": "day", "floor": "grass", "event": "roll", "color": "red", "kind": "ball",
    }  # fmt: skip
    assert labels_of(description("bite", None, kind="burger"))["color"] is None
    two = description("drop")
    two["objects"].append({"kind": "ball", "color": "blue", "material": "metal", "role": "main"})
    assert labels_of(two)["color"] is None and labels_of(two)["kind"] == "ball"
    painted = labels_of(description("brush", kind="brush", paint="green"))
    assert painted["color"] == "green" and painted["kind"] is None
    balls = [{"kind": "ball", "color": color, "material": "rubber", "role": "many"} for color in ("red", "blue")]
    assert labels_of(description("pour", objects=balls))["color"] == "colorful"
    cake = {"kind": "cake", "color": None, "material": "chocolate", "role": "main"}
    assert labels_of(description("bite", objects=[cake]))["color"] == "chocolate"


def test_time_shift_lets_the_network_see_the_order_of_frames():
    import torch

    torch.manual_seed(0)
    network = RecogniserNetwork(TINY).eval()
    video = torch.rand(1, 6, 3, 32, 32)
    with torch.no_grad():
        forward, backward = network(video)["event"], network(video.flip(1))["event"]
    assert not torch.allclose(forward, backward, atol=1e-4)


def test_frames_are_spread_and_shrunk_without_changing_the_aspect_much():
    frames = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(96, 1).repeat(144, 2).repeat(3, 3)
    assert evenly(frames, 4)[:, 0, 0, 0].tolist() == [0, 3, 6, 9]
    assert evenly(frames[:1], 4).shape[0] == 4
    small = shrink(frames, 64)
    assert small.shape == (10, 3, 64, 96)
    assert small[7].unique().tolist() == [7]
    with pytest.raises(ValueError, match="uint8 T H W 3"):
        shrink(frames.astype(float), 64)


def test_augmentation_keeps_shape_and_range_and_blur_keeps_the_mean():
    import torch

    generator = torch.Generator().manual_seed(0)
    video = torch.rand(4, 3, 3, 32, 48, generator=generator)
    changed = augment(video, generator)
    assert changed.shape == video.shape and changed.min() >= 0 and changed.max() <= 1
    assert not changed.equal(video)
    soft = blur(video, 2.0)
    assert abs(soft.mean() - video.mean()) < 0.01 and soft.std() < 0.6 * video.std()


def test_score_counts_and_names_confusions():
    found = score([("roll", "roll"), ("roll", "slide"), ("drop", "drop"), ("roll", "roll")])
    assert found == {"right": 0.75, "n": 4, "majority": 0.75, "confusions": {"roll -> slide": 1}}
    assert score([])["right"] is None


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match="model.safetensors is missing|config.json is missing"):
        Recogniser.load(tmp_path)
    with pytest.raises(ValueError, match="no clips"):
        train_recogniser(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="no clips"):
        train_recogniser([], tmp_path / "out")
