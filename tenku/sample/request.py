"""What somebody asks of a model, checked against what the model can do before any work starts."""

import math
import secrets
from dataclasses import dataclass, replace
from typing import Any

from tenku.model.settings import ModelSettings, SamplingParams

MAX_PROMPT = 2000  # characters
MAX_SEED = 2**63 - 1
# The model is made for its trained sizes and works somewhat beyond them; further out lies only noise and
# memory.
SIZE_REACH = 2
LONGEST = 3600.0  # seconds


@dataclass(frozen=True)
class Request:
    """A checked generation: everything that decides the frames, the seed included.

    width and height are what the model makes; crop, if not None, is the (width, height) cut out of the middle of it.
    """

    prompt: str
    negative_prompt: str
    num_frames: int
    width: int
    height: int
    seed: int
    params: SamplingParams
    crop: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the video that comes out."""
        return self.crop or (self.width, self.height)


def make_request(
    settings: ModelSettings,
    multiple: int,
    prompt: str,
    *,
    negative_prompt: str | None = None,
    seconds: float | None = None,
    size: tuple[int, int] | None = None,
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    rescale: float | None = None,
    shift: float | None = None,
    solver: str | None = None,
) -> Request:
    """Fill in the model's defaults; a ValueError refuses what it cannot make and says what would do.

    multiple: what width and height must be multiples of. seconds 0 asks for a still picture.
    """
    params = settings.defaults
    if steps is not None:
        params = replace(params, num_steps=_whole_number("steps", steps))
    if guidance is not None:
        params = replace(params, guidance_scale=_number("guidance", guidance), guidance_scale_2=None)
    if rescale is not None:
        params = replace(params, guidance_rescale=_number("rescale", rescale))
    if shift is not None:
        params = replace(params, shift=_number("shift", shift))
    if solver is not None:
        params = replace(params, solver=solver)
    asked = settings.sizes[0] if size is None else _checked_size(size, settings, multiple)
    width, height = (-(-side // multiple) * multiple for side in asked)  # the model's multiples, and the rest cut off
    return Request(
        prompt=checked_prompt(prompt),
        negative_prompt=_checked_text(
            "negative prompt", settings.negative if negative_prompt is None else negative_prompt
        ),
        num_frames=settings.max_frames if seconds is None else _frame_count(seconds, settings),
        width=width,
        height=height,
        seed=secrets.randbits(32) if seed is None else checked_seed(seed),
        params=params,
        crop=None if asked == (width, height) else asked,
    )


def checked_prompt(prompt: str) -> str:
    """The prompt without space around it. ValueError when it is empty, too long, or no text."""
    prompt = _checked_text("prompt", prompt)
    if not prompt:
        raise ValueError("the prompt is empty; say what the video should show")
    return prompt


def _checked_text(name: str, text: str) -> str:
    if not isinstance(text, str):
        raise ValueError(f"the {name} must be text, got {type(text).__name__}")
    if len(text) > MAX_PROMPT:
        raise ValueError(f"the {name} has {len(text):,} characters; at most {MAX_PROMPT:,} are read")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"the {name} holds half a character (a lone surrogate), which is not text") from None
    return text.strip()


def checked_length(seconds: float) -> float:
    """Seconds that are to be made. ValueError unless they are a number from 0 to LONGEST."""
    length = _number("seconds", seconds)
    if not 0 <= length <= LONGEST:
        raise ValueError(f"seconds must be between 0 and {LONGEST:g}, got {length:g}")
    return length


def _frame_count(seconds: float, settings: ModelSettings) -> int:
    """Frames of so many seconds at the model's rate; at least one."""
    seconds = _number("seconds", seconds)
    frames = seconds * settings.fps
    if settings.max_frames == 1 and round(frames) > 1:
        raise ValueError(f"{settings.name} makes pictures, not videos: seconds must be 0, got {seconds:g}")
    if frames < 0 or round(frames) > round(LONGEST * settings.fps):
        raise ValueError(f"seconds must be between 0 (a still picture) and {LONGEST:g}, got {seconds:g}")
    return max(1, round(frames))


def _checked_size(size: tuple[int, int], settings: ModelSettings, multiple: int) -> tuple[int, int]:
    try:
        width, height = size
    except (TypeError, ValueError):
        raise ValueError(f"size must be (width, height), got {size!r}") from None
    width, height = _whole_number("width", width), _whole_number("height", height)
    smallest = 2 * multiple
    largest = SIZE_REACH * max(max(pair) for pair in settings.sizes) // multiple * multiple

    def nearest(side: int) -> int:
        return min(max(smallest, side // 2 * 2), largest)

    if (nearest(width), nearest(height)) != (width, height):
        raise ValueError(
            f"size {width}x{height}: width and height must be even and between {smallest} and {largest}; "
            f"the nearest is {nearest(width)}x{nearest(height)}"
        )
    return width, height


def checked_seed(seed: int) -> int:
    """The seed as a whole number. ValueError unless it is one from 0 to MAX_SEED."""
    seed = _whole_number("seed", seed)
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed must be between 0 and {MAX_SEED}, got {seed}")
    return seed


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {value}")
    return number


def _whole_number(name: str, value: Any) -> int:
    number = value if isinstance(value, int) else _number(name, value)
    if number != int(number):
        raise ValueError(f"{name} must be a whole number, got {value}")
    return int(number)
