"""Groups are encoded alone, the decoder looks one ahead, and a stream decodes to what the whole decodes to."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tenku.model.autoencoder import PRESETS, Autoencoder, load_autoencoder, nano, smooth_borders
from tenku.model.weights import save_module


@pytest.fixture(scope="module")
def autoencoder() -> Autoencoder:
    """Untrained, but with blocks that do something and latents that are scaled."""
    torch.manual_seed(0)
    config = replace(nano(), decoder_depths=(2, 2))
    autoencoder = Autoencoder(config).eval().requires_grad_(False)
    for name, parameter in autoencoder.named_parameters():
        if "conv_out" in name:
            parameter.normal_(std=0.1)
    autoencoder.latent_mean.normal_()
    autoencoder.latent_std.uniform_(0.5, 2)
    return autoencoder


def video(frames: int = 12, height: int = 16, width: int = 24, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, frames, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_shapes(autoencoder: Autoencoder) -> None:
    latents = autoencoder.encode(video())
    assert latents.shape == (2, 16, 3, 2, 3)
    assert autoencoder.decode(latents).shape == (2, 3, 12, 16, 24)
    assert [autoencoder.latent_frames(n) for n in (1, 4, 5, 48)] == [1, 1, 2, 12]


def test_each_group_is_encoded_by_itself(autoencoder: Autoencoder) -> None:
    clip = video()
    whole = autoencoder.encode(clip)
    for group in range(3):
        alone = autoencoder.encode(clip[:, :, 4 * group : 4 * group + 4])
        torch.testing.assert_close(whole[:, :, group : group + 1], alone, atol=1e-5, rtol=1e-5)
    changed = clip.clone()
    changed[:, :, 4:8] = 0
    same = (autoencoder.encode(changed) - whole).abs().amax(dim=(0, 1, 3, 4)) < 1e-5
    assert same.tolist() == [True, False, True]


def test_every_frame_of_a_group_counts(autoencoder: Autoencoder) -> None:
    clip = video(4)
    for frame in range(4):
        changed = clip.clone()
        changed[:, :, frame] = 0
        assert (autoencoder.encode(changed) - autoencoder.encode(clip)).abs().max() > 1e-3


def test_the_decoder_sees_the_past_and_one_latent_frame_ahead(autoencoder: Autoencoder) -> None:
    latents = autoencoder.encode(video(16))
    changed = latents.clone()
    changed[:, :, 2] += 1
    difference = (autoencoder.decode(changed) - autoencoder.decode(latents)).abs().amax(dim=(0, 1, 3, 4))
    assert difference[:2].max() < 1e-5  # the next two frames meet the group after theirs, which looks ahead
    difference = difference.unflatten(0, (4, 4)).amax(1)
    assert difference[1] > 1e-2 and difference[2] > 1e-2 and difference[3] > 1e-4


def test_groups_are_made_to_meet_where_nothing_moves() -> None:
    ramp = torch.linspace(-0.5, 0.5, 12).view(1, 1, 12, 1, 1).expand(1, 3, 12, 8, 8).clone()
    torch.testing.assert_close(smooth_borders(ramp, 4), ramp)  # a steady change is no jump
    for size, left in ((0.02, 0.26), (1.0, 1.0)):  # an error, and something that moves
        video = torch.zeros(1, 3, 12, 8, 8)
        video[:, :, 4:8] = size
        steps = smooth_borders(video, 4).diff(dim=2)[0, 0, :, 4, 4].abs() / size
        assert steps[3] == pytest.approx(left, abs=0.03) and steps[7] == pytest.approx(left, abs=0.03)
        assert steps[0] == steps[10] == 0  # away from the borders


def test_where_given_groups_meet_made_ones_these_alone_change() -> None:
    video = torch.zeros(1, 3, 16, 8, 8)
    video[:, :, 4:8], video[:, :, 8:12] = 0.2, 0.4
    filtered = smooth_borders(video, 4, torch.tensor([True, False, False, True]))
    change = (filtered - video)[0, 0, :, 4, 4]
    assert change[:4].abs().max() == change[12:].abs().max() == 0
    assert change[4] < change[5] < 0 and change[11] < change[10] < 0  # all of it, towards what was given
    steps = filtered.diff(dim=2)[0, 0, :, 4, 4]
    assert 0 < steps[3] < 0.1 and -0.27 < steps[11] < 0  # of 0.2 and -0.4: the larger one moves, and more of it stays
    between = smooth_borders(video, 4)[0, 0, 6:10, 4, 4] - video[0, 0, 6:10, 4, 4]
    torch.testing.assert_close(change[6:10], between)  # two made groups meet as ever
    assert smooth_borders(video, 4, torch.ones(4, dtype=torch.bool)).equal(smooth_borders(video, 4))


def test_the_last_given_group_looks_half_ahead(autoencoder: Autoencoder) -> None:
    latents = autoencoder.encode(video(12))
    other = latents.clone()
    other[:, :, 2] += 0.1

    def moved(given: torch.Tensor | None) -> float:
        """How much of the second group, up to where it meets the third, changes with that."""
        a, b = (autoencoder.decode_next(each, is_user_frame=given)[0][:, :, 4:6] for each in (latents, other))
        return float((a - b).abs().mean())

    ahead, half = moved(None), moved(torch.tensor([True, True, False]))
    assert 0.3 * ahead < half < 0.7 * ahead
    assert moved(torch.tensor([False, False, False])) == moved(torch.tensor([True, True, True])) == ahead


def test_a_picture_among_made_frames_does_not_look_back(autoencoder: Autoencoder) -> None:
    latents = autoencoder.encode(video(12))
    other = latents.clone()
    other[:, :, :2] += 0.1
    for own, same in (([False, False, True], True), ([False, True, True], False), ([True, True, True], False)):
        a, b = (
            autoencoder.decode_next(each, is_user_frame=torch.tensor(own))[0][:, :, 8:] for each in (latents, other)
        )
        assert a.equal(b) == same
    alone = autoencoder.decode(latents[:, :, 2:])
    a, _ = autoencoder.decode_next(latents, is_user_frame=torch.tensor([False, False, True]))
    torch.testing.assert_close(a[:, :, 8:], alone, atol=1e-5, rtol=1e-5)  # as it comes back by itself


@pytest.mark.parametrize("own", [None, [True, True, False, False, True]])
@pytest.mark.parametrize("pieces", [[1, 1, 1, 1, 1], [2, 3], [4, 1], [5]])
def test_a_stream_decodes_to_the_whole(autoencoder: Autoencoder, pieces: list[int], own: list[bool] | None) -> None:
    latents = autoencoder.encode(video(20))
    given = None if own is None else torch.tensor(own)
    state, parts, sizes, done = None, [], set(), 0
    split = latents.split(pieces, dim=2)
    for piece, after in zip(split, [*(piece[:, :, :1] for piece in split[1:]), None], strict=True):
        seen = None if given is None else given[max(0, done - 1) : done + piece.shape[2] + 1]
        part, state = autoencoder.decode_next(piece, state, after, seen)
        parts.append(part)
        sizes.add(sum(tensor.numel() for tensor in state))
        done += piece.shape[2]
    whole, _ = autoencoder.decode_next(latents, is_user_frame=given)
    torch.testing.assert_close(torch.cat(parts, dim=2), whole, atol=1e-5, rtol=1e-5)
    assert len(sizes) == 1  # memory does not grow
    assert whole.equal(autoencoder.decode(latents)) == (own is None)


def test_a_loop_has_its_own_end_as_the_past(autoencoder: Autoencoder) -> None:
    latents = autoencoder.encode(video(12))
    _, state = autoencoder.decode_next(latents, following=latents[:, :, :1])
    around, _ = autoencoder.decode_next(latents, state)
    twice = autoencoder.decode(torch.cat([latents, latents], dim=2))
    torch.testing.assert_close(around, twice[:, :, 10:], atol=1e-5, rtol=1e-5)  # two frames were kept back


def test_a_still_picture_is_one_latent_frame(autoencoder: Autoencoder) -> None:
    picture = video(1)
    latents = autoencoder.encode(picture)
    torch.testing.assert_close(latents, autoencoder.encode(picture.repeat(1, 1, 4, 1, 1)))
    assert latents.shape[2] == 1


def test_latents_are_scaled_on_the_way_out_and_back(autoencoder: Autoencoder) -> None:
    mean, log_variance = autoencoder.encode_distribution(video())
    assert log_variance.shape == mean.shape
    scaled = autoencoder.encode(video())
    channel = (mean[:, 3] - autoencoder.latent_mean[3]) / autoencoder.latent_std[3]
    torch.testing.assert_close(scaled[:, 3], channel)
    plain = autoencoder.decode_raw(mean)
    torch.testing.assert_close(autoencoder.decode(scaled), smooth_borders(plain, 4))


def test_weights_survive_their_folder(autoencoder: Autoencoder, tmp_path: Path) -> None:
    save_module(autoencoder, autoencoder.config, tmp_path / "autoencoder", torch.float32)
    for folder in (tmp_path, tmp_path / "autoencoder"):
        loaded = load_autoencoder(folder)
        assert loaded.config == autoencoder.config
        assert torch.equal(loaded.encode(video()), autoencoder.encode(video()))


def test_bfloat16_is_close_to_float32(autoencoder: Autoencoder) -> None:
    latents = autoencoder.encode(video())
    half = Autoencoder(autoencoder.config).eval()
    half.load_state_dict(autoencoder.state_dict())
    difference = half.bfloat16().decode(latents).float() - autoencoder.decode(latents)
    assert difference.std() < 0.05 * autoencoder.decode(latents).std()


def test_learning_reaches_every_parameter() -> None:
    autoencoder = Autoencoder(nano())
    torch.nn.init.normal_(autoencoder.decoder.quarter[0].conv_out.weight)  # zero at first, as all of them
    mean, _ = autoencoder.encode_distribution(video())
    autoencoder.decode_raw(mean).square().mean().backward()
    unused = [n for n, p in autoencoder.named_parameters() if p.grad is None]
    assert not unused


@pytest.mark.parametrize(
    "shape, expected",
    [
        ((1, 3, 5, 16, 16), "multiple of 4 or 1"),
        ((1, 3, 4, 12, 16), "16x12"),
        ((1, 4, 4, 16, 16), "B 3 T H W"),
        ((1, 3, 0, 16, 16), "multiple of 4 or 1"),
    ],
)
def test_bad_videos_are_named(autoencoder: Autoencoder, shape: tuple[int, ...], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        autoencoder.encode(torch.zeros(shape))


def test_bad_latents_and_configurations_are_named(autoencoder: Autoencoder) -> None:
    with pytest.raises(ValueError, match="B 16 T h w"):
        autoencoder.decode(torch.zeros(1, 8, 2, 2, 2))
    with pytest.raises(ValueError, match="encoder_widths"):
        replace(nano(), encoder_widths=(16,))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_built(name: str) -> None:
    with torch.device("meta"):
        Autoencoder(PRESETS[name]())
