"""The caption grammar that both languages share: reading a description, and choosing among synonyms.

english.py and chinese.py each add one method per event; captions.py is the way in.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tenku.world import lexicon


def color_of(thing: dict[str, Any]) -> str | None:
    """The colour by which a thing is known, or None where it has none of its own (a burger, a duck)."""
    if thing["kind"] in lexicon.UNCOLORED_KINDS:
        return None
    for name in (thing.get("material"), thing.get("color")):  # a cake's icing stands under material
        if name in lexicon.COLORS:
            return name
    return None


def group_color(description: dict[str, Any]) -> str:
    """The one colour of the blocks, dominoes, poured balls or apples, or "colorful"."""
    found = {thing["color"] for thing in description["objects"] if thing["role"] in ("block", "many")}
    return found.pop() if len(found) == 1 else "colorful"


class CaptionWriter:
    """Writes one caption of a description in one language, from templates and synonyms.

    `full` tells every variable; otherwise only the subject and the event, and floor or light when asked for.
    """

    language: ClassVar[str]

    def __init__(self, description: dict[str, Any], rng: np.random.Generator, full: bool, say_floor: bool):
        self.description = description
        self.rng = rng
        self.full = full
        self.say_floor = say_floor
        self.event: str = description["event"]
        self.objects: list[dict[str, Any]] = description["objects"]
        self.mains = [thing for thing in self.objects if thing["role"] == "main"]
        outcome = description["outcome"]
        self.bounces = int(outcome.get("bounces") or 0)
        self.tipped = int(outcome.get("tipped") or 0)
        self.moved = int(outcome.get("moved") or 0)
        self.rest, self.hit, self.over_wall = (bool(outcome.get(key)) for key in ("rest", "hit_target", "over_wall"))

    @property
    def main(self) -> dict[str, Any]:
        return self.mains[0]

    @property
    def target(self) -> dict[str, Any] | None:
        return next((thing for thing in self.objects if thing["role"] == "target"), None)

    def thing(self, kind: str) -> dict[str, Any]:
        return next(thing for thing in self.objects if thing["kind"] == kind)

    @property
    def count(self) -> int:
        """How many blocks, dominoes, poured balls or apples; or how many bites or stairs."""
        group = [thing for thing in self.objects if thing["role"] in ("block", "many")]
        return self.description.get("count") or len(group)

    @property
    def rolls(self) -> bool:
        return self.main["kind"] in lexicon.ROLLING_KINDS

    # --- choosing words

    def pick(self, *options: str) -> str:
        """Draw one of the options; the first as often as all the others together."""
        if len(options) == 1 or self.rng.random() < 0.5:
            return options[0]
        return options[1 + self.rng.integers(len(options) - 1)]

    def say(self, table: dict[str, lexicon.Words], key: str) -> str:
        return self.pick(*self.synonyms(table, key))

    def synonyms(self, table: dict[str, lexicon.Words], key: str) -> Sequence[str]:
        if key not in table:
            raise ValueError(f"captions know no {key!r}; they know {', '.join(table)}")
        return getattr(table[key], self.language)

    def color(self, name: str) -> str:
        return self.synonyms(lexicon.COLORS, name)[0]

    def number(self, n: int) -> str:
        """The word for n, or the digits past twenty."""
        names = getattr(lexicon.NUMBERS, self.language)
        return names[n] if n < len(names) else str(n)

    def color_and_material(self, thing: dict[str, Any]) -> tuple[str, str, str]:
        """(material before, colour, material after) of a thing; each may be empty.

        A short caption leaves the material out half of the time, unless it is all that describes the thing.
        """
        name, material = color_of(thing), thing.get("material")
        if name == lexicon.NATURAL_COLOR.get(material or ""):
            name = None
        color = self.color(name) if name else ""
        if material not in lexicon.MATERIALS or (not self.full and color and self.rng.random() < 0.5):
            return "", color, ""
        options = lexicon.MATERIALS[material][self.language]
        before, after = options[self.rng.integers(len(options))]
        return before, color, after

    def light_template(self) -> str:
        """A caption template for the light, with {neon} and {backdrop} still open."""
        return self.say(lexicon.LIGHTS, self.description["light"])

    def camera(self) -> str:
        return self.say(lexicon.CAMERAS, self.description["camera"])

    def sentence(self, say_light: bool) -> str:
        """Write the whole caption."""
        raise NotImplementedError

    def clause(self) -> str:
        """Write the event by the method of its name, floor included when asked for."""
        if self.event not in lexicon.EVENTS:
            raise ValueError(f"captions know no event {self.event!r}; they know {', '.join(lexicon.EVENTS)}")
        return getattr(self, self.event)()
