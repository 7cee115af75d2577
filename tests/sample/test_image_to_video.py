"""Wan's image-to-video networks, tiny and random: what they are shown, and that they give what diffusers gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_wan import diffusers, watched, write_pipeline

from tenku.cli import main
from tenku.media.clip import Clip
from tenku.sample import edits, memory
from tenku.sample.pipeline import Pipeline
from tenku.sample.storyboard import Card, Storyboard, produce
from tenku.wan.catalogue import OPEN_WEIGHTS
from tenku.wan.memory_plan import MemoryPlan
from tenku.wan.names import concat_channels

PROMPT, NEGATIVE, SIZE = "A cat & a dog run on the beach.", "blurry", (64, 96)  # width, height
WINDOW, FPS = 17, 16
HOW = {"size": SIZE, "steps": 2, "seed": 1, "guidance": 2.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pipeline(tmp_path_factory.mktemp("wan") / "i2v", "i2v")


@pytest.fixture
def ours(folder):
    pipeline = Pipeline.load(folder, device="cpu", dtype=torch.float32)
    pipeline.settings = replace(pipeline.settings, max_frames=WINDOW)
    return pipeline


@pytest.fixture
def windows(ours, monkeypatch):
    return watched(ours, monkeypatch)


def some_clip(frames, seed=0):
    return Clip(np.random.default_rng(seed).integers(0, 256, (frames, SIZE[1], SIZE[0], 3), dtype=np.uint8), FPS)


def given(windows):
    """k: given, a dot: to be made; frames of each window. Every latent frame has four channels, the first one frame."""
    masks = [condition.concat_latents[0, :4].flatten(2) for _, condition, _ in windows]  # 4 T (h w)
    assert all(bool((mask == mask[..., :1]).all()) and len(mask[:, 0].unique()) == 1 for mask in masks)
    frames = (mask[..., 0].T.flatten()[3:] for mask in masks)
    return ["".join(".k"[int(each)] for each in frame) for frame in frames]


def grey(pipeline, frames, places):
    """Latents of a video that is grey but for some frames."""
    video = torch.zeros(1, 3, frames, SIZE[1], SIZE[0])
    for at, clip in places.items():
        pixels = torch.from_numpy(clip).permute(3, 0, 1, 2).float() / 127.5 - 1
        video[0, :, at : at + len(clip)] = pixels
    with torch.inference_mode():
        return pipeline.autoencoder.encode(video)


@pytest.mark.parametrize("ends", ["first", "both"])
def test_a_picture_moves_as_in_diffusers(folder, ours, ends):
    frames = 9
    theirs = diffusers.WanImageToVideoPipeline.from_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    first, last = some_clip(1, seed=1), some_clip(1, seed=2) if ends == "both" else None
    as_tensor = [
        None if each is None else torch.from_numpy(each.frames).permute(0, 3, 1, 2) / 255 for each in (first, last)
    ]
    options = {"seconds": frames / FPS, "seed": 3, "steps": 5, "size": SIZE, "guidance": 4.0}
    noise = ours.noise(ours.request(PROMPT, **options | {"seed": 4}))  # what is made after the first frame
    expected = theirs(
        image=as_tensor[0],
        last_image=as_tensor[1],
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        height=SIZE[1],
        width=SIZE[0],
        num_frames=frames,
        num_inference_steps=5,
        guidance_scale=4.0,
        latents=noise,
        output_type="np",
    ).frames[0]
    clip = edits.animate(ours, PROMPT, first, last, negative_prompt=NEGATIVE, **options).clip()
    made = clip.frames[: frames - (last is not None)]  # a last picture comes out as it was given
    difference = float(np.abs(made / 255 - expected[: len(made)]).max())
    print(f"largest difference of a pixel {difference:.4f} (of 1)")
    assert difference < 0.51 / 255 + 1e-4
    assert last is None or np.array_equal(clip.frames[-1:], last.frames)


def test_a_window_goes_on_from_the_last_frames(ours, windows):
    picture = some_clip(1)
    frames = edits.animate(ours, PROMPT, picture, seconds=40 / FPS, **HOW).clip().frames
    assert len(frames) == 40
    assert given(windows) == ["k" + 16 * ".", 5 * "k" + 12 * ".", 5 * "k" + 12 * "."]
    assert all(each.known_latents is None for _, each, _ in windows)
    torch.testing.assert_close(windows[0][1].concat_latents[:, 4:], grey(ours, 17, {0: picture.frames}))
    torch.testing.assert_close(windows[1][1].concat_latents[:, 4:], grey(ours, 17, {0: frames[12:17]}))


def test_clips_stay_and_are_led_up_to(ours, windows):
    a, b = some_clip(11, seed=1), some_clip(9, seed=2)
    joined = edits.connect(ours, PROMPT, a, b, 6 / FPS, **HOW).clip().frames
    between = len(joined) - 20
    assert np.array_equal(joined[:11], a.frames) and np.array_equal(joined[-9:], b.frames)
    assert given(windows) == [5 * "k" + between * "." + (12 - between) * "k"]
    own = {0: a.frames[-5:], 5 + between: b.frames[: 12 - between]}
    torch.testing.assert_close(windows[0][1].concat_latents[:, 4:], grey(ours, 17, own))
    windows.clear()
    longer = edits.extend(ours, PROMPT, a, forward=4 / FPS, backward=8 / FPS, **HOW).clip().frames
    assert len(longer) == 8 + 11 + 4 and np.array_equal(longer[8:19], a.frames)
    before, after = given(windows)
    assert before.endswith("k") and before.startswith(".") and after == 5 * "k" + 4 * "."
    windows.clear()
    edits.loop(ours, PROMPT, a, seconds=8 / FPS, **HOW).clip()
    assert given(windows) == [5 * "k" + 8 * "." + 4 * "k"]


def test_a_last_picture_is_at_the_last_frame(ours, windows):
    picture = some_clip(1)
    clip = edits.animate(ours, PROMPT, None, picture, seconds=14 / FPS, **HOW).clip()
    assert len(clip.frames) == 14 and np.array_equal(clip.frames[-1:], picture.frames)
    assert given(windows) == [13 * "." + "k" + 3 * "."]


def test_what_is_far_ahead_is_led_up_to(ours, windows):
    """Nothing can be made out of nothing, so windows follow each other backwards from what is given."""
    picture = some_clip(1)
    clip = edits.animate(ours, PROMPT, None, picture, seconds=40 / FPS, **HOW).clip()
    assert len(clip.frames) == 40 and np.array_equal(clip.frames[-1:], picture.frames)
    assert len(windows) > 2 and all("k" in mask for mask in given(windows))
    board = Storyboard(50 / FPS, (Card(0, PROMPT), Card(40 / FPS, "a dog", some_clip(4))))
    frames = produce(ours, board, **HOW).clip().frames
    assert len(frames) == 50 and np.array_equal(frames[40:44], some_clip(4).frames)
    assert all(condition.text_embeds.ndim == 4 for _, condition, _ in windows[-4:])


def test_texts_change_while_it_goes_on(ours, windows):
    board = Storyboard(30 / FPS, (Card(0, PROMPT, some_clip(1)), Card(8 / FPS, "a dog")))
    assert len(produce(ours, board, **HOW).clip().frames) == 30
    assert [condition.text_embeds.ndim for _, condition, _ in windows] == [4, 4, 4]
    assert all(condition.concat_latents is not None for _, condition, _ in windows)


def test_nothing_given_is_refused_before_the_work(folder, ours, tmp_path, capsys):
    with pytest.raises(ValueError, match="makes videos out of a picture or clip"):
        ours.generate(PROMPT, **HOW)
    with pytest.raises(ValueError, match="makes videos out of a picture or clip"):
        edits.remix(ours, PROMPT, some_clip(9), **HOW).clip()
    out = tmp_path / "a.mp4"
    assert main(["generate", "a dog", "--model", str(folder), "--size", "64x96", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "take a text-to-video model" in error
    assert not list(tmp_path.iterdir())


def test_one_text_at_a_time_gives_the_same(folder, ours):
    apart = Pipeline.load(
        folder, device="cpu", dtype=torch.float32, plan=MemoryPlan(sequential_cfg=True, tiled=True, model_offload=True)
    )
    a, b = (
        edits.animate(each, PROMPT, some_clip(1), seconds=9 / FPS, **HOW).clip().frames.astype(int)
        for each in (ours, apart)
    )
    assert np.abs(a - b).max() <= 1


def test_what_is_read_beside_counts_in_the_memory():
    size = (832, 480)
    plain, reading = (
        memory.stages(OPEN_WEIGHTS[name], MemoryPlan(model_offload=True), size, 81, "cuda")
        for name in ("wan2.2-a14b", "wan2.2-i2v-a14b")
    )
    given = 4 * concat_channels(16) * 21 * (480 // 8) * (832 // 8)  # bytes in float32
    assert given < reading["denoise"] - plain["denoise"] < 5 * given
