"""Splits of the world's clips: training, validation, and held-out combinations.

Train and validation draw from different random streams. Some whole pairs (main colour x event, main kind x event)
are never drawn in either: only the split `combinations` shows them, so that what a model makes of a pair that it has
never seen can be measured.
"""

from collections.abc import Sequence

from tenku.world.events import EVENTS, LONGEST
from tenku.world.scene import Event

STREAMS = {"train": 0, "validation": 1, "combinations": 2}

HELD_OUT_COLORS = {
    "drop": "orange", "roll": "purple", "slide": "blue", "collide": "yellow", "ramp": "green", "throw": "pink",
    "hide": "red", "pendulum": "turquoise", "brush": "purple", "trail": "orange", "walk": "turquoise",
    "drive": "purple", "stairs": "pink",
}  # fmt: skip
HELD_OUT_KINDS = {
    "drop": ("cone", "duck"), "slide": ("cylinder",), "throw": ("capsule",), "collide": ("cube",),
    "cover": ("snowman", "rocket"), "bite": ("apple",), "ramp": ("cylinder",), "roll": ("ring",),
}  # fmt: skip


def stream_of(split: str) -> int:
    """The number of a split's random stream. ValueError for an unknown split."""
    if split not in STREAMS:
        raise ValueError(f"splits are {', '.join(STREAMS)}, not {split!r}")
    return STREAMS[split]


def is_held_out(name: str, event: Event) -> bool:
    """Whether an event shows a main colour or a main kind that is held out for it."""
    mains = [body for body in event.bodies if body.role == "main"]
    color, kinds = HELD_OUT_COLORS.get(name), HELD_OUT_KINDS.get(name, ())
    return any((color and body.color == color) or body.kind in kinds for body in mains)


def events_of(split: str, wanted: Sequence[str] = (), num_frames: int = 1) -> list[str]:
    """The events that a clip of a split can show, or those of them that are wanted. ValueError for one that it cannot.

    What does not last `num_frames` frames is shown in shorter clips only.
    """
    can = [name for name in EVENTS if split != "combinations" or name in HELD_OUT_COLORS or name in HELD_OUT_KINDS]
    over = [name for name, longest in LONGEST.items() if num_frames > longest]
    for name in wanted:
        if name not in can:
            raise ValueError(f"the events of {split} are {', '.join(can)}, not {name!r}")
        if name in over:
            raise ValueError(f"the event {name} lasts {LONGEST[name]} frames at most, not {num_frames}")
    return [name for name in can if name not in over and (not wanted or name in wanted)]


def fits(split: str, name: str, event: Event) -> bool:
    return is_held_out(name, event) == (split == "combinations")
