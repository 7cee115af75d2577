"""A storyboard: cards at times within one video, each with a prompt and perhaps a picture or clip that stands there.

    seconds = 6
    seed = 7

    [[card]]
    at = 0
    prompt = "A red ball rolls over grass."

    [[card]]
    at = 3
    prompt = "The ball hits a wall of blocks."
    picture = "wall.png"      # or clip = "hit.mp4"

The prompt of a card holds until the next card. Given frames stand at their time (in whole latent frames), and all
between them is made: a longer video window by window. What is made is led up to what is given.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenku.media.clip import Clip, Stream
from tenku.media.container import check_is_file
from tenku.media.resize import at_rate, fit, parse_size
from tenku.media.sound import Sound, beside
from tenku.sample.conditioning import ConditioningFn, with_frame_texts
from tenku.sample.pipeline import Pipeline
from tenku.sample.request import LONGEST, Request
from tenku.sample.user_frames import (
    Needed,
    UserFrames,
    read_user_clip,
    read_user_picture,
    sound_beside,
    whole_groups,
)

KEYS = {"seconds": (int, float), "size": str, "seed": int, "negative": str, "card": list}
CARD_KEYS = {"at": (int, float), "prompt": str, "picture": str, "clip": str}


@dataclass(frozen=True)
class Card:
    """What is seen from `at` seconds on; `given` are frames that stand there, `file` where they were read from."""

    at: float
    prompt: str
    given: Clip | None = None
    file: Path | None = None


@dataclass(frozen=True)
class Storyboard:
    seconds: float
    cards: tuple[Card, ...]
    size: str | None = None
    seed: int | None = None
    negative: str | None = None

    def __post_init__(self) -> None:
        if not self.cards:
            raise ValueError("a storyboard needs at least one card")
        try:
            object.__setattr__(self, "seconds", float(self.seconds))
            times = [float(card.at) for card in self.cards]
        except (TypeError, ValueError, OverflowError):
            raise ValueError("a storyboard's seconds and its cards' times are numbers") from None
        if not 0 < self.seconds <= LONGEST or not all(0 <= moment <= LONGEST for moment in times):
            told = ", ".join(f"{moment:g}" for moment in times)
            raise ValueError(
                f"a storyboard lasts up to {LONGEST:g} s, with cards at times: got {self.seconds:g} s, cards at {told}"
            )
        if times[0] != 0:
            raise ValueError(f"the first card must be at 0, not at {times[0]:g}: it says how the video begins")
        for before, after in zip(times, times[1:], strict=False):
            if after <= before:
                raise ValueError(f"the card at {after:g} comes after the one at {before:g}: put cards in order of time")
        if times[-1] >= self.seconds:
            raise ValueError(f"the card at {times[-1]:g} lies past the end, {self.seconds:g} seconds")


def read_storyboard(path: str | Path, needed: Needed | None = None) -> Storyboard:
    """A storyboard from a TOML file; its pictures and clips lie relative to it. ValueError says what is wrong.

    needed: what the model that it is for takes of files.
    """
    path = Path(path)
    check_is_file(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a mark first
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    if isinstance(values.get("card"), dict):
        raise ValueError(f"{path}: a card is a table of several, so it begins with [[card]], in two brackets")
    check(path, values, KEYS)
    if "seconds" not in values or "card" not in values:
        raise ValueError(f"{path} needs `seconds = …` and at least one [[card]]")
    if needed is not None and "size" in values:
        needed = needed.in_size(parse_size(values["size"]))
    cards = [read_card(path, k + 1, card, needed) for k, card in enumerate(values.pop("card"))]
    return Storyboard(cards=tuple(cards), **values)


def read_card(path: Path, number: int, values: Any, needed: Needed | None) -> Card:
    name = f"{path}, card {number}"
    if not isinstance(values, dict):
        raise ValueError(f"{name} should be a table: [[card]]")
    check(name, values, CARD_KEYS)
    for key in ("at", "prompt"):
        if key not in values:
            raise ValueError(f"{name} needs {key}")
    files = [values[key] for key in ("picture", "clip") if key in values]
    if len(files) > 1:
        raise ValueError(f"{name} has a picture and a clip: one of them can stand there")
    if not values["prompt"].strip():
        raise ValueError(f"{name}: its prompt is empty; say what is seen from {values['at']:g} s on")
    file = path.parent / files[0] if files else None
    try:
        if file is None:
            given = None
        elif "picture" in values:
            given = read_user_picture(file, needed)
        else:
            given = read_user_clip(file, needed, sound=True)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return Card(values["at"], values["prompt"], given, file)


def check(name: object, values: dict[str, Any], keys: dict[str, Any]) -> None:
    for key, value in values.items():
        if key not in keys:
            raise ValueError(f"{name}: unknown key {key!r}; known are {', '.join(keys)}")
        if not isinstance(value, keys[key]) or isinstance(value, bool):
            raise ValueError(f"{name}: {key} cannot be {value!r}")


def render_storyboard(
    pipeline: Pipeline, board: Storyboard, *, size: tuple[int, int] | None = None, **options: Any
) -> Stream:
    """Make the video of a storyboard; options as in `Pipeline.generate`, else what the board says, else the model's.

    ValueError when given frames overlap or overrun.
    """
    said = {"seed": board.seed, "negative_prompt": board.negative}
    options |= {name: value for name, value in said.items() if options.get(name) is None}
    size = size if size is not None or board.size is None else parse_size(board.size)
    request = pipeline.request(board.cards[0].prompt, size=size, seconds=board.seconds, **options)
    for card in board.cards:
        pipeline.request(card.prompt)
    user_frames: list[UserFrames] = []
    heard: list[tuple[int, Sound | None]] = []
    for card in board.cards:
        if card.given is not None:
            place(pipeline, card, request, user_frames)
            at, frames = user_frames[-1]
            heard.append((at, sound_beside(card.given, len(frames), pipeline.settings.fps, "start")))

    def texts(part: slice) -> ConditioningFn:
        moments = (frame / pipeline.settings.fps for frame in pipeline.windows.frame_centers(part))
        prompts = [card_at(board, moment).prompt for moment in moments]
        return lambda each: with_frame_texts(each, pipeline.text_encoder, prompts)

    cards = [{"at": float(card.at), "prompt": card.prompt} for card in board.cards]
    told = {"task": "storyboard", "cards": cards}
    sound = beside(request.num_frames, pipeline.settings.fps, heard)
    return pipeline.fill(request, user_frames, frames_fn=texts, sound=sound, **told)


def card_at(board: Storyboard, moment: float) -> Card:
    """The card whose prompt holds at a moment."""
    return [card for card in board.cards if card.at <= moment or card.at == 0][-1]


def place(pipeline: Pipeline, card: Card, request: Request, user_frames: list[UserFrames]) -> None:
    """Put a card's frames behind those of earlier cards, at the nearest place in whole latent frames."""
    assert card.given is not None
    autoencoder, windows, frames = pipeline.autoencoder, pipeline.windows, card.given.frames
    at = int(card.at * pipeline.settings.fps / windows.group + 0.5) * windows.group
    at_most, least = windows.place_picture(at, request.num_frames)  # least: frames that a picture stands for
    if len(frames) > 1:
        frames = whole_groups(at_rate(card.given, pipeline.settings.fps), windows.group, "start")
    else:
        at = at_most
    if at + len(frames) > autoencoder.num_frames(autoencoder.latent_frames(request.num_frames)):
        raise ValueError(f"what the card at {card.at:g} shows goes on past the end of the video")
    if user_frames and at < user_frames[-1][0] + max(least, len(user_frames[-1][1])):
        raise ValueError(f"what the card at {card.at:g} shows overlaps what an earlier card shows")
    user_frames.append((at, fit(frames, (request.width, request.height))))
