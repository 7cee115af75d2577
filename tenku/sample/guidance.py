"""Classifier-free guidance (arXiv 2207.12598): away from the negative prompt, towards the prompt."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tenku import flow
from tenku.model.transformer import Transformer
from tenku.sample.conditioning import Conditioning
from tenku.wan.experts import Experts

MIN_TIME = 1e-3

# (latents B C T H W, t (B,) or (B, T), noise level of the unknown frames) -> velocity B C T H W
Velocity = Callable[[Tensor, Tensor, float], Tensor]


def guided_velocity(
    transformer: Transformer | Experts,
    conditioning: Conditioning,
    guidance_scale: float,
    interval: tuple[float, float] = (0.0, 1.0),
    rescale: float = 0.0,
    *,
    guidance_scale_2: float | None = None,
    sequential_cfg: bool = False,
) -> Velocity:
    """The transformer's velocity under guidance, both texts in one call. Of two experts, the one for the noise level.

    The texts' keys and values are computed here, once for all steps. guidance_scale 1 asks for the prompt
    alone, as do noise levels outside the interval (arXiv 2404.07724), and then costs half. guidance_scale_2: the scale
    for the second of two experts, None for the same. rescale: see `rescaled`.
    sequential_cfg: two calls instead of one of twice the size, which takes half the memory.
    """
    if isinstance(transformer, Experts):
        low = guidance_scale if guidance_scale_2 is None else guidance_scale_2
        return _switching(transformer, conditioning, (guidance_scale, low), interval, rescale, sequential_cfg)
    embeds, mask = _rows(conditioning.text_embeds, conditioning.text_mask)
    batch = embeds.shape[0]
    if guidance_scale != 1:
        negative, negative_mask = _rows(conditioning.negative_embeds, conditioning.negative_mask)
        embeds, mask = _stack(embeds, mask, *_repeated(negative, negative_mask, batch))
    both = transformer.text_keys_values(embeds)
    prompt_only = [(k[:batch], v[:batch]) for k, v in both]
    prompt_mask = None if mask is None else mask[:batch]
    negative_only = [(k[batch:], v[batch:]) for k, v in both]
    negative_mask = None if mask is None else mask[batch:]

    beside = conditioning.concat_latents

    def velocity(latents: Tensor, t: Tensor, level: float) -> Tensor:
        read = latents if beside is None else torch.cat([latents, beside.to(latents)], dim=1)
        if guidance_scale == 1 or not interval[0] <= level <= interval[1]:
            return transformer(read, t, None, prompt_mask, text_keys_values=prompt_only)
        if sequential_cfg:
            towards = transformer(read, t, None, prompt_mask, text_keys_values=prompt_only)
            away = transformer(read, t, None, negative_mask, text_keys_values=negative_only)
        else:
            towards, away = transformer(read, t, None, mask, text_keys_values=both, texts=2).chunk(2)
        guided = away + guidance_scale * (towards - away)
        return rescaled(guided, towards, latents, t, rescale) if rescale else guided

    return velocity


def rescaled(guided: Tensor, towards: Tensor, latents: Tensor, t: Tensor, amount: float) -> Tensor:
    """Guidance exaggerates contrast: each frame that it leads to gets back the deviation of the prompt alone.

    All B C T H W float32, t (B,) or (B, T). amount: how far, from 0 to 1 (arXiv 2305.08891, section 3.4; here of the
    predicted data, since a velocity is half noise, which nothing exaggerates).
    """
    usual, data = (flow.data_from_velocity(latents, velocity, t) for velocity in (towards, guided))
    frame = (1, 3, 4)
    deviation = data.std(frame, keepdim=True).clamp(min=1e-6)
    factor = 1 + amount * (usual.std(frame, keepdim=True) / deviation - 1)
    # Where t = 0 a frame is known, and nobody reads its velocity.
    return (latents - factor * data) / flow.broadcast_time(t, latents).clamp(min=MIN_TIME)


def _switching(
    experts: Experts,
    conditioning: Conditioning,
    scales: tuple[float, float],
    interval: tuple[float, float],
    rescale: float,
    sequential_cfg: bool,
) -> Velocity:
    """The low-noise expert's keys and values are computed when its turn comes, after the other's are gone."""
    at_work: list[tuple[Transformer, Velocity]] = []

    def velocity(latents: Tensor, t: Tensor, level: float) -> Tensor:
        is_low = level < experts.boundary
        expert, scale = (experts.low if is_low else experts.high), scales[is_low]
        if not at_work or at_work[0][0] is not expert:
            at_work.clear()
            experts.take_turn(expert)
            guided = guided_velocity(expert, conditioning, scale, interval, rescale, sequential_cfg=sequential_cfg)
            at_work.append((expert, guided))
        return at_work[0][1](latents, t, level)

    return velocity


def _rows(embeds: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Texts of each latent frame, B T S D, as (B T) S D; one text for all frames stays B S D."""
    return embeds.flatten(0, -3), None if mask is None else mask.flatten(0, -2)


def _repeated(embeds: Tensor, mask: Tensor | None, count: int) -> tuple[Tensor, Tensor | None]:
    """Each row as often as there are latent frames with a text of their own, so that there are `count` rows."""
    times = count // len(embeds)
    return embeds.repeat_interleave(times, 0), None if mask is None else mask.repeat_interleave(times, 0)


def _stack(
    embeds: Tensor, mask: Tensor | None, negative: Tensor, negative_mask: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Prompt and negative prompt as one batch, the shorter one padded."""
    if mask is None and negative_mask is None and embeds.shape[1] == negative.shape[1]:
        return torch.cat([embeds, negative]), None
    length = max(embeds.shape[1], negative.shape[1])
    rows, masks = [], []
    for text, seen in ((embeds, mask), (negative, negative_mask)):
        seen = torch.ones(text.shape[:2], dtype=torch.bool, device=text.device) if seen is None else seen
        missing = length - text.shape[1]
        rows.append(F.pad(text, (0, 0, 0, missing)))
        masks.append(F.pad(seen, (0, missing)))
    return torch.cat(rows), torch.cat(masks)
