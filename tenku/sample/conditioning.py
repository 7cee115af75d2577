"""What a generation is conditioned on. Every task is a different Conditioning, never another pipeline.

Text alone makes a new clip. Given latent frames at the head, the tail, both or anywhere make it animate a picture,
extend a clip forwards or backwards, or join two.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tenku.model.text import TextEncoder
from tenku.wan.umt5 import UMT5


@dataclass(frozen=True)
class Conditioning:
    """A text, one to stay away from, and latent frames that are given.

    text_embeds, negative_embeds: B S D with bool masks B S (the lengths S may differ); the prompt's may be B T S D, a
    text for each latent frame. cond_latents: B C T H W, of which the frames marked True in cond_mask (B T bool) are
    held; cond_noise_level: the noise level at which the network sees them (one, or T), never more than all others have:
    0 shows them clean, 1 is for networks that never learned to be given frames. start_latents: what the clip is made
    out of instead of noise alone (SDEdit), noised to `strength` (one, or B T); places True in keep_mask (broadcastable
    to B C T H W) stay as they are there. cyclic: time is a circle, the last frame leads to the first.
    channel_cond: B G T H W, concatenated to the latents' channels for networks with `concat_channels`.
    """

    text_embeds: Tensor
    text_mask: Tensor | None
    negative_embeds: Tensor
    negative_mask: Tensor | None
    cond_latents: Tensor | None = None
    cond_mask: Tensor | None = None
    cond_noise_level: Tensor | float = 0.0
    start_latents: Tensor | None = None
    strength: float | Tensor = 1.0
    keep_mask: Tensor | None = None
    cyclic: bool = False
    channel_cond: Tensor | None = None


# Adds to a conditioning: frames that are given, for example.
ConditioningFn = Callable[[Conditioning], Conditioning]


def from_text(encoder: TextEncoder | UMT5, prompts: list[str], negative_prompt: str = "") -> Conditioning:
    """Encode a prompt for each clip; the negative prompt takes the empty one's place in guidance."""
    text_embeds, text_mask = encoder.encode(prompts)
    negative_embeds, negative_mask = encoder.encode([negative_prompt])
    batch = len(prompts)
    negative_embeds = negative_embeds.expand(batch, -1, -1)
    if negative_mask is not None:
        negative_mask = negative_mask.expand(batch, -1)
    return Conditioning(text_embeds, text_mask, negative_embeds, negative_mask)


def with_frame_texts(conditioning: Conditioning, encoder: TextEncoder | UMT5, prompts: list[str]) -> Conditioning:
    """Give each latent frame of one clip a prompt of its own, in the place of the one for all."""
    different = list(dict.fromkeys(prompts))
    embeds, mask = encoder.encode(different)
    rows = torch.tensor([different.index(prompt) for prompt in prompts], device=embeds.device)
    return replace(conditioning, text_embeds=embeds[rows][None], text_mask=None if mask is None else mask[rows][None])


def with_cond_frames(
    conditioning: Conditioning, latents: Tensor, mask: Tensor, noise_level: float | Tensor = 0.0
) -> Conditioning:
    """Hold some latent frames fixed.

    latents: B C T H W, the whole clip, of which only the frames True in `mask` are read; mask: bool of shape (T,) or
    (B, T). noise_level: at which the network sees them until the others have less, one or one for each frame (0.1 stops
    drift over long videos; 0 keeps a picture exact; 1 shows them as noisy as all others, as RePaint does, arXiv
    2201.09865). Raises ValueError when the shapes do not fit or the level is not in [0, 1].
    """
    batch, frames = latents.shape[0], latents.shape[2]
    if batch != conditioning.text_embeds.shape[0]:
        raise ValueError(f"{batch} latents for {conditioning.text_embeds.shape[0]} prompts: one each is needed")
    if mask.dtype != torch.bool or tuple(mask.shape) not in ((frames,), (batch, frames)):
        raise ValueError(f"cond_mask must be bool of shape ({frames},) or ({batch}, {frames}), got {tuple(mask.shape)}")
    levels = torch.as_tensor(noise_level, dtype=torch.float32)
    if levels.ndim and levels.shape != (frames,):
        raise ValueError(f"cond_noise_level must be one number or {frames}, got {tuple(levels.shape)}")
    if not bool(((levels >= 0) & (levels <= 1)).all()):
        raise ValueError(f"cond_noise_level must lie between 0 and 1, got {noise_level}")
    return replace(conditioning, cond_latents=latents, cond_mask=mask.expand(batch, frames), cond_noise_level=levels)
