"""From noise to latents: the solvers, and how known frames are held while the others are made."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from tenku import flow
from tenku.model.settings import SOLVERS, SamplingParams
from tenku.model.transformer import Transformer
from tenku.sample.conditioning import Conditioning
from tenku.sample.guidance import guided_velocity
from tenku.sample.unipc import unipc
from tenku.wan.experts import Experts

GOLDEN_RATIO = 0.618034

# Called as on_step(done, total) after each step; an exception raised in it ends the generation.
OnStep = Callable[[int, int], None]
Hold = Callable[[Tensor, float], Tensor]


def solve(
    velocity: Callable[[Tensor, float], Tensor],
    x: Tensor,
    times: list[float],
    solver: str = "multistep",
    *,
    hold: Hold = lambda x, t: x,
    on_step: OnStep | None = None,
) -> Tensor:
    """Follow dx/dt = velocity(x, t) through the given times.

    euler: first order. multistep: Adams-Bashforth of second order, one call a step, the previous velocity
    gives the curvature. heun: second order, two calls a step. unipc: `sample/unipc.py`. `hold` is applied to x
    (and told its time) after every step.
    Raises ValueError for another solver.
    """
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}; choose one of {', '.join(SOLVERS)}")
    if solver == "unipc":
        return unipc(velocity, x, times, hold=hold, on_step=on_step)
    steps = len(times) - 1
    previous: Tensor | None = None
    for i in range(steps):
        t, step = times[i], times[i + 1] - times[i]
        v = velocity(x, t)
        if solver == "multistep" and previous is not None:
            ratio = step / (times[i] - times[i - 1])
            direction = v + 0.5 * ratio * (v - previous)
        elif solver == "heun" and i < steps - 1:
            # The last step stays Euler's: at t = 0 a frame means "known", and its velocity was never trained.
            direction = 0.5 * (v + velocity(hold(x + step * v, times[i + 1]), times[i + 1]))
        else:
            direction = v
        x = hold(x + step * direction, times[i + 1])
        previous = v
        if on_step is not None:
            on_step(i + 1, steps)
    return x


def denoise(
    transformer: Transformer | Experts,
    noise: Tensor,
    conditioning: Conditioning,
    params: SamplingParams,
    on_step: OnStep | None = None,
    *,
    sequential_cfg: bool = False,
) -> Tensor:
    """Latents B C T H W from float32 noise of that shape. Known frames come out exactly as given.

    sequential_cfg: see `guided_velocity`.
    """
    guided = guided_velocity(
        transformer,
        conditioning,
        params.guidance_scale,
        rescale=params.guidance_rescale,
        guidance_scale_2=params.guidance_scale_2,
        sequential_cfg=sequential_cfg,
    )
    times = flow.schedule(params.num_steps, params.shift, params.num_train_timesteps)
    start, given, known = conditioning.start_latents, conditioning.known_latents, conditioning.known_mask
    for latents in (start, given):
        if latents is not None and latents.shape != noise.shape:
            raise ValueError(f"given latents {tuple(latents.shape)} and noise {tuple(noise.shape)} differ in shape")
    x, own = noise, None
    if start is not None:
        start = start.to(noise)
        strength = torch.as_tensor(conditioning.strength, dtype=torch.float32)
        if strength.ndim and params.solver == "unipc":
            raise ValueError("unipc takes one strength for all frames: choose another solver, or one strength")
        times = flow.truncate_schedule(times, float(strength.max()))
        own = flow.nearest_time(strength, times).expand(noise.shape[0], noise.shape[2]).to(noise.device)  # B T
        x = flow.interpolate(start, noise, own)
    shown = torch.as_tensor(conditioning.known_t, dtype=torch.float32, device=noise.device)
    if known is not None and given is not None:
        given, known = given.to(noise), known.to(noise.device)
        where = known[:, None, :, None, None]  # B 1 T 1 1

    def seen(t: float) -> Tensor:
        """B T: how noisy each frame is at the time t. One with little strength waits until all others are there."""
        level = torch.full((noise.shape[0], noise.shape[2]), t, device=noise.device)
        level = level if own is None else torch.minimum(level, own)
        return level if known is None else torch.where(known, torch.minimum(shown, level), level)

    def hold(x: Tensor, t: float) -> Tensor:
        """Frames that wait and places that are kept as the start is, known frames as they are shown."""
        if start is not None and own is not None:
            stays = (own <= t)[:, None, :, None, None]
            stays = stays if conditioning.keep is None else stays | conditioning.keep.to(x.device)
            x = torch.where(stays, flow.interpolate(start, noise, seen(t)), x)
        return x if given is None else torch.where(where, flow.interpolate(given, noise, seen(t)), x)

    differ = (known is not None and bool((known & (shown < 1)).any())) or (own is not None and strength.ndim > 0)

    def velocity(x: Tensor, t: float) -> Tensor:
        t = flow.round_to_timestep(t, params.num_train_timesteps)
        level = seen(t)
        return guided(x, level if differ else level[:, 0], t)

    way = on_a_circle(velocity, noise.shape[2]) if conditioning.cyclic else velocity
    first, *_ = steps = times.tolist()
    x = solve(way, hold(x, first), steps, params.solver, hold=hold, on_step=on_step)
    return x if given is None else torch.where(where, given, x)


def on_a_circle(velocity: Callable[[Tensor, float], Tensor], frames: int) -> Callable[[Tensor, float], Tensor]:
    """Time as a circle: at every call the latents start at another frame, so that no place is always a border.

    The starts follow the golden ratio, which leaves no large gap on the circle however many calls there are.
    """
    calls = itertools.count()

    def turned(x: Tensor, t: float) -> Tensor:
        start = round(next(calls) * GOLDEN_RATIO * frames) % frames
        return velocity(x.roll(start, dims=2), t).roll(-start, dims=2)

    return turned
