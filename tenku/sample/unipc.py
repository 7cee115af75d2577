"""UniPC of second order: a predictor and a corrector out of the same network calls, the solver of the open Wan weights.

Reference: UniPC (arXiv 2302.04867), its variant B2 on predicted data. With data share a = 1 - t, noise share t and
l = log(a / t), a step from s to t has h = l(t) - l(s); every formula below is in these terms.
"""

import math
from collections.abc import Callable

from torch import Tensor

ALMOST_NOISE = 1 - 1e-6  # at t = 1 exactly l is infinite

Known = list[tuple[float, Tensor]]  # times, latest first, and the data predicted there


def unipc(
    velocity: Callable[[Tensor, float], Tensor],
    x: Tensor,
    times: list[float],
    *,
    hold: Callable[[Tensor, float], Tensor] = lambda x, t: x,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Follow dx/dt = velocity(x, t) through the given times, from 1 to 0; one call a step."""
    steps = len(times) - 1
    known: Known = []
    before = x
    for i in range(steps):
        t = min(times[i], ALMOST_NOISE)
        data = x - t * velocity(x, t)
        if known:
            x = _correct(before, data, t, known)
        known = [(t, data), *known[:1]]
        before = x
        following = times[i + 1]
        # The last step is of first order.
        x = hold(_predict(x, following, known if i < steps - 1 else known[:1]), following)
        if on_step is not None:
            on_step(i + 1, steps)
    return x


def _predict(x: Tensor, t: float, known: Known) -> Tensor:
    """From x at the latest known time to t; with two known predictions, their difference is followed too."""
    s, data = known[0]
    h = _l(t) - _l(s)
    grown = (1 - t) * math.expm1(-h)
    x = t / s * x - grown * data
    if len(known) > 1:
        earlier, data_earlier = known[1]
        r = (_l(earlier) - _l(s)) / h
        x = x - 0.5 * grown / r * (data_earlier - data)
    return x


def _correct(before: Tensor, data_here: Tensor, t: float, known: Known) -> Tensor:
    """x at t once more, from x before the step and now with the data predicted at t itself."""
    s, data = known[0]
    h = _l(t) - _l(s)
    share = math.expm1(-h)
    grown = (1 - t) * share
    x = t / s * before - grown * data
    if len(known) == 1:
        return x - 0.5 * grown * (data_here - data)
    earlier, data_earlier = known[1]
    r = (_l(earlier) - _l(s)) / h
    first = (share / -h - 1) / share
    second = 2 * ((share / -h - 1) / -h - 0.5) / share
    weight_earlier = (first - second) / (1 - r)
    x = x - grown * weight_earlier / r * (data_earlier - data)
    return x - grown * (first - weight_earlier) * (data_here - data)


def _l(t: float) -> float:
    return math.log((1 - t) / t) if t > 0 else math.inf
