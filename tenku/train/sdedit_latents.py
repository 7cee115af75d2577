"""SDEdit latents (arXiv 2108.01073): noised and denoised again by a transformer, for the decoder to train on.

A decoder that has only seen the encoder's latents makes much of every small disagreement between the latent frames that
a transformer gives it. So some of a clip's latents are made anew, often with the others held, which makes the joints
that continuing a clip makes; the true video stays the target.
"""

import itertools
from pathlib import Path

import torch
from torch import Tensor

from tenku import flow
from tenku.loading import load_transformer
from tenku.model import Autoencoder, TextEncoder, Transformer, load_autoencoder, load_text_encoder
from tenku.model.precision import autocast
from tenku.train.corruption import CorruptionConfig, draw_cond_mask

PROBABILITY = 0.6  # of a clip; the others stay as they are
NOISE_LEVELS = (0.15, 0.5)  # that they are noised to
STEPS = 5
# Half of these are all made, the others with frames held at one end or both.
COND_FRAMES = CorruptionConfig(cond_prob=0.5, cond_patterns=(0.4, 0.4, 0.2, 0.0))


class SDEdit:
    """A model's transformer, which makes latents of `autoencoder` anew. ValueError when it was trained on another's."""

    def __init__(self, folder: Path, autoencoder: Autoencoder) -> None:
        device = autoencoder.latent_mean.device
        own, asked = load_autoencoder(folder).state_dict(), autoencoder.state_dict()
        for name in (name for name in own if name.startswith(("encoder.", "latent_"))):
            if not torch.allclose(own[name].float(), asked[name].cpu(), rtol=1e-2, atol=1e-2):  # one may be in bf16
                raise ValueError(f"the model in {folder} was trained on another encoder than this decoder's")
        self.transformer: Transformer = load_transformer(folder, dtype=torch.float32, device=device)
        self.text: TextEncoder = load_text_encoder(folder).to(device)
        # Width and height of what it makes are multiples of this many pixels.
        self.size_multiple = autoencoder.spatial_compression * self.transformer.config.patch_size[-1]

    @torch.no_grad()
    def __call__(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        """B C T h w of about unit variance, made anew without a prompt; `generator` lives on their device."""
        batch, _, frames = latents.shape[:3]
        choice = torch.Generator().manual_seed(
            int(torch.randint(2**62, (), generator=generator, device=latents.device).item())
        )
        held = draw_cond_mask(batch, frames, COND_FRAMES, choice) | (
            torch.rand(batch, 1, generator=choice) > PROBABILITY
        )
        held = held.to(latents.device)  # B T
        low, high = NOISE_LEVELS
        start = low + (high - low) * torch.rand(batch, 1, generator=choice).to(latents.device)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        text, mask = self.text.encode([""] * batch)
        fractions = flow.schedule(STEPS).tolist()
        with autocast(latents.device):
            keys_values = self.transformer.text_keys_values(text)
            x = flow.interpolate(latents, noise, start * ~held)
            for fraction, following in itertools.pairwise(fractions):
                velocity = self.transformer(x, fraction * start * ~held, None, mask, text_keys_values=keys_values)
                x = x + flow.broadcast_time((following - fraction) * start * ~held, x) * velocity.float()
        return x
