"""Going on with open weights, tiny and random: windows of 17 frames, each from the last frames of the one before."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_wan import write_pipeline

from tenku.cli import main
from tenku.evaluate.continuity import identity
from tenku.model.wan_autoencoder import WanAutoencoder
from tenku.sample import causal, recut, tasks
from tenku.sample.open_weights import load_open_weights
from tenku.sample.pipeline import to_frames
from tenku.sample.storyboard import Card, Storyboard, produce
from tenku.types import Clip, Plan

PROMPT, SIZE, WINDOW = "a dog run on the beach", (64, 64), 17
HOW = {"size": SIZE, "steps": 2, "seed": 1, "guidance": 2.0}


@pytest.fixture(scope="module", params=["2.1", "5b"])
def folder(request, tmp_path_factory):
    return write_pipeline(tmp_path_factory.mktemp("wan") / request.param, request.param)


@pytest.fixture
def ours(folder):
    pipeline = load_open_weights(folder, device="cpu", dtype=torch.float32)
    pipeline.settings = replace(pipeline.settings, max_frames=WINDOW)
    return pipeline


@pytest.fixture
def windows(ours, monkeypatch):
    """What each window was told is known: (frames, conditioning, seed)."""
    told, make = [], ours.latents

    def watched(request, *, change=None, **more):
        def noted(condition):
            condition = change(condition) if change is not None else condition
            told.append((request.num_frames, condition, request.seed))
            return condition

        return make(request, change=noted, **more)

    monkeypatch.setattr(ours, "latents", watched)
    return told


def some_clip(frames, fps, seed=0):
    return Clip(np.random.default_rng(seed).integers(0, 256, (frames, *SIZE, 3), dtype=np.uint8), fps)


def known(condition):
    return [] if condition.known_mask is None else condition.known_mask[0].tolist()


def test_a_long_video_is_made_window_by_window(ours, windows):
    seconds = 40 / ours.settings.fps
    video = ours.stream(PROMPT, seconds=seconds, **HOW)
    frames = video.clip().frames
    assert frames.shape == (40, *SIZE, 3) and video.num_frames == 40
    assert [count for count, *_ in windows] == [17, 17, 17]  # 17 frames, then 12 more each
    assert len({seed for *_, seed in windows}) == 3
    assert [known(condition) for _, condition, _ in windows] == [[]] + 2 * [[True, True, False, False, False]]
    for k, (_, condition, _) in enumerate(windows[1:]):
        end = 17 + 12 * k
        torch.testing.assert_close(condition.known_latents[:, :, :2], ours.encode(frames[end - 5 : end]))
    assert np.array_equal(frames[:17], ours.generate(PROMPT, seconds=17 / ours.settings.fps, **HOW).frames)


def test_what_was_given_is_shown_as_the_model_learned_it(ours, windows):
    """5B knows a clean first frame; all else is as noisy as what is made."""
    ours.stream(PROMPT, seconds=20 / ours.settings.fps, **HOW).clip()
    levels = windows[-1][1].known_t
    assert levels.tolist() == [0.0 if ours.settings.known == "first" else 1.0, 1.0, 1.0, 1.0][: len(levels)]


def test_in_tiles_the_same_is_made(folder, ours):
    tiled = load_open_weights(folder, device="cpu", dtype=torch.float32, plan=Plan(tiled=True, apart=True))
    tiled.settings = ours.settings
    options = HOW | {"seconds": 30 / ours.settings.fps}
    a, b = (each.generate(PROMPT, **options).frames.astype(int) for each in (ours, tiled))
    assert np.abs(a - b).max() <= 1  # frames smaller than a tile


def test_a_clip_goes_on_and_begins_earlier(ours, windows):
    fps = ours.settings.fps
    given = some_clip(23, fps)
    longer = tasks.extend(ours, PROMPT, given, forward=20 / fps, **HOW).clip()
    assert len(longer.frames) == 23 + 20 and longer.metadata["task"] == "extend"
    assert np.array_equal(longer.frames[:23], given.frames)  # somebody's own frames, as they were
    head = windows[0][1]
    assert known(head) == [True, True, False, False, False]
    torch.testing.assert_close(head.known_latents[:, :, :2], ours.encode(given.frames[-5:]))
    windows.clear()
    earlier = tasks.extend(ours, PROMPT, given, backward=24 / fps, **HOW).clip()
    assert len(earlier.frames) == 24 + 23 and np.array_equal(earlier.frames[24:], given.frames)
    tails = [known(condition) for _, condition, _ in windows]
    assert tails == [[False] * 3 + [True] * 2] * 2 + [[False] * 3 + [True] * 2]
    first = np.concatenate([given.frames[:1], given.frames[:8]])
    torch.testing.assert_close(windows[0][1].known_latents[:, :, 3:], ours.encode(first)[:, :, 1:])
    both = tasks.extend(ours, PROMPT, given, forward=4 / fps, backward=4 / fps, **HOW).clip()
    assert len(both.frames) == 31 and np.array_equal(both.frames[4:-4], given.frames)
    with pytest.raises(ValueError, match="a clip of 3 frames is too short: at least 5 are needed"):
        tasks.extend(ours, PROMPT, some_clip(3, fps), forward=1, **HOW)


def test_two_clips_are_joined_and_a_clip_led_back(ours, windows):
    fps = ours.settings.fps
    a, b = some_clip(11, fps, seed=1), some_clip(9, fps, seed=2)
    joined = tasks.connect(ours, PROMPT, a, b, 4 / fps, **HOW).clip()
    assert len(joined.frames) == 11 + 4 + 9
    assert np.array_equal(joined.frames[:11], a.frames) and np.array_equal(joined.frames[-9:], b.frames)
    condition = windows[0][1]
    assert known(condition) == [True, True, False, True, True] and condition.strength == tasks.FADE
    torch.testing.assert_close(condition.known_latents[:, :, :2], ours.encode(a.frames[-5:]))
    looped = tasks.loop(ours, PROMPT, a, seconds=8 / fps, **HOW).clip()
    assert len(looped.frames) == 11 + 8 and np.array_equal(looped.frames[:11], a.frames)
    with pytest.raises(ValueError, match=r"time cannot be a circle: lead a clip back to its start \(loop --clip\)"):
        tasks.loop(ours, PROMPT, **HOW)
    with pytest.raises(ValueError, match="none is by itself"):
        identity(ours, joined, a)
    with pytest.raises(ValueError, match="seconds between two clips are above 0 and at most"):
        tasks.connect(ours, PROMPT, a, b, 2.0, **HOW)


def test_a_long_clip_is_remixed(ours, windows):
    given = some_clip(35, ours.settings.fps)
    made = tasks.remix(ours, PROMPT, given, 0.5, **HOW).clip().frames
    assert len(made) == 33  # in whole groups, and the first frame
    assert [known(condition).count(True) for _, condition, _ in windows] == [0, 2, 2]
    for (_, condition, _), start in zip(windows, (0, 12, 24), strict=True):
        torch.testing.assert_close(condition.start_latents, ours.encode(given.frames[:33][start : start + 17]))
        assert condition.strength == 0.5


def test_cards_stand_where_they_should_in_a_long_storyboard(ours, windows):
    fps = ours.settings.fps
    picture, clip = some_clip(1, fps, seed=1), some_clip(8, fps, seed=2)
    board = Storyboard(45 / fps, (Card(0, PROMPT, picture), Card(16 / fps, "a cat"), Card(32 / fps, "a dog", clip)))
    frames = produce(ours, board, **HOW).clip().frames
    assert len(frames) == 45
    with torch.inference_mode():
        first = to_frames(ours.autoencoder.decode(ours.encode(picture.frames)))
    assert np.array_equal(frames[:1], first)
    shown = ["".join(".k"[each] for each in known(condition)) for _, condition, _ in windows]
    assert shown == ["k....", "kk.", "kk..k", "kk.."]  # what is made leads up to the clip, and goes on from it
    theirs = ours.encode(np.concatenate([clip.frames[:1], clip.frames]))[:, :, 1:]
    torch.testing.assert_close(windows[2][1].known_latents[:, :, 4], theirs[:, :, 0])
    torch.testing.assert_close(windows[3][1].known_latents[:, :, 1], theirs[:, :, 1])
    words = [len(condition.text_embeds[0].unique(dim=0)) for _, condition, _ in windows]
    assert words == [2, 2, 2, 1]


def test_a_finished_storyboard_is_cut_anew(ours, windows):
    fps = ours.settings.fps
    video = some_clip(32, fps)
    board = recut.over(Storyboard(32 / fps, (Card(0, PROMPT), Card(16 / fps, "a cat"))), video, 4 / fps)
    assert len(produce(ours, board, **HOW).clip().frames) == 32 and windows == []  # all of it is there
    board = recut.insert(board, 16 / fps, 8 / fps, "a dog", 4 / fps)
    assert len(produce(ours, board, **HOW).clip().frames) == 40
    assert [known(condition).count(False) for _, condition, _ in windows] == [2]  # what was inserted, and nothing else


class Differences(torch.nn.Module):
    """An exact causal autoencoder: each frame less half of the last frame of the group before."""

    causal, streams, temporal_compression, spatial_compression, latent_channels = True, True, 4, 1, 12
    latent_frames, num_frames = WanAutoencoder.latent_frames, WanAutoencoder.num_frames

    def encode(self, video):
        groups = [video[:, :, :1].repeat(1, 1, 4, 1, 1), *video[:, :, 1:].split(4, dim=2)]
        before = [torch.zeros_like(groups[0]), *groups]
        less = [each - 0.5 * last[:, :, -1:] for each, last in zip(groups, before[:-1], strict=True)]
        return torch.cat([each.flatten(1, 2)[:, :, None] for each in less], dim=2)

    def decode_next(self, latents, state=None, following=None, given=None):
        frames = []
        for each in latents.unflatten(1, (3, 4)).unbind(3):
            group = each if state is None else each + 0.5 * state
            frames.append(group if state is not None else group[:, :, :1])
            state = group[:, :, -1:]
        return torch.cat(frames, dim=2), state


def test_frames_encoded_anew_put_each_window_in_its_place(ours, monkeypatch):
    """With an exact causal autoencoder a given clip comes out as it was, however many windows it takes."""
    monkeypatch.setattr(ours, "autoencoder", Differences())
    frames = some_clip(81, ours.settings.fps).frames
    request = replace(ours.request(PROMPT, **HOW), num_frames=81)
    latents = ours.encode(frames)
    every = torch.ones(latents.shape[2], dtype=torch.bool)
    pieces = np.concatenate(list(causal.onwards(ours, request, latents, every)))
    assert np.array_equal(pieces, frames)

    # What follows is right, made by an oracle that knows the whole clip and is told only where a window stands.
    def oracle(pipeline, request, latents, known, *_, also=None):
        context, done = int(known.sum()), request.seed - HOW["seed"]
        start = 4 * (done - context)
        right = pipeline.encode(frames[start : start + pipeline.autoencoder.num_frames(latents.shape[2])])
        torch.testing.assert_close(latents[:, :, known], right[:, :, known])
        return torch.where(known[:, None, None], latents, right)

    monkeypatch.setattr(causal, "fill", oracle)
    nothing = torch.zeros_like(latents)
    assert np.array_equal(np.concatenate(list(causal.onwards(ours, request, nothing, ~every))), frames)


def test_the_command_goes_on_for_as_long_as_one_likes(folder, tmp_path, capsys):
    out = tmp_path / "long.mp4"
    arguments = ["--model", str(folder), "--size", "64x64", "--steps", "1", "--seed", "1", "--json"]
    assert main(["generate", "a dog", "--seconds", "6", "--out", str(out), *arguments]) == 0
    assert '"frames": 96' in capsys.readouterr().out
    assert main(["extend", str(out), "a cat", "--forward", "0.5", "--out", str(tmp_path / "b.mp4"), *arguments]) == 0
    assert '"frames": 104' in capsys.readouterr().out
