"""When each frame of a file is seen, and what that is at a constant rate."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

Frame = TypeVar("Frame")
MOST_REPEATED = 20  # times that a frame of a moving picture is repeated in the mean, to be shown for its time
SHORTEST = 10  # milliseconds that a frame of a moving picture lasts, up to which browsers show it for DEFAULT
DEFAULT = 100
JITTER = 0.0015  # seconds by which times are rounded in files: Matroska has milliseconds


def seen_at(frames: Iterator[tuple[float, float, Frame]], rate: float) -> Iterator[Frame]:
    """Of frames (time, duration, frame) in order: at each moment of a constant rate, the one that is seen then.

    Moments are the middles of the new frames. At least one comes out when one goes in.
    """
    start: float | None = None
    count, last, end = 0, None, 0.0
    for time, duration, frame in frames:
        if start is None:
            start = time
        elif last is not None:
            while start + (count + 0.5) / rate < time - 1e-6:
                yield last
                count += 1
        last, end = frame, max(end, time + duration)
    if last is not None and start is not None:
        while count == 0 or start + (count + 0.5) / rate < end - 1e-6:
            yield last
            count += 1


def rate_of(times: Sequence[float], end: float, named: Fraction | None) -> tuple[float, bool]:
    """(frames a second, whether they come at even times) of frames seen at `times` (seconds) until `end`.

    named: what the file's header says, which holds where the times agree with it. Of uneven times it is the rate of
    most frames, at which no frame is repeated more than MOST_REPEATED times in the mean.
    """
    steps = np.diff(times)
    if not len(steps) or steps.min() <= 0:
        return float(named or 25), True
    usual = float(np.median(steps))
    even = steps.max() - steps.min() <= max(0.5 * usual, 2 * JITTER)
    step = (times[-1] - times[0]) / len(steps) if even else max(usual, (end - times[0]) / len(times) / MOST_REPEATED)
    slack = 2 * JITTER / len(steps) if even else JITTER  # of a mean over all frames, or of a single step
    if named and abs(float(1 / named) - step) <= slack:
        return float(named), even
    return float(Fraction(1 / step).limit_denominator(1001)), even


def at_even_times(frames: Sequence[Frame], times: Sequence[float], end: float, rate: float) -> list[Frame]:
    """Frames seen at uneven `times` until `end`, as a constant rate shows them."""
    ends = [*times[1:], end]
    return list(seen_at(iter([(a, b - a, frame) for a, b, frame in zip(times, ends, frames, strict=True)]), rate))


def shown_for(milliseconds: Sequence[float]) -> list[float]:
    """Times of a moving picture's frames as browsers have them: up to 10 ms count as 100."""
    return [DEFAULT if each <= SHORTEST else each for each in milliseconds]


def for_durations(frames: list[Any], milliseconds: Sequence[float], limit: int) -> tuple[list[Any], float]:
    """Frames of a gif or webp, each shown for its own time, as a video of a constant rate: (frames, fps).

    At most `limit` frames. No frame is left out unless its time is less than a part in MOST_REPEATED of the mean one.
    """
    total = sum(milliseconds)
    if max(milliseconds) - min(milliseconds) <= 10:  # what a whole hundredth of a second cannot tell
        return frames, 1000 * len(frames) / total
    count = min(limit, round(total / min(milliseconds)), MOST_REPEATED * len(frames))
    moments = (np.arange(count) + 0.5) * total / count
    shown = np.searchsorted(np.cumsum(milliseconds), moments, side="right")
    return [frames[0], *(frames[index] for index in shown[1:])], 1000 * count / total
