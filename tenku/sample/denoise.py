"""From noise to latents: which frames are held meanwhile, and how noisy each of them is."""

import itertools

import torch
from torch import Tensor

from tenku import flow
from tenku.model.settings import SamplingParams
from tenku.model.transformer import Transformer
from tenku.sample.conditioning import Conditioning
from tenku.sample.guidance import GuidedVelocity
from tenku.sample.solvers import OnStep, Velocity, solve
from tenku.wan.experts import Experts

GOLDEN_RATIO = 0.618034


def denoise(
    transformer: Transformer | Experts,
    noise: Tensor,
    conditioning: Conditioning,
    params: SamplingParams,
    on_step: OnStep | None = None,
    *,
    sequential_cfg: bool = False,
) -> Tensor:
    """Sample latents B C T H W from float32 noise of that shape. Frames that are given come out exactly as they are.

    sequential_cfg: see `GuidedVelocity`.
    """
    times = flow.schedule(params.num_steps, params.shift, params.num_train_timesteps)
    if conditioning.start_latents is not None:
        strength = torch.as_tensor(conditioning.strength)
        if strength.ndim and params.solver == "unipc":
            raise ValueError("unipc takes one strength for all frames: choose another solver, or one strength")
        times = flow.truncate_schedule(times, float(strength.float().max()))
    frames = FrameState(conditioning, noise, times)
    velocity: Velocity = GuidedVelocity(transformer, conditioning, params, frames.sigma, sequential_cfg=sequential_cfg)
    if conditioning.cyclic:
        velocity = roll_time(velocity, noise.shape[2])
    steps = times.tolist()
    x = frames.blend(frames.first(), steps[0])
    return frames.last(solve(velocity, x, steps, params.solver, blend=frames.blend, on_step=on_step))


class FrameState:
    """How noisy each latent frame is at a time, and what is held there: nothing, where text alone is given.

    A frame that is given is as noisy as it is shown (cond_noise_level), never more than the others. One that starts
    with little strength waits until all others have come down to it.
    """

    def __init__(self, conditioning: Conditioning, noise: Tensor, times: Tensor) -> None:
        self.noise, self.start, self.cond = noise, conditioning.start_latents, conditioning.cond_latents
        for latents in (self.start, self.cond):
            if latents is not None and latents.shape != noise.shape:
                raise ValueError(f"given latents {tuple(latents.shape)} and noise {tuple(noise.shape)} differ in shape")
        self.per_frame = False
        if self.start is not None:
            self.start = self.start.to(noise)
            strength = torch.as_tensor(conditioning.strength, dtype=torch.float32)
            levels = flow.nearest_time(strength, times)
            self.start_sigma = levels.expand(noise.shape[0], noise.shape[2]).to(noise.device)  # B T
            self.keep_mask = None if conditioning.keep_mask is None else conditioning.keep_mask.to(noise.device)
            self.per_frame = strength.ndim > 0
        if self.cond is not None and conditioning.cond_mask is not None:
            self.cond, self.cond_mask = self.cond.to(noise), conditioning.cond_mask.to(noise.device)  # … and B T
            self.cond_sigma = torch.as_tensor(conditioning.cond_noise_level, dtype=torch.float32, device=noise.device)
            self.per_frame = self.per_frame or bool((self.cond_mask & (self.cond_sigma < 1)).any())

    def sigma(self, t: float) -> Tensor:
        """What the network is told at the time t: a noise level for each clip (B,), or for each latent frame (B, T)."""
        if self.start is None and self.cond is None:
            return torch.full(self.noise.shape[:1], t, device=self.noise.device)
        levels = self._levels(t)
        return levels if self.per_frame else levels[:, 0]

    def _levels(self, t: float) -> Tensor:
        levels = torch.full((self.noise.shape[0], self.noise.shape[2]), t, device=self.noise.device)
        if self.start is not None:
            levels = torch.minimum(levels, self.start_sigma)
        if self.cond is not None:
            levels = torch.where(self.cond_mask, torch.minimum(self.cond_sigma, levels), levels)
        return levels

    def first(self) -> Tensor:
        """Where sampling begins: noise, or what there is to start from with noise on it."""
        return self.noise if self.start is None else flow.interpolate(self.start, self.noise, self.start_sigma)

    def blend(self, x: Tensor, t: float) -> Tensor:
        """x at the time t with frames that wait and places that are kept as the start is, given frames as shown."""
        if self.start is not None:
            stays = (self.start_sigma <= t)[:, None, :, None, None]
            stays = stays if self.keep_mask is None else stays | self.keep_mask
            x = torch.where(stays, flow.interpolate(self.start, self.noise, self._levels(t)), x)
        if self.cond is not None:
            x = torch.where(self._held(), flow.interpolate(self.cond, self.noise, self._levels(t)), x)
        return x

    def last(self, x: Tensor) -> Tensor:
        """x with the frames that were given, exactly."""
        return x if self.cond is None else torch.where(self._held(), self.cond, x)

    def _held(self) -> Tensor:
        return self.cond_mask[:, None, :, None, None]


def roll_time(velocity: Velocity, frames: int) -> Velocity:
    """Make time a circle: at every call the latents start at another frame, so that no place is always a border.

    The starts follow the golden ratio, which leaves no large gap on the circle however many calls there are.
    """
    calls = itertools.count()

    def rolled(x: Tensor, t: float) -> Tensor:
        start = round(next(calls) * GOLDEN_RATIO * frames) % frames
        return velocity(x.roll(start, dims=2), t).roll(-start, dims=2)

    return rolled
