"""Going on with open weights, tiny and random: windows of 17 frames, each from the last frames of the one before."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_wan import watched, write_pipeline

from tenku.cli import main
from tenku.evaluate.continuity import identity
from tenku.media.clip import Clip
from tenku.model.autoencoder import to_frames
from tenku.sample import edits, recut
from tenku.sample.pipeline import Pipeline
from tenku.sample.storyboard import Card, Storyboard, produce
from tenku.sample.windows import latent, pixel
from tenku.wan.memory_plan import MemoryPlan
from tenku.wan.vae import WanAutoencoder

PROMPT, SIZE, WINDOW = "a dog run on the beach", (64, 64), 17
HOW = {"size": SIZE, "steps": 2, "seed": 1, "guidance": 2.0}


@pytest.fixture(scope="module", params=["2.1", "5b"])
def folder(request, tmp_path_factory):
    return write_pipeline(tmp_path_factory.mktemp("wan") / request.param, request.param)


@pytest.fixture
def ours(folder):
    """The 5B kind was trained to see a first frame clean."""
    pipeline = Pipeline.load(folder, device="cpu", dtype=torch.float32)
    first = "first" if folder.name == "5b" else "none"
    pipeline.settings = replace(pipeline.settings, max_frames=WINDOW, known=first)
    return pipeline


@pytest.fixture
def windows(ours, monkeypatch):
    return watched(ours, monkeypatch)


def some_clip(frames, fps, seed=0):
    return Clip(np.random.default_rng(seed).integers(0, 256, (frames, *SIZE, 3), dtype=np.uint8), fps)


def known(windows):
    """k: known, a dot: to be made; latent frames of each window."""
    masks = (condition.known_mask for _, condition, _ in windows)
    return ["" if mask is None else "".join(".k"[each] for each in mask[0].tolist()) for mask in masks]


def after(pipeline, frames):
    """Latents of frames as they are encoded behind others."""
    return pipeline.encode(np.concatenate([frames[:1], frames]))[:, :, 1:]


def oracle_of(frames):
    """In the place of the network: knows a whole clip, is told where a window stands, and checks what it is shown."""

    def fill(pipeline, request, latents, known, *_, also=None):
        context = len(known) if bool(known.all()) else int((~known).int().argmax())
        start = request.seed - HOW["seed"] - (4 * context - 3 if context else 0)
        right = pipeline.encode(frames[start : start + pipeline.autoencoder.num_frames(latents.shape[2])])
        torch.testing.assert_close(latents[:, :, :context], right[:, :, :context])
        return torch.where(known[:, None, None], latents, right)

    return fill


def test_a_long_video_is_made_window_by_window(ours, windows):
    seconds = 40 / ours.settings.fps
    video = ours.stream(PROMPT, seconds=seconds, **HOW)
    frames = video.clip().frames
    assert frames.shape == (40, *SIZE, 3) and video.num_frames == 40
    assert known(windows) == ["", "kk...", "kk..."]  # 17 frames, then 12 more each
    assert [seed for *_, seed in windows] == [1, 18, 30]
    for end, (_, condition, _) in zip((17, 29), windows[1:], strict=True):
        torch.testing.assert_close(condition.known_latents[:, :, :2], ours.encode(frames[end - 5 : end]))
    assert np.array_equal(frames[:17], ours.generate(PROMPT, seconds=17 / ours.settings.fps, **HOW).frames)


def test_a_shorter_video_is_the_beginning_of_a_longer_one(ours):
    long, short = (ours.generate(PROMPT, seconds=frames / ours.settings.fps, **HOW).frames for frames in (17, 14))
    assert np.array_equal(long[:14], short)


def test_only_so_much_is_seen_before(ours, windows):
    ours.settings = replace(ours.settings, max_frames=49)
    ours.stream(PROMPT, seconds=60 / ours.settings.fps, **HOW).clip()
    assert known(windows) == ["", "kkkkk..."]


def test_what_was_given_is_shown_as_the_model_learned_it(ours, windows):
    """5B knows a clean first frame; all else is as noisy as what is made."""
    ours.stream(PROMPT, seconds=20 / ours.settings.fps, **HOW).clip()
    assert windows[-1][1].known_t.tolist() == [0.0 if ours.settings.known == "first" else 1.0, 1.0, 1.0]


def test_in_tiles_the_same_is_made(folder, ours):
    """Of frames that are no larger than a tile."""
    tiled = Pipeline.load(folder, device="cpu", dtype=torch.float32, plan=MemoryPlan(tiled=True, model_offload=True))
    tiled.settings = ours.settings
    options = HOW | {"seconds": 30 / ours.settings.fps}
    a, b = (each.generate(PROMPT, **options).frames.astype(int) for each in (ours, tiled))
    assert np.abs(a - b).max() <= 1


def test_a_picture_is_gone_on_from_for_long(ours, windows):
    picture, last = some_clip(1, 16, seed=1), some_clip(1, 16, seed=2)
    clip = edits.animate(ours, PROMPT, picture, last, seconds=40 / ours.settings.fps, **HOW).clip()
    assert len(clip.frames) == 40 and known(windows)[0] == "k...." and known(windows)[-1].endswith("k")
    with torch.inference_mode():
        own = to_frames(ours.autoencoder.decode(ours.encode(picture.frames)))
    assert np.array_equal(clip.frames[:1], own)  # it comes out as the decoder gives it, like what follows
    assert np.array_equal(clip.frames[-1:], last.frames)
    torch.testing.assert_close(windows[-1][1].known_latents[:, :, -1:], after(ours, last.frames.repeat(4, axis=0)))


@pytest.mark.parametrize("frames", [14, 17])
def test_all_of_a_window_is_led_up_to_a_last_picture(ours, windows, frames):
    a, b = some_clip(1, 16, seed=1), some_clip(1, 16, seed=2)
    for first, last in ((a, b), (None, b)):
        clip = edits.animate(ours, PROMPT, first, last, seconds=frames / ours.settings.fps, **HOW).clip()
        assert len(clip.frames) == frames and np.array_equal(clip.frames[-1:], b.frames)
    assert known(windows) == ["k...k", "....k"]


def test_a_picture_comes_out_wherever_it_stands(ours):
    picture, fps = some_clip(1, ours.settings.fps), ours.settings.fps
    clip = edits.extend(ours, PROMPT, picture, backward=8 / fps, **HOW).clip()
    assert len(clip.frames) == 9 and np.array_equal(clip.frames[-1:], picture.frames)
    alone = produce(ours, Storyboard(1 / fps, (Card(0, PROMPT, picture),)), **HOW).clip()
    assert np.array_equal(alone.frames, picture.frames)
    late = Storyboard(32 / fps, (Card(0, PROMPT), Card(31 / fps, PROMPT, picture)))
    assert np.array_equal(produce(ours, late, **HOW).clip().frames[-1:], picture.frames)


def test_a_clip_goes_on_and_begins_earlier(ours, windows):
    fps = ours.settings.fps
    given = some_clip(23, fps)
    longer = edits.extend(ours, PROMPT, given, forward=20 / fps, **HOW).clip()
    assert len(longer.frames) == 23 + 20 and longer.metadata["task"] == "extend"
    assert np.array_equal(longer.frames[:23], given.frames)  # somebody's own frames, as they were
    assert known(windows) == ["kk...", "kk.."]
    torch.testing.assert_close(windows[0][1].known_latents[:, :, :2], ours.encode(given.frames[-5:]))
    windows.clear()
    earlier = edits.extend(ours, PROMPT, given, backward=24 / fps, **HOW).clip()
    assert len(earlier.frames) == 24 + 23 and np.array_equal(earlier.frames[24:], given.frames)
    assert known(windows) == ["...kk", "...kk", "...kk"] and len({seed for *_, seed in windows}) == 3
    torch.testing.assert_close(windows[0][1].known_latents[:, :, 3:], after(ours, given.frames[:8]))
    torch.testing.assert_close(windows[1][1].known_latents[:, :, 3:], after(ours, earlier.frames[15:23]))
    windows.clear()
    both = edits.extend(ours, PROMPT, given, forward=0.01, backward=4 / fps, **HOW).clip()
    assert len({seed for *_, seed in windows}) == len(windows) == 2 and both.metadata["seed"] == HOW["seed"]
    assert len(both.frames) == 31 and np.array_equal(both.frames[4:-4], given.frames)
    short = edits.extend(ours, PROMPT, some_clip(2, fps), forward=4 / fps, backward=4 / fps, **HOW)
    assert short.num_frames == len(short.clip().frames) == 10


def test_sides_that_are_no_multiples_are_cut(ours):
    fps, size = ours.settings.fps, (70, 66)
    given = some_clip(9, fps)
    video = edits.extend(ours, PROMPT, given, forward=8 / fps, **HOW | {"size": size})
    assert video.size == size and video.clip().frames.shape == (17, 66, 70, 3)


def test_two_clips_are_joined_and_a_clip_led_back(ours, windows):
    fps = ours.settings.fps
    a, b = some_clip(11, fps, seed=1), some_clip(9, fps, seed=2)
    joined = edits.connect(ours, PROMPT, a, b, 4 / fps, **HOW).clip()
    assert len(joined.frames) == 11 + 4 + 9
    assert np.array_equal(joined.frames[:11], a.frames) and np.array_equal(joined.frames[-9:], b.frames)
    edits.connect(ours, PROMPT, a, b, 12 / fps, **HOW).clip()
    assert known(windows) == ["kk.kk", "k...k"]  # all of the gap in one window
    condition = windows[0][1]
    assert condition.strength == edits.FADE and torch.equal(condition.start_latents, condition.known_latents)
    torch.testing.assert_close(condition.known_latents[:, :, :2], ours.encode(a.frames[-5:]))
    torch.testing.assert_close(condition.known_latents[:, :, 3:], after(ours, b.frames[:8]))
    looped = edits.loop(ours, PROMPT, a, seconds=8 / fps, **HOW).clip()
    assert len(looped.frames) == 11 + 8 and np.array_equal(looped.frames[:11], a.frames)
    with pytest.raises(ValueError, match=r"time cannot be a circle: lead a clip back to its start \(loop --clip\)"):
        edits.loop(ours, PROMPT, **HOW)
    with pytest.raises(ValueError, match="none is by itself"):
        identity(ours, joined, a)
    with pytest.raises(ValueError, match="new seconds between two ends are above 0 and at most"):
        edits.connect(ours, PROMPT, a, b, 2.0, **HOW)


def test_a_long_clip_is_remixed(ours, windows):
    given, half = some_clip(35, ours.settings.fps), np.zeros((1, *SIZE, 3), np.uint8)
    half[:, :, 32:] = 255
    made = edits.remix(ours, PROMPT, given, 0.5, keep=Clip(half, 1), **HOW).clip().frames
    assert len(made) == 33  # in whole groups, and the first frame
    assert known(windows) == ["", "kk...", "kk."]
    for (_, condition, _), start in zip(windows, (0, 12, 24), strict=True):
        torch.testing.assert_close(condition.start_latents, ours.encode(given.frames[:33][start : start + 17]))
        assert condition.strength == 0.5 and condition.keep.shape[2] == condition.start_latents.shape[2]
        assert condition.keep.float().mean() == 0.5


def test_cards_stand_where_they_should_in_a_long_storyboard(ours, windows):
    fps = ours.settings.fps
    picture, clip = some_clip(1, fps, seed=1), some_clip(8, fps, seed=2)
    board = Storyboard(45 / fps, (Card(0, PROMPT, picture), Card(16 / fps, "a cat"), Card(32 / fps, "a dog", clip)))
    frames = produce(ours, board, **HOW).clip().frames
    assert len(frames) == 45
    with torch.inference_mode():
        first = to_frames(ours.autoencoder.decode(ours.encode(picture.frames)))
    assert np.array_equal(frames[:1], first) and np.array_equal(frames[32:40], clip.frames)
    assert known(windows) == ["k....", "kk..", "kk..k", "kk.."]  # it is led up to the clip, and goes on from it
    torch.testing.assert_close(windows[2][1].known_latents[:, :, 4:], after(ours, clip.frames[:4]))
    torch.testing.assert_close(windows[3][1].known_latents[:, :, :2], ours.encode(clip.frames[-5:]))
    words = [len(condition.text_embeds[0].unique(dim=0)) for _, condition, _ in windows]
    assert words == [1, 2, 2, 1]
    over = replace(board, cards=(Card(0, PROMPT, some_clip(20, fps)), Card(16 / fps, "a dog", clip)))
    with pytest.raises(ValueError, match="overlaps what an earlier card shows"):
        produce(ours, over, **HOW)
    with pytest.raises(ValueError, match="goes on past the end of the video"):
        produce(ours, replace(board, cards=(Card(0, PROMPT), Card(40 / fps, "a dog", clip))), **HOW)


def test_a_finished_storyboard_is_cut_anew(ours, windows):
    """What is neither trimmed nor inserted stays as it is, wherever the cut."""
    fps = ours.settings.fps
    video = some_clip(32, fps)
    board = recut.over(Storyboard(32 / fps, (Card(0, PROMPT), Card(16 / fps, "a cat"))), video, 4 / fps)
    assert np.array_equal(produce(ours, board, **HOW).clip().frames, video.frames) and windows == []
    for at in (0, 4, 16, 32):
        windows.clear()
        made = produce(ours, recut.insert(board, at / fps, 8 / fps, "a dog", 4 / fps), **HOW).clip().frames
        assert np.array_equal(np.concatenate([made[:at], made[at + 8 :]]), video.frames)
        assert len(made) == 40 and len(windows) == 1
    made = produce(ours, recut.trim(board, 8 / fps, 20 / fps, 4 / fps), **HOW).clip().frames
    assert np.array_equal(made, video.frames[8:20])


class Differences(torch.nn.Module):
    """An exact causal autoencoder: each frame less half of the last frame of the group before."""

    causal, streams, temporal_compression, spatial_compression, latent_channels = True, True, 4, 1, 12
    latent_frames, num_frames = WanAutoencoder.latent_frames, WanAutoencoder.num_frames

    def encode(self, video):
        later = range(1, video.shape[2], 4)
        groups = [video[:, :, :1].repeat(1, 1, 4, 1, 1), *(video[:, :, start : start + 4] for start in later)]
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


def test_each_window_is_put_in_its_place(ours, monkeypatch):
    """With an exact causal autoencoder and a network that knows what is right, all of it comes out right."""
    monkeypatch.setattr(ours, "autoencoder", Differences())
    frames = some_clip(90, ours.settings.fps).frames
    monkeypatch.setattr(latent, "fill", oracle_of(frames))
    request = replace(ours.request(PROMPT, **HOW), num_frames=81)
    for given in (
        [],
        [(0, frames[:1])],
        [(0, frames[:7]), (20, frames[20:41])],
        [(41, frames[41:42]), (61, frames[61:81])],
    ):
        pieces = list(pixel.onwards(ours, request, given))
        assert np.array_equal(np.concatenate(pieces), frames[:81])


def test_given_frames_are_where_they_should_be_in_any_layout(ours, monkeypatch):
    monkeypatch.setattr(ours, "autoencoder", Differences())
    monkeypatch.setattr(latent, "fill", lambda pipeline, request, latents, *rest, **more: latents)
    random = np.random.default_rng(0)
    for max_frames in (2, 5, 9, 17, 33):
        ours.settings = replace(ours.settings, max_frames=max_frames)
        for _ in range(12):
            given, end = [], 0
            for seed in range(random.integers(0, 4)):
                clip = some_clip(random.choice([1, 4, 8, 20]), 16, seed).frames
                at = end + int(random.choice([0, 1, 3, 4, 10, 30]))
                given, end = [*given, (at, clip)], at + len(clip)
            length = end + int(random.choice([0, 1, 6, 40])) or 1
            request = replace(ours.request(PROMPT, **HOW), num_frames=length)
            frames = np.concatenate(list(pixel.onwards(ours, request, given)))
            assert len(frames) == length
            for at, clip in given:
                assert np.array_equal(frames[at : at + len(clip)], clip)


def test_models_that_make_too_few_frames_at_once(ours):
    ours.settings = replace(ours.settings, max_frames=5)
    assert ours.generate(PROMPT, seconds=12 / ours.settings.fps, **HOW).num_frames == 12  # a frame is enough to go on
    with pytest.raises(ValueError, match="makes too few frames at once to see two clips and what is between"):
        edits.connect(ours, PROMPT, some_clip(9, 16), some_clip(9, 16), 0.25, **HOW)
    ours.settings = replace(ours.settings, max_frames=1)
    assert ours.generate(PROMPT, seconds=0, **HOW).num_frames == 1
    with pytest.raises(ValueError, match="makes pictures, not videos: seconds must be 0, got 2"):
        ours.generate(PROMPT, seconds=2, **HOW)


def test_two_strengths_take_latent_frames_that_can_stand_alone(ours):
    ours.settings = replace(ours.settings, known="any")  # as a model.json that does not say
    with pytest.raises(ValueError, match="has one strength for all frames"):
        edits.remix(ours, PROMPT, some_clip(17, 16), (0.2, 0.8), **HOW)


def test_progress_reaches_its_end(ours):
    seen = []
    edits.extend(
        ours, PROMPT, some_clip(9, 16), backward=0.5, **HOW, on_progress=lambda *stage: seen.append(stage)
    ).clip()
    assert [(done, total) for name, done, total in seen if name == "decode"][-1] == (3, 3)


def test_the_command_goes_on_for_as_long_as_one_likes(folder, tmp_path, capsys):
    out = tmp_path / "long.mp4"
    arguments = ["--model", str(folder), "--size", "64x64", "--steps", "1", "--seed", "1", "--json"]
    assert main(["generate", "a dog", "--seconds", "6", "--out", str(out), *arguments]) == 0
    assert '"frames": 96' in capsys.readouterr().out
    assert main(["extend", str(out), "a cat", "--forward", "0.5", "--out", str(tmp_path / "b.mp4"), *arguments]) == 0
    assert '"frames": 104' in capsys.readouterr().out


def test_two_threads_do_not_meet_in_the_encoder(ours):
    """diffusers' encoder keeps what it remembers in itself."""
    clips = [some_clip(9, ours.settings.fps, seed=seed) for seed in (1, 2)]

    def longer(clip):
        return edits.extend(ours, PROMPT, clip, forward=20 / ours.settings.fps, **HOW).clip().frames

    alone = [longer(clip) for clip in clips]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(3):
            together = list(threads.map(longer, clips))
            assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
