import pytest
import torch

from tenku import flow
from tenku.train.corruption import CorruptionConfig, corrupt
from tenku.train.history_augmentation import augment_history, blurred
from tests.train.test_corruption import Tokens, generator


def test_worn_latents_stay_near_and_keep_their_motion():
    latents = torch.randn(64, 16, 4, 8, 8, generator=generator())
    worn = augment_history(latents, generator(1))
    off = (worn - latents).square().mean((1, 2, 3, 4))
    assert worn.shape == latents.shape and 0.001 < off.min() < 0.05 and 0.05 < off.mean() < 0.5
    still = augment_history(latents[:, :, :1].expand(-1, -1, 4, -1, -1), generator(1))
    assert torch.allclose(still[:, :, 0], still[:, :, 3], atol=1e-6)  # all frames of a sample alike


def test_blur_keeps_what_is_even_up_to_the_edge():
    assert torch.allclose(blurred(torch.full((1, 2, 3, 5, 4), 0.7)), torch.tensor(0.7))


@pytest.mark.parametrize("height, width", [(1, 1), (3, 5), (16, 16)])
def test_any_size_wears(height, width):
    worn = augment_history(torch.randn(2, 4, 1, height, width), generator())
    assert worn.shape == (2, 4, 1, height, width) and worn.isfinite().all()


def test_only_frames_shown_with_noise_are_worn_and_what_is_to_be_made_never_is():
    data = torch.randn(64, 4, 6, 4, 4, generator=generator())
    config = CorruptionConfig(cond_prob=1.0, history_noise_prob=0.5, history_aug_prob=1.0)
    batch = corrupt(data, [""] * 64, Tokens(), config, generator(1), generator(2))
    changed = (batch.augmented != data).any(dim=(1, 3, 4))
    noisy = batch.cond_mask & (batch.t > 0)
    assert torch.equal(changed, noisy) and noisy.any() and (batch.cond_mask & ~noisy).any()
    assert torch.equal(batch.latents, data)
    assert torch.equal(batch.noised, flow.interpolate(batch.augmented, batch.noise, batch.t))


def test_as_many_are_worn_as_asked():
    data = torch.randn(2000, 1, 3, 2, 2, generator=generator())
    config = CorruptionConfig(cond_prob=1.0, history_noise_prob=1.0, history_aug_prob=0.7)
    batch = corrupt(data, [""] * 2000, Tokens(), config, generator(1), generator(2))
    worn = (batch.augmented != data).flatten(1).any(1)
    assert worn.float().mean() == pytest.approx(0.7, abs=0.05)


def test_nothing_is_worn_unasked():
    data = torch.randn(8, 4, 6, 4, 4, generator=generator())
    config = CorruptionConfig(cond_prob=1.0, history_noise_prob=1.0, history_aug_prob=0.0)
    batch = corrupt(data, [""] * 8, Tokens(), config, generator(1), generator(2))
    assert torch.equal(batch.augmented, data)
