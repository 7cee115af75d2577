"""Captions from templates: a clip's description told in English or Chinese, briefly or with every variable.

Every claim (knocks over, bounces twice, comes out again) is read from the measured outcome, never assumed.
"""

from typing import Any

import numpy as np

from tenku.world.caption_writer import CaptionWriter
from tenku.world.chinese import Chinese
from tenku.world.english import English

WRITERS: dict[str, type[CaptionWriter]] = {"en": English, "zh": Chinese}
STYLES = ("short", "long", "plain")
WRITTEN = ("short", "long", "long", "plain")  # of each clip, in each language


def write(description: dict[str, Any], language: str, rng: np.random.Generator, style: str = "long") -> str:
    """Write one caption. `language` is "en" or "zh"; "long" style states every variable, "short" subject and event.

    Half of the time a short caption also names the floor or the light; a "plain" one is short and names both,
    as people write prompts. The same rng state gives the same words.
    """
    if language not in WRITERS:
        raise ValueError(f"captions are written in {' or '.join(WRITERS)}, not {language!r}")
    if style not in STYLES:
        raise ValueError(f"a caption is {', '.join(STYLES)}, not {style!r}")
    full = style == "long"
    extra = ("floor", "light", "", "")[rng.integers(4)] if style == "short" else "both"
    writer = WRITERS[language](description, rng, full, say_floor=extra in ("floor", "both"))
    return writer.sentence(say_light=extra in ("light", "both"))


def write_all(description: dict[str, Any], rng: np.random.Generator) -> dict[str, list[str]]:
    """Write the captions of one clip: for each language one short, two long and a plain one."""
    return {language: [write(description, language, rng, style) for style in WRITTEN] for language in WRITERS}


def mirror(description: dict[str, Any]) -> dict[str, Any]:
    """The description of the same clip with its pictures flipped left to right."""
    flip = {"left": "right", "right": "left", None: None}
    camera = description["camera"]
    for a, b in (("_left", "_right"), ("_right", "_left")):
        if camera.endswith(a):
            camera = camera.removesuffix(a) + b
            break
    ways = {key: flip[description.get(key)] for key in ("direction", "behind")}
    return {**description, **ways, "camera": camera}
