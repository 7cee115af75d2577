"""Pictures and clips as prompts, on a tiny untrained model: what is given stays, what is asked for is added."""

import numpy as np
import pytest
import torch
from PIL import Image

import tenku
from tenku.cli import main
from tenku.media.clip import Clip
from tenku.media.resize import at_rate, fit, nearest_size
from tenku.model.autoencoder import to_frames
from tenku.model.settings import ModelSettings
from tenku.sample import conditioning, edits
from tenku.sample.denoise import roll_time
from tenku.sample.user_frames import whole_groups

PROMPT = "a red ball drops onto the ice"


@pytest.fixture(scope="module")
def pipeline(tiny_folder):
    """With a decoder that uses what it remembers, which an untrained one does not, and does not look ahead: what is
    given then comes back exactly, up to the joint."""
    pipeline = tenku.load(tiny_folder, device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        pipeline.autoencoder.decoder.conv_in.weight[:, pipeline.autoencoder.latent_channels :] = 0
        for block in [*pipeline.autoencoder.decoder.eighth, *pipeline.autoencoder.decoder.quarter]:
            block.conv_out.weight.normal_(std=0.2)
    return pipeline


def noisy_clip(frames, width=64, height=64, fps=16.0, seed=0):
    random = np.random.default_rng(seed)
    return Clip(random.integers(0, 256, (frames, height, width, 3), dtype=np.uint8), fps)


@torch.inference_mode()
def round_trip(pipeline, frames):
    return to_frames(pipeline.autoencoder.decode(pipeline.engine.encode(frames)))


def test_fit_fills_and_cuts_evenly():
    frames = np.zeros((1, 40, 100, 3), np.uint8)
    frames[:, :, 50:] = 200
    wide = fit(frames, (64, 64))[0]
    assert wide.shape == (64, 64, 3) and wide[:, :30].max() == 0 and wide[:, 34:].min() == 200  # the middle stayed
    assert np.array_equal(fit(frames, (100, 40)), frames)
    settings = ModelSettings("x", sizes=((64, 64), (80, 48), (48, 80)))
    assert [nearest_size(settings.sizes, size) for size in ((500, 500), (1920, 1080), (1080, 1920))] == list(
        settings.sizes
    )


def test_a_clip_at_another_rate_lasts_as_long():
    clip = Clip(np.arange(60, dtype=np.uint8)[:, None, None, None].repeat(3, axis=-1), 30)
    slow = at_rate(clip, 16)[:, 0, 0, 0]
    assert len(slow) == 32 and slow[0] == 0 and slow[-1] in (58, 59) and np.all(np.diff(slow.astype(int)) > 0)
    assert len(at_rate(clip, 60)) == 120
    assert whole_groups(clip.frames[:11], 4, "end")[0, 0, 0, 0] == 3
    with pytest.raises(ValueError, match="a clip of 3 frames is too short: at least 4 are needed"):
        whole_groups(clip.frames[:3], 4, "start")


def equal(a, b):
    """The same frames: on some CPUs the last bit depends on how much is decoded at a time, and tips a rounding."""
    return a.shape == b.shape and np.abs(a.astype(int) - b).max() <= 1


@pytest.mark.parametrize("ends", ["first", "last", "both"])
def test_animate_holds_the_pictures(pipeline, ends):
    a, b = noisy_clip(1, 200, 100, seed=1), noisy_clip(1, 300, 300, seed=2)
    given = {"first": (a, None), "last": (None, a), "both": (a, b)}[ends]
    clip = edits.animate(pipeline, PROMPT, *given, seconds=1, seed=3).clip()
    assert clip.size == (96, 64) and len(clip.frames) == 16 and clip.metadata["task"] == "animate"
    if given[0] is not None:  # nothing comes before it: exactly the autoencoder's own round trip
        assert equal(clip.frames[:4], round_trip(pipeline, fit(given[0].frames, clip.size)))
    if given[1] is not None:
        other = edits.animate(pipeline, PROMPT, given[0], noisy_clip(1, seed=9), seconds=1, seed=3).clip()
        assert not np.array_equal(clip.frames[-4:], other.frames[-4:])


def test_a_long_animation_goes_on_window_by_window(pipeline):
    picture = noisy_clip(1, seed=1)
    clip = edits.animate(pipeline, PROMPT, picture, noisy_clip(1, seed=2), seconds=6, seed=3).clip()
    assert len(clip.frames) == 96
    assert equal(clip.frames[:4], round_trip(pipeline, picture.frames))


def test_animate_needs_a_picture_and_room(pipeline):
    with pytest.raises(ValueError, match="no picture to animate"):
        edits.animate(pipeline, PROMPT).clip()
    with pytest.raises(ValueError, match="leave nothing to make beside what is given"):
        edits.animate(pipeline, PROMPT, noisy_clip(1), noisy_clip(1), seconds=0.5).clip()


def test_extend_keeps_the_clip(pipeline):
    given = noisy_clip(18)
    longer = edits.extend(pipeline, PROMPT, given, forward=1.0, seed=1).clip()
    assert len(longer.frames) == 16 + 16  # two frames at the start do not fill a group
    assert equal(longer.frames[:16], round_trip(pipeline, given.frames[2:]))
    earlier = edits.extend(pipeline, PROMPT, given, backward=0.5, seed=1).clip()
    assert len(earlier.frames) == 8 + 16
    both = edits.extend(pipeline, PROMPT, given, forward=0.25, backward=0.25, seed=1).clip()
    assert len(both.frames) == 4 + 16 + 4
    with pytest.raises(ValueError, match="say how far to extend: forward or backward above 0 s, got 0 and 0"):
        edits.extend(pipeline, PROMPT, given).clip()


def test_a_long_extension_goes_window_by_window(pipeline, monkeypatch):
    windows = []
    make = pipeline.engine.sample

    def watched(request, **more):
        windows.append((request.num_frames, request.seed, None))
        return make(request, **more)

    monkeypatch.setattr(pipeline.engine, "sample", watched)
    clip = edits.extend(pipeline, PROMPT, noisy_clip(48), forward=6.0, seed=1).clip()
    assert len(clip.frames) == 48 + 96
    assert max(frames for frames, _, _ in windows) == pipeline.settings.max_frames == 48
    assert len({seed for _, seed, _ in windows}) == len(windows) == 4  # 24 latent frames, 6 at a time


def test_connect_leads_from_one_to_the_other(pipeline):
    a, b = noisy_clip(20, seed=1), noisy_clip(40, seed=2)
    clip = edits.connect(pipeline, PROMPT, a, b, 1.0, seed=1).clip()
    assert len(clip.frames) == 20 + 16 + 40
    assert equal(clip.frames[:20], round_trip(pipeline, a.frames))
    # Far from the joint the decoder remembers nothing of what was before it.
    assert equal(clip.frames[-20:], round_trip(pipeline, b.frames)[-20:])
    with pytest.raises(ValueError, match=r"new seconds between two ends are above 0 and at most 2.5, got 3"):
        edits.connect(pipeline, PROMPT, a, b, 3.0).clip()


def test_a_connection_begins_as_a_cross_fade(pipeline, monkeypatch):
    asked = []

    def watched(request, latents, known, *, conditioning_fn):
        condition = conditioning_fn(conditioning.from_text(pipeline.text_encoder, [PROMPT]))
        asked.append((request.params.guidance_scale, condition.strength))
        assert condition.start_latents is latents
        first, last = (int(each) for each in torch.where(~known)[0][[0, -1]])
        before, after = latents[:, :, first - 1], latents[:, :, last + 1]
        for frame in range(first, last + 1):
            share = (frame - first + 1) / (last - first + 2)
            torch.testing.assert_close(latents[:, :, frame], (1 - share) * before + share * after)
        return inpaint(request, latents, known, conditioning_fn=conditioning_fn)

    inpaint = pipeline.windows.inpaint_frames
    monkeypatch.setattr(pipeline.windows, "inpaint_frames", watched)
    a, b = noisy_clip(20, seed=1), noisy_clip(40, seed=2)
    edits.connect(pipeline, PROMPT, a, b, 1.0, seed=1)
    edits.connect(pipeline, PROMPT, a, b, 1.0, seed=1, guidance=4.0)
    edits.connect(pipeline, PROMPT, a, b, 1.0, seed=1, negative_prompt="blue")
    usual = pipeline.settings.defaults.guidance_scale
    assert [scale for scale, _ in asked] == [1.0, 4.0, usual] and {strength for _, strength in asked} == {
        edits.CROSS_FADE
    }


@pytest.mark.parametrize("given", ["......", "kkkk..", ".kk..k"])
def test_a_loop_has_no_first_frame(tiny_folder, given):
    """Started anywhere, the same latents on the circle give the same frames, turned: there is no seam to see."""
    pipeline = tenku.load(tiny_folder, device="cpu")
    with torch.no_grad():
        for block in [*pipeline.autoencoder.decoder.eighth, *pipeline.autoencoder.decoder.quarter]:
            block.conv_out.weight.normal_(std=0.2)
    request = pipeline.request(PROMPT, seconds=1.5, seed=1)
    latents = torch.randn(pipeline.engine.noise(request).shape)
    own = torch.tensor([letter == "k" for letter in given])

    def frames(latents, own):
        return np.concatenate(list(pipeline.windows.to_frames(request, [latents], own, cyclic=True)[0]))[:24]

    whole = frames(latents, own)
    turned = frames(latents.roll(-2, dims=2), own.roll(-2))
    assert np.abs(np.roll(whole, -8, axis=0).astype(int) - turned.astype(int)).max() <= 1
    plain = np.concatenate(list(pipeline.windows.to_frames(request, [latents], own)[0]))
    assert not np.array_equal(plain[:4], whole[:4])
    if own.any():
        assert not np.array_equal(whole, frames(latents, torch.zeros_like(own)))


def test_every_frame_is_the_first_at_some_step():
    starts = []

    def velocity(x, t):
        starts.append(int(x[0, 0, 0, 0, 0]))
        return x

    x = torch.arange(6.0).view(1, 1, 6, 1, 1)
    turned = roll_time(velocity, 6)
    assert all(torch.equal(turned(x, 0.5), x) for _ in range(12))
    assert set(starts) == set(range(6))


def test_numbers_of_numpy_and_other_kinds(pipeline, tmp_path):
    clip, half = noisy_clip(16), np.float32(0.5)
    edits.connect(pipeline, PROMPT, clip, clip, half, seed=1, size=[64, 64]).save(tmp_path / "a.mp4")
    assert Clip.load(tmp_path / "a.mp4").metadata["seconds"] == "0.5"
    assert len(edits.remix(pipeline, PROMPT, clip, half, seed=1).clip().frames) == 16
    for strength in ((0.1, 0.2, 0.3), "much", None):
        with pytest.raises(ValueError, match="strength must be a number or two"):
            edits.remix(pipeline, PROMPT, clip, strength)
    with pytest.raises(ValueError, match="strength must be above 0 and at most 1, got 2"):
        edits.remix(pipeline, PROMPT, clip, 2)  # at once, and not when it is read
    with pytest.raises(ValueError, match="seconds must be between 0 .* got -1"):
        pipeline.generate(PROMPT, seconds="-1")


def test_loops(pipeline):
    made = edits.loop(pipeline, PROMPT, seconds=1.6, seed=1).clip()
    assert len(made.frames) == 28 and made.metadata["task"] == "loop"
    given = noisy_clip(24)
    back = edits.loop(pipeline, PROMPT, given, seconds=0.5, seed=1).clip()
    assert len(back.frames) == 24 + 8
    for seconds in (0, 60):
        with pytest.raises(ValueError, match=f"a loop lasts 0.5 to 3 s, got {seconds}"):
            edits.loop(pipeline, PROMPT, seconds=seconds).clip()


def test_remix_goes_from_nothing_changed_to_all_new(pipeline):
    given = noisy_clip(24)
    own = round_trip(pipeline, given.frames).astype(int)
    far = [
        np.abs(edits.remix(pipeline, PROMPT, given, strength, seed=1).clip().frames - own).mean()
        for strength in (0.01, 0.3, 1.0)
    ]
    assert far[0] < 0.2 * far[1] < far[2] and far[0] < 7
    plain = pipeline.generate(PROMPT, seconds=1.5, seed=1).frames
    assert np.array_equal(edits.remix(pipeline, PROMPT, given, 1.0, seed=1).clip().frames, plain)
    with pytest.raises(ValueError, match="strength must be above 0 and at most 1, got 0"):
        edits.remix(pipeline, PROMPT, given, 0.0).clip()


def test_remix_keeps_what_the_mask_says(pipeline):
    given, mask = noisy_clip(24, 96, 64), np.zeros((1, 64, 96, 3), np.uint8)
    mask[:, :, :56] = 255
    request = pipeline.request(PROMPT, seconds=1.5, size=(96, 64), seed=1)
    places = edits.kept_places(pipeline, Clip(mask, 16), request, slice(0, 24))
    assert places.shape == (1, 1, 6, 8, 12) and places[..., :7].all() and not places[..., 7:].any()
    growing = Clip(np.concatenate([np.zeros_like(mask).repeat(6, axis=0), mask]), 16)
    seen = edits.kept_places(pipeline, growing, request, slice(0, 24))[0, 0].any(-1).any(-1)
    assert seen.tolist() == [False, True, True, True, True, True]  # as in the middle of each group
    made = edits.remix(pipeline, PROMPT, given, 0.9, keep=Clip(mask, 16), seed=1).clip().frames
    own = round_trip(pipeline, given.frames)
    assert np.array_equal(made[:, :, :8], own[:, :, :8])  # convolutions see a little across the border
    assert not np.array_equal(made[:, :, 64:], own[:, :, 64:])


def test_a_long_remix_begins_each_window_with_the_last(pipeline):
    clip = edits.remix(pipeline, PROMPT, noisy_clip(96), 0.7, seed=1).clip()
    assert len(clip.frames) == 96
    start = edits.remix(pipeline, PROMPT, noisy_clip(48), 0.7, seed=1).clip()
    assert np.array_equal(clip.frames[:46], start.frames[:46])


def test_strength_changes_from_frame_to_frame(pipeline):
    given = noisy_clip(48)
    own = round_trip(pipeline, given.frames).astype(int)
    made = edits.remix(pipeline, PROMPT, given, (0.0, 1.0), seed=1, steps=8).clip().frames
    far = np.abs(made - own).mean(axis=(1, 2, 3)).reshape(12, 4).mean(1)
    assert far[0] == 0 and far[-1] > 20 and far[6] > 2 * far[1]
    for strength in ((0.5, 0.5), (-0.1, 0.5), (0.2, 1.1)):
        with pytest.raises(ValueError, match="two strengths lie between 0 and 1 and differ"):
            edits.remix(pipeline, PROMPT, given, strength)


def test_two_strengths_need_two_frames_and_a_solver_that_can(pipeline):
    with pytest.raises(ValueError, match="at least two latent frames"):
        edits.remix(pipeline, PROMPT, noisy_clip(5), (0.1, 0.9))
    with pytest.raises(ValueError, match="unipc takes one strength for all frames"):
        edits.remix(pipeline, PROMPT, noisy_clip(16), (0.1, 0.9), solver="unipc").clip()


def test_commands(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    noisy_clip(1, 70, 50).save("photo.png")
    noisy_clip(24).save("a.mp4")
    noisy_clip(20, seed=1).save("b.gif")
    common = [PROMPT, "--model", str(tiny_folder), "--seed", "5", "--steps", "2"]
    for arguments, frames in (
        (["animate", "photo.png", *common, "--seconds", "1", "--last", "b.gif"], 16),
        (["animate", "photo.png", *common, "--seconds", "1", "--as-last"], 16),
        (["extend", "a.mp4", *common, "--forward", "1s", "--backward", ".5"], 48),
        (["connect", "a.mp4", "b.gif", *common, "--seconds", "1"], 60),
        (["loop", *common, "--seconds", "2"], 32),
        (["loop", *common, "--clip", "a.mp4"], 48),
        (["remix", "a.mp4", *common, "--strength", "0.5", "--keep", "photo.png"], 24),
        (["remix", "a.mp4", *common, "--strength", "0.2:0.8"], 24),
    ):
        assert main([*arguments, "--out", "out.mp4"]) == 0, capsys.readouterr().err
        assert len(Clip.load("out.mp4").frames) == frames
    for arguments, message in (
        (["extend", "a.mp4", *common, "--forward", "soon"], "'soon' should be a number of seconds"),
        (["extend", "nothing.mp4", *common, "--forward", "1"], "there is no file nothing.mp4"),
        (["animate", "photo.png", *common, "--last", "b.gif", "--as-last"], "leave out --last, or --as-last"),
        (["connect", "photo.png", "a.mp4", *common], "a clip of 1 frames is too short"),
        (["remix", "a.mp4", *common, "--strength", "much"], "strength 'much' should be a number above 0"),
        (["remix", "a.mp4", *common, "--strength", "1.5"], "strength must be above 0 and at most 1, got 1.5"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


def test_pictures_are_read_upright_opaque_and_in_eight_bits(tmp_path):
    tall = Image.new("RGB", (20, 40), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    tall.save(tmp_path / "turned.jpg", exif=exif)
    assert Clip.load(tmp_path / "turned.jpg").size == (40, 20)
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert Clip.load(tmp_path / "clear.png").frames.min() == 255
    Image.fromarray(np.linspace(0, 60000, 64, dtype=np.uint16).reshape(8, 8)).save(tmp_path / "deep.png")
    grey = Clip.load(tmp_path / "deep.png").frames
    assert grey.min() == 0 and grey.max() == 233  # 60000 of 65535


def test_a_long_video_is_made_window_by_window(pipeline, monkeypatch):
    made = []
    make = pipeline.engine.sample

    def watched(request, **more):
        made.append(request.num_frames)
        return make(request, **more)

    monkeypatch.setattr(pipeline.engine, "sample", watched)
    clip = pipeline.generate(PROMPT, seconds=10, seed=1)
    assert len(clip.frames) == 160 and clip.metadata["seed"] == 1
    assert made[0] == max(made) == 48 and len(made) == 6  # 12 latent frames, then 28 more, 6 at a time
    short = pipeline.generate(PROMPT, seconds=3, seed=1)
    assert np.array_equal(clip.frames[:44], short.frames[:44])  # it begins like the short one
    first = next(iter(pipeline.stream(PROMPT, seconds=3000, seed=1)))
    assert np.array_equal(first, clip.frames[0])  # frames come before the end is made


def test_a_long_video_again_is_the_same(pipeline):
    again = [pipeline.generate(PROMPT, seconds=4, seed=1).frames for _ in range(2)]
    assert np.array_equal(*again) and not np.array_equal(again[0][:16], again[0][48:64])
