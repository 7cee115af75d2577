"""Rectified flow: how data becomes noise, what the network learns, and which times are visited.

t is 1 at noise and 0 at data. x_t = (1 - t) * data + t * noise, and the network predicts
velocity = d x_t / d t = noise - data. Every rule about time lives here, for training and sampling alike.

References: Flow Straight and Fast (arXiv 2209.03003); Stable Diffusion 3 (arXiv 2403.03206) for
logit-normal times and the shift.
"""

import torch
from torch import Tensor


def interpolate(data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t of B C T H W latents at t of shape (B,) or (B, T)."""
    t = broadcast_time(t, data)
    return (1 - t) * data + t * noise


def velocity(data: Tensor, noise: Tensor) -> Tensor:
    """What the network should predict: the direction from data to noise, the same at every t."""
    return noise - data


def data_from_velocity(x: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
    """The data that a velocity predicted at x_t points back to."""
    return x - broadcast_time(t, x) * predicted


def loss(
    predicted: Tensor, data: Tensor, noise: Tensor, known: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Mean squared velocity error over unknown frames, in fp32.

    predicted, data, noise: B C T H W; known: B T bool, True where a frame was given clean and nothing is to
    be learnt; weights: B 1 T H W, how often each place counts. A batch in which everything is known has loss 0.
    """
    error = (predicted.float() - velocity(data.float(), noise.float())).square()
    if weights is not None:
        error = weights * error
    if known is None:
        return error.mean()
    per_frame = error.mean(dim=(1, 3, 4))  # B T
    wanted = (~known).to(per_frame.dtype)
    return (per_frame * wanted).sum() / wanted.sum().clamp(min=1)


def shift_time(t: Tensor, shift: float) -> Tensor:
    """Move times towards noise: shift > 1 spends more of them where the layout of the clip is decided."""
    if shift <= 0:
        raise ValueError(f"shift must be above 0, got {shift}")
    return shift * t / (1 + (shift - 1) * t)


def sample_time(
    shape: tuple[int, ...],
    shift: float = 1.0,
    *,
    mean: float = 0.0,
    std: float = 1.0,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Training times in (0, 1): logit-normal, then shifted. A generator must live on `device`."""
    normal = torch.randn(shape, generator=generator, device=device)
    return shift_time(torch.sigmoid(mean + std * normal), shift)


def schedule(num_steps: int, shift: float = 1.0, levels: int | None = None) -> Tensor:
    """The num_steps + 1 times a sampler visits, from exactly 1 down to exactly 0 (float64).

    levels: of weights that know only so many noise levels (1000 in Wan, as in diffusers' UniPC scheduler); the steps
    are then spaced down to the lowest one, 1 / levels, and the last step goes from wherever that led to 0.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    lowest = 1 / levels if levels else 0.0
    times = 1 + torch.arange(num_steps + 1, dtype=torch.float64) * ((lowest - 1) / num_steps)
    times[-1] = 0
    return shift_time(times, shift)


def from_level(times: Tensor, strength: float) -> Tensor:
    """The part of a schedule that is left when sampling begins at noise level `strength` in (0, 1] (SDEdit).

    ValueError for another strength.
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be above 0 and at most 1, got {strength:g}")
    return torch.cat([times.new_tensor([strength]), times[times < strength]])


def nearest_time(levels: Tensor, times: Tensor) -> Tensor:
    """Each noise level brought to the nearest of a schedule's times, in the shape and kind of `levels`."""
    index = (levels[..., None] - times).abs().argmin(-1)
    return times[index].to(levels)


def to_level(t: float, levels: int | None) -> float:
    """What a network that knows only so many noise levels is told: t rounded down to one of them, below 1."""
    return t if levels is None else min(int(t * levels), levels - 1) / levels


def broadcast_time(t: Tensor, latents: Tensor) -> Tensor:
    """t of shape (B,) or (B, T) with the axes of B C T H W latents, in their dtype."""
    if t.dim() == 0:
        return t.to(latents.dtype)
    if t.dim() == 1:
        return t.to(latents.dtype)[:, None, None, None, None]
    return t.to(latents.dtype)[:, None, :, None, None]
