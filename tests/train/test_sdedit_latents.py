"""Latents made anew: near the true ones, the held ones untouched."""

import torch

from tenku.model import load_autoencoder
from tenku.train.sdedit_latents import NOISE_LEVELS, SDEdit


def test_what_is_made_lies_near_and_what_is_held_stays(tiny_folder):
    make = SDEdit(tiny_folder, load_autoencoder(tiny_folder))
    latents = torch.randn(32, make.transformer.config.latent_channels, 4, 4, 4)
    made = make(latents, torch.Generator().manual_seed(0))
    assert made.shape == latents.shape and not made.requires_grad
    moved = (made - latents).flatten(3).square().mean((1, 3)).sqrt()  # B T
    held = moved == 0
    assert 4 <= held.all(1).sum() <= 22  # about 4 in 10 are left alone …
    assert (~held).all(1).any() and (held.any(1) & ~held.all(1)).any()  # … and others held in part, or not at all
    assert 0.01 < moved[~held].mean() < 2 * NOISE_LEVELS[1]
    assert make(latents, torch.Generator().manual_seed(0)).equal(made)


def test_a_transformer_that_knows_the_answer_gives_it_back(tiny_folder, monkeypatch):
    """The velocity towards the true latents leads there from any level."""
    make = SDEdit(tiny_folder, load_autoencoder(tiny_folder))
    latents = torch.randn(4, make.transformer.config.latent_channels, 3, 4, 4)

    def velocity(x, t, text, mask, *, text_keys_values):
        return (x - latents) / t[:, None, :, None, None].clamp(min=1e-6)

    monkeypatch.setattr(make.transformer, "forward", velocity)
    made = make(latents, torch.Generator().manual_seed(1))
    torch.testing.assert_close(made, latents, atol=1e-4, rtol=1e-4)
