"""Clips: determinism, truth, splits, view, and the folder writer."""

import json

import numpy as np
import pytest

from tenku.media.reader import read_video
from tenku.world.clip import _compose, describe, make_clip, stays_in_view
from tenku.world.dataset import write_clips
from tenku.world.splits import HELD_OUT_COLORS, HELD_OUT_KINDS

SMALL = {"size": (32, 32), "num_frames": 4}


@pytest.fixture(scope="module")
def clip():
    return make_clip(11, (48, 32), 8)


def test_frames_and_truth(clip):
    frames, truth = clip
    assert frames.shape == (8, 32, 48, 3) and frames.dtype == np.uint8
    assert truth["size"] == [48, 32] and truth["num_frames"] == 8 and truth["fps"] == 16
    bodies = len(truth["description"]["objects"])
    assert np.shape(truth["states"]["position"]) == (8, bodies, 3)
    assert np.shape(truth["states"]["rotation"]) == (8, bodies, 3, 3)
    assert np.shape(truth["camera"]["forward"]) == (8, 3)
    assert len(truth["contacts"]) == 8
    assert {language: len(texts) for language, texts in truth["captions"].items()} == {"en": 4, "zh": 4}
    assert json.loads(json.dumps(truth)) == truth


def test_the_picture_is_a_picture(clip):
    frames, _ = clip
    assert frames.std() > 8  # not one flat colour
    assert np.abs(np.diff(frames.astype(int), axis=0)).max() > 8  # something moves


def test_same_seed_same_bytes_other_seed_another_clip(clip):
    frames, truth = make_clip(11, (48, 32), 8)
    assert np.array_equal(frames, clip[0]) and truth == clip[1]
    assert not np.array_equal(make_clip(12, (48, 32), 8)[0], frames)


def test_a_short_clip_is_the_beginning_of_the_long_one(clip):
    frames, truth = make_clip(11, (48, 32), 3)
    assert np.array_equal(frames, clip[0][:3])
    assert truth["description"] == clip[1]["description"] and truth["captions"] == clip[1]["captions"]


def test_a_larger_picture_shows_the_same(clip):
    large, _ = make_clip(11, (96, 64), 1)
    reduced = large.reshape(32, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(reduced - clip[0][0]).mean() < 6


def test_only_the_events_that_are_wanted(tmp_path):
    for seed in range(3):
        assert make_clip(seed, **SMALL, events=["walk", "apples"])[1]["description"]["event"] in ("walk", "apples")
    write_clips(tmp_path, 1, **SMALL, samples=4, events=["apples"])
    with pytest.raises(ValueError, match="choose another folder"):
        write_clips(tmp_path, 1, **SMALL, samples=4)
    with pytest.raises(ValueError, match="the events of combinations are .*, not 'apples'"):
        make_clip(0, **SMALL, split="combinations", events=["apples"])


def test_splits_are_other_clips():
    texts = {split: make_clip(0, **SMALL, split=split)[1]["captions"]["en"][1] for split in ("train", "validation")}
    assert texts["train"] != texts["validation"]


@pytest.mark.parametrize("split", ["train", "combinations"])
def test_held_out_pairs_are_seen_only_where_they_belong(split):
    for seed in range(12):
        filmed, camera, measured = _compose(seed, 1.0, 48, split)
        told = describe(filmed.event, filmed.look, camera.move, measured)
        mains = [thing for thing in told["objects"] if thing["role"] == "main"]
        held_out = any(
            thing["color"] == HELD_OUT_COLORS.get(told["event"], "")
            or thing["kind"] in HELD_OUT_KINDS.get(told["event"], ())
            for thing in mains
        )
        assert held_out == (split == "combinations")


def test_a_subject_that_leaves_before_half_time_is_rejected():
    view = np.ones(48, bool)
    assert stays_in_view(view)
    view[20:] = False
    assert not stays_in_view(view)
    view[:] = True
    view[:13] = False
    assert not stays_in_view(view)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": (30, 32)}, "multiples of 8"),
        ({"size": (32, 4096)}, "multiples of 8"),
        ({"num_frames": 0}, "frames"),
        ({"seed": -1}, "seed"),
        ({"split": "test"}, "splits are"),
        ({"device": "tpu"}, "cpu or cuda"),
        ({"events": ["walk"], "num_frames": 145}, "the event walk lasts 144 frames at most, not 145"),
        ({"events": ["explode"]}, "the events of train are drop, .*, stairs, not 'explode'"),
    ],
)
def test_bad_requests_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        make_clip(**{"seed": 0, **SMALL, **arguments})


def test_a_folder_resumes_and_does_not_depend_on_the_workers(tmp_path):
    steps = []
    write_clips(tmp_path / "a", 3, seed=5, **SMALL, on_progress=lambda done, total: steps.append((done, total)))
    assert steps[0] == (0, 3) and steps[-1] == (3, 3)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted([f"{s:010d}.{kind}" for s in (5, 6, 7) for kind in ("json", "mp4")] + ["world.json"])
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    (tmp_path / "a" / "0000000006.mp4").unlink()  # as if killed between the two files
    assert write_clips(tmp_path / "a", 3, seed=5, **SMALL) == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before
    write_clips(tmp_path / "b", 3, seed=5, **SMALL, workers=2)
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == before


def test_a_written_clip_reads_back_nearly_as_it_was(tmp_path):
    write_clips(tmp_path, 1, seed=5, **SMALL)
    frames, fps, _ = read_video(tmp_path / "0000000005.mp4")
    assert fps == 16
    assert np.abs(frames.astype(int) - make_clip(5, **SMALL)[0]).mean() < 4


def test_another_recipe_is_not_mixed_into_a_folder(tmp_path):
    write_clips(tmp_path, 1, seed=5, **SMALL)
    with pytest.raises(ValueError, match="choose another folder"):
        write_clips(tmp_path, 1, seed=5, size=(48, 32), num_frames=4)


def test_a_seed_below_0_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="count from 0"):
        write_clips(tmp_path / "clips", 1, seed=-1, **SMALL)
    assert not (tmp_path / "clips").exists()


def test_clips_of_an_older_world_are_not_mixed_with_new_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("tenku.world.dataset.WORLD", 1)
    write_clips(tmp_path, 1, seed=5, **SMALL)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="holds clips of another version of the world: choose another folder"):
        write_clips(tmp_path, 1, seed=5, **SMALL)


def test_what_cannot_be_drawn_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="the event walk lasts 144 frames at most"):
        write_clips(tmp_path / "new", 2, num_frames=200, workers=2, events=["walk"])
    assert not (tmp_path / "new").exists()
