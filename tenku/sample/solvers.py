"""ODE solvers: from noise to data along the network's velocity.

euler        first order
multistep    Adams-Bashforth of second order, one call a step: the previous velocity gives the curvature
heun         second order, two calls a step
unipc        predictor and corrector out of one call (UniPC, arXiv 2302.04867): the solver of the open Wan weights
"""

import math
from collections.abc import Callable, Sequence

from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]
Blend = Callable[[Tensor, float], Tensor]
# Called as on_step(done, total) after each step; an exception raised in it ends the generation.
OnStep = Callable[[int, int], None]


def solve(
    velocity: Velocity,
    x: Tensor,
    times: Sequence[float],
    solver: str = "multistep",
    *,
    blend: Blend = lambda x, t: x,
    on_step: OnStep | None = None,
) -> Tensor:
    """Follow dx/dt = velocity(x, t) through the given times, from noise to data.

    blend: applied to x (and told its time) after every step, to hold what is given. ValueError for another solver.
    """
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}; choose one of {', '.join(SOLVERS)}")
    method = SOLVERS[solver]()
    times = [min(times[0], method.latest_time), *times[1:]]
    steps = len(times) - 1
    for i in range(steps):
        t, t_next, is_last = times[i], times[i + 1], i == steps - 1
        v = velocity(x, t)
        x_next = blend(method.step(x, v, t, t_next, is_last), t_next)
        # The last step stays Euler's: at t = 0 a frame means "given", and its velocity was never trained.
        if isinstance(method, Heun) and not is_last:
            x_next = blend(method.correct(x, v, velocity(x_next, t_next), t, t_next), t_next)
        x = x_next
        if on_step is not None:
            on_step(i + 1, steps)
    return x


class Euler:
    """Straight on along the velocity."""

    latest_time = 1.0

    def step(self, x: Tensor, v: Tensor, t: float, t_next: float, is_last: bool) -> Tensor:
        """x at t_next, from x and its velocity v at t."""
        return x + (t_next - t) * v


class Heun(Euler):
    """Euler's step, then once more with the mean of the velocities at both of its ends."""

    def correct(self, x: Tensor, v: Tensor, v_next: Tensor, t: float, t_next: float) -> Tensor:
        return x + (t_next - t) * (0.5 * (v + v_next))


class Multistep(Euler):
    """Adams-Bashforth of second order for steps of any sizes."""

    def __init__(self) -> None:
        self.previous: tuple[Tensor, float] | None = None  # velocity and length of the last step

    def step(self, x: Tensor, v: Tensor, t: float, t_next: float, is_last: bool) -> Tensor:
        length, direction = t_next - t, v
        if self.previous is not None:
            v_before, length_before = self.previous
            direction = v + 0.5 * (length / length_before) * (v - v_before)
        self.previous = v, length
        return x + length * direction


class UniPC(Euler):
    """UniPC of second order, its variant B2 on predicted data.

    With data share a = 1 - t, noise share t and l = log(a / t), a step from s to t has h = l(t) - l(s); every formula
    below is in these terms.
    """

    latest_time = 1 - 1e-6  # at t = 1 exactly l is infinite

    def __init__(self) -> None:
        self.known: list[tuple[float, Tensor]] = []  # times, latest first, and the data predicted there
        self.before: Tensor | None = None

    def step(self, x: Tensor, v: Tensor, t: float, t_next: float, is_last: bool) -> Tensor:
        data = x - t * v
        if self.before is not None:
            x = self._correct(self.before, data, t)
        self.known = [(t, data), *self.known[:1]]
        self.before = x
        return self._predict(x, t_next, self.known[:1] if is_last else self.known)  # the last step is of first order

    @staticmethod
    def _predict(x: Tensor, t: float, known: list[tuple[float, Tensor]]) -> Tensor:
        """From x at the latest known time to t; with two known predictions, their difference is followed too."""
        s, data = known[0]
        h = _log_ratio(t) - _log_ratio(s)
        grown = (1 - t) * math.expm1(-h)
        x = t / s * x - grown * data
        if len(known) > 1:
            earlier, data_earlier = known[1]
            r = (_log_ratio(earlier) - _log_ratio(s)) / h
            x = x - 0.5 * grown / r * (data_earlier - data)
        return x

    def _correct(self, before: Tensor, data_here: Tensor, t: float) -> Tensor:
        """x at t once more, from x before the step and now with the data predicted at t itself."""
        s, data = self.known[0]
        h = _log_ratio(t) - _log_ratio(s)
        share = math.expm1(-h)
        grown = (1 - t) * share
        x = t / s * before - grown * data
        if len(self.known) == 1:
            return x - 0.5 * grown * (data_here - data)
        earlier, data_earlier = self.known[1]
        r = (_log_ratio(earlier) - _log_ratio(s)) / h
        first = (share / -h - 1) / share
        second = 2 * ((share / -h - 1) / -h - 0.5) / share
        weight_earlier = (first - second) / (1 - r)
        x = x - grown * weight_earlier / r * (data_earlier - data)
        return x - grown * (first - weight_earlier) * (data_here - data)


def _log_ratio(t: float) -> float:
    return math.log((1 - t) / t) if t > 0 else math.inf


SOLVERS: dict[str, type[Euler]] = {"euler": Euler, "multistep": Multistep, "heun": Heun, "unipc": UniPC}
