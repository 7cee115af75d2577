"""What a generation must agree with. Every task is a different Conditioning, never another pipeline.

Text alone makes a new clip. Known latent frames at the head, the tail, both or anywhere make it animate a
picture, extend a clip forwards or backwards, or join two.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tenku.model.text import TextEncoder
from tenku.wan.umt5 import UMT5


@dataclass(frozen=True)
class Conditioning:
    """What a generation must agree with: a text, one to stay away from, and known latent frames.

    text_embeds, negative_embeds: B S D with bool masks B S (the lengths S may differ); the prompt's may be B T S D, a
    text for each latent frame. known_latents: B C T H W of which the frames marked True in known_mask (B T bool) are
    given; known_t: the noise level that they are shown to the network with (one, or T): 0 for none, and never more than
    all others have, so that 1 is for networks that were never shown frames without noise. start_latents: what the clip
    is made out of instead of noise alone, noised to the level `strength` (one, or B T); the places True in keep
    (broadcastable to B C T H W) stay as they are there. cyclic: time is a circle, the last frame leads to the first.
    concat_latents: B G T H W, what networks with `concat_channels` read beside the latents.
    """

    text_embeds: Tensor
    text_mask: Tensor | None
    negative_embeds: Tensor
    negative_mask: Tensor | None
    known_latents: Tensor | None = None
    known_mask: Tensor | None = None
    known_t: Tensor | float = 0.0
    start_latents: Tensor | None = None
    strength: float | Tensor = 1.0
    keep: Tensor | None = None
    cyclic: bool = False
    concat_latents: Tensor | None = None


def from_text(encoder: TextEncoder | UMT5, prompts: list[str], negative_prompt: str = "") -> Conditioning:
    """A clip for each prompt; the negative prompt takes the empty one's place in guidance."""
    text_embeds, text_mask = encoder.encode(prompts)
    negative_embeds, negative_mask = encoder.encode([negative_prompt])
    batch = len(prompts)
    negative_embeds = negative_embeds.expand(batch, -1, -1)
    if negative_mask is not None:
        negative_mask = negative_mask.expand(batch, -1)
    return Conditioning(text_embeds, text_mask, negative_embeds, negative_mask)


def with_texts(conditioning: Conditioning, encoder: TextEncoder | UMT5, prompts: list[str]) -> Conditioning:
    """A prompt for each latent frame of one clip, in the place of the one for all."""
    different = list(dict.fromkeys(prompts))
    embeds, mask = encoder.encode(different)
    rows = torch.tensor([different.index(prompt) for prompt in prompts], device=embeds.device)
    return replace(conditioning, text_embeds=embeds[rows][None], text_mask=None if mask is None else mask[rows][None])


def with_known_frames(
    conditioning: Conditioning, latents: Tensor, known: Tensor, known_t: float | Tensor = 0.0
) -> Conditioning:
    """Hold some latent frames fixed.

    latents: B C T H W, the whole clip, of which only the known frames are read; known: bool of shape (T,)
    or (B, T). known_t: noise level at which the network sees them until the others have less, one or one for each frame
    (0.1 stops drift over long videos; 0 keeps a picture exact; 1 shows them as noisy as all others, as RePaint does,
    arXiv 2201.09865). Raises ValueError when the shapes do not fit or known_t is not in [0, 1].
    """
    batch, frames = latents.shape[0], latents.shape[2]
    if batch != conditioning.text_embeds.shape[0]:
        raise ValueError(f"{batch} latents for {conditioning.text_embeds.shape[0]} prompts: one each is needed")
    if known.dtype != torch.bool or tuple(known.shape) not in ((frames,), (batch, frames)):
        raise ValueError(f"known must be bool of shape ({frames},) or ({batch}, {frames}), got {tuple(known.shape)}")
    levels = torch.as_tensor(known_t, dtype=torch.float32)
    if levels.ndim and levels.shape != (frames,):
        raise ValueError(f"known_t must be one number or {frames}, got {tuple(levels.shape)}")
    if not bool(((levels >= 0) & (levels <= 1)).all()):
        raise ValueError(f"known_t must lie between 0 and 1, got {known_t}")
    return replace(conditioning, known_latents=latents, known_mask=known.expand(batch, frames), known_t=levels)
