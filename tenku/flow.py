"""Rectified flow (flow matching): interpolation, velocity target, loss, timestep sampling and sampling schedules.

t is 1 at noise and 0 at data. x_t = (1 - t) * data + t * noise, and the network predicts
velocity = d x_t / d t = noise - data. Every rule about time lives here, for training and sampling alike.

References: Flow Straight and Fast (arXiv 2209.03003); Stable Diffusion 3 (arXiv 2403.03206) for logit-normal
timestep sampling and the timestep shift.
"""

import torch
from torch import Tensor


def interpolate(data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Noisy latents x_t of B C T H W latents at t of shape (B,) or (B, T)."""
    t = broadcast_time(t, data)
    return (1 - t) * data + t * noise


def velocity(data: Tensor, noise: Tensor) -> Tensor:
    """The velocity target: from data to noise, the same at every t."""
    return noise - data


def data_from_velocity(x: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
    """The clean latents (x0 prediction) that a velocity predicted at x_t implies."""
    return x - broadcast_time(t, x) * predicted


def loss(
    predicted: Tensor, data: Tensor, noise: Tensor, known: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Mean squared velocity error over unknown frames, in fp32.

    predicted, data, noise: B C T H W; known: B T bool, True for conditioning frames, which have no loss;
    weights: B 1 T H W, loss weights. A batch in which every frame is known has loss 0.
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
    """Timestep shift towards noise (arXiv 2403.03206): shift > 1 spends more steps where the layout is decided."""
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
    """Training timesteps in (0, 1): logit-normal, then shifted. A generator must live on `device`."""
    normal = torch.randn(shape, generator=generator, device=device)
    return shift_time(torch.sigmoid(mean + std * normal), shift)


def schedule(num_steps: int, shift: float = 1.0, num_train_timesteps: int | None = None) -> Tensor:
    """The sampling schedule: num_steps + 1 times from exactly 1 down to exactly 0, shifted (float64).

    num_train_timesteps: of weights trained with discrete timesteps (1000 in Wan; spaced as by diffusers' UniPC
    scheduler): steps are spaced down to 1 / num_train_timesteps, and the last one goes from there to 0.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    lowest = 1 / num_train_timesteps if num_train_timesteps else 0.0
    times = 1 + torch.arange(num_steps + 1, dtype=torch.float64) * ((lowest - 1) / num_steps)
    times[-1] = 0
    return shift_time(times, shift)


def truncate_schedule(times: Tensor, strength: float) -> Tensor:
    """The rest of a schedule for sampling from noise level `strength` in (0, 1] on (SDEdit, arXiv 2108.01073).

    ValueError for another strength.
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be above 0 and at most 1, got {strength:g}")
    return torch.cat([times.new_tensor([strength]), times[times < strength]])


def nearest_time(t: Tensor, times: Tensor) -> Tensor:
    """Each noise level in t rounded to the nearest of a schedule's times; shape, dtype and device of t."""
    index = (t[..., None] - times).abs().argmin(-1)
    return times[index].to(t)


def round_to_timestep(t: float, num_train_timesteps: int | None) -> float:
    """t rounded down to a multiple of 1 / num_train_timesteps below 1; None: any t, as it is."""
    if num_train_timesteps is None:
        return t
    return min(int(t * num_train_timesteps), num_train_timesteps - 1) / num_train_timesteps


def broadcast_time(t: Tensor, latents: Tensor) -> Tensor:
    """t of shape (), (B,) or (B, T) to broadcast over B C T H W latents, in their dtype."""
    if t.dim() == 0:
        return t.to(latents.dtype)
    if t.dim() == 1:
        return t.to(latents.dtype)[:, None, None, None, None]
    return t.to(latents.dtype)[:, None, :, None, None]
