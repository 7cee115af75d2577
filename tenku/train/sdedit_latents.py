"""Latents as a transformer makes them: near the true ones, with its errors in them, for the decoder to learn from.

A decoder that has only seen what the encoder says makes much of every small disagreement between the latent frames
that a transformer gives it. So some of a clip's latents are noised and denoised again (SDEdit, arXiv 2108.01073),
often with the others held, which makes the joints that continuing a clip makes; the true video stays the answer.
"""

import itertools
from pathlib import Path

import torch
from torch import Tensor

from tenku import flow
from tenku.loading import load_transformer
from tenku.model import Autoencoder, TextEncoder, Transformer, load_autoencoder, load_text_encoder
from tenku.model.precision import autocast
from tenku.train.step import Objective, draw_known

SHARE = 0.6  # of the clips; the others stay as they are
LEVELS = (0.15, 0.5)  # of the noise they are made from
STEPS = 5
# Half of these are all made, the others with frames held at one end or both.
HELD = Objective(conditioned=0.5, kinds=(0.4, 0.4, 0.2, 0.0))


class Maker:
    """A model's transformer, which makes latents of `autoencoder` anew. ValueError when it knows those of another."""

    def __init__(self, folder: Path, autoencoder: Autoencoder) -> None:
        device = autoencoder.latent_mean.device
        own, asked = load_autoencoder(folder).state_dict(), autoencoder.state_dict()
        for name in (name for name in own if name.startswith(("encoder.", "latent_"))):
            if not torch.allclose(own[name].float(), asked[name].cpu(), rtol=1e-2, atol=1e-2):  # one may be in bf16
                raise ValueError(f"the model in {folder} was trained on another encoder than the one to be polished")
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
        known = draw_known(batch, frames, HELD, choice) | (torch.rand(batch, 1, generator=choice) > SHARE)
        known = known.to(latents.device)  # B T
        low, high = LEVELS
        start = low + (high - low) * torch.rand(batch, 1, generator=choice).to(latents.device)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        text, mask = self.text.encode([""] * batch)
        shares = flow.schedule(STEPS).tolist()
        with autocast(latents.device):
            keys_values = self.transformer.text_keys_values(text)
            x = flow.interpolate(latents, noise, start * ~known)
            for share, following in itertools.pairwise(shares):
                velocity = self.transformer(x, share * start * ~known, None, mask, text_keys_values=keys_values)
                x = x + flow.broadcast_time((following - share) * start * ~known, x) * velocity.float()
        return x
