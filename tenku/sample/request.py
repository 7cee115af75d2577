"""What somebody asks of a model, checked against what the model can do before any work starts."""

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict, Unpack

from tenku.model.settings import ModelSettings, SamplingParams

MAX_PROMPT = 2000  # characters
MAX_SEED = 2**63 - 1
# The model is made for its trained sizes and works somewhat beyond them; further out lies only noise and
# memory.
SIZE_REACH = 2
LONGEST = 3600.0  # seconds


# Called as on_progress(stage, done, total) with stage "text", "denoise" or "decode"; an exception raised in it ends the
# generation, which is how to cancel one.
OnProgress = Callable[[str, int, int], None]


def say_nothing(stage: str, done: int, total: int) -> None:
    """Progress that nobody wants to hear of."""


@dataclass(frozen=True)
class Request:
    """A checked generation: everything that decides the frames, the seed included, and who hears of the progress.

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
    on_progress: OnProgress = field(default=say_nothing, compare=False, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the video that comes out."""
        return self.crop or (self.width, self.height)


class GenerateOptions(TypedDict, total=False):
    """What a generation can be asked for beside the prompt; None is the model's own default.

    seconds: 0 for a still picture. size: (width, height) in pixels. seed: None draws one, which the metadata keeps.
    guidance: how strictly the prompt is followed; 1 is off and twice as fast. rescale: how far guidance leaves contrast
    as it is, 0 to 1. shift: how much of the steps goes to high noise. on_progress: see `OnProgress`.
    """

    negative_prompt: str | None
    seconds: float | None
    size: tuple[int, int] | None
    seed: int | None
    steps: int | None
    guidance: float | None
    rescale: float | None
    shift: float | None
    solver: str | None
    on_progress: OnProgress | None


def make_request(settings: ModelSettings, multiple: int, prompt: str, **options: Unpack[GenerateOptions]) -> Request:
    """Check what is asked for and fill in the model's defaults. ValueError says what cannot be made and what would do.

    multiple: what width and height must be multiples of.
    """
    if unknown := options.keys() - GenerateOptions.__annotations__:
        raise TypeError(
            f"unknown option {sorted(unknown)[0]!r}; there are {', '.join(GenerateOptions.__annotations__)}"
        )
    asked: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    shown = _checked_size(asked["size"], settings, multiple) if "size" in asked else settings.sizes[0]
    width, height = (-(-side // multiple) * multiple for side in shown)  # the model's multiples, and the rest cut off
    return Request(
        prompt=checked_prompt(prompt),
        negative_prompt=_checked_text("negative prompt", asked.get("negative_prompt", settings.negative)),
        num_frames=_frame_count(asked["seconds"], settings) if "seconds" in asked else settings.max_frames,
        width=width,
        height=height,
        seed=checked_seed(asked["seed"]) if "seed" in asked else secrets.randbits(32),
        params=_params(settings.defaults, asked),
        crop=None if shown == (width, height) else shown,
        on_progress=asked.get("on_progress", say_nothing),
    )


def _params(params: SamplingParams, asked: dict[str, Any]) -> SamplingParams:
    """How to sample, with what was asked for; a guidance that is asked for holds for both of two experts."""
    if "steps" in asked:
        params = replace(params, num_steps=_whole_number("steps", asked["steps"]))
    if "guidance" in asked:
        params = replace(params, guidance_scale=_number("guidance", asked["guidance"]), guidance_scale_2=None)
    if "rescale" in asked:
        params = replace(params, guidance_rescale=_number("rescale", asked["rescale"]))
    if "shift" in asked:
        params = replace(params, shift=_number("shift", asked["shift"]))
    return replace(params, solver=asked.get("solver", params.solver))


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
