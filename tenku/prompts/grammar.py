"""Read a prompt in the world's words as the description of a clip: what it names is in it, the rest is drawn by chance.

No network and no physics: of the event that is named the usual outcome is claimed.
"""

import re
from collections.abc import Collection
from typing import Any

import numpy as np

from tenku.prompts import patterns
from tenku.world import lexicon


def thing(kind: str, role: str = "main", color: str = "red") -> dict[str, Any]:
    return {"kind": kind, "role": role, "color": color, "material": None}


BLOCKS = [thing("cube", "block", color) for color in ("red", "yellow", "blue", "green", "purple", "orange")]
DOMINOES = [thing("domino", "block", color) for color in ("red", "yellow", "blue", "green", "purple", "orange")]

# Of each event: its things, and what is different from an event in which nothing else happens.
EVENT_DEFAULTS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "drop": ([thing("ball")], {"outcome": {"bounces": 2, "rest": True}}),
    "roll": ([thing("ball")], {"direction": "right"}),
    "slide": ([thing("cube")], {"direction": "right", "outcome": {"rest": True}}),
    "collide": ([thing("ball"), thing("cube", "target")], {"direction": "right", "outcome": {"moved": 1}}),
    "tower": ([thing("ball"), *BLOCKS], {"direction": "right", "outcome": {"tipped": 6}}),
    "pyramid": ([thing("ball"), *BLOCKS], {"direction": "right", "outcome": {"tipped": 6}}),
    "domino": ([thing("ball"), *DOMINOES], {"direction": "right", "outcome": {"tipped": 6}}),
    "ramp": ([thing("ball"), thing("cube", "target")], {"direction": "right"}),
    "pendulum": ([thing("ball")], {}),
    "throw": ([thing("ball")], {"direction": "right", "outcome": {"bounces": 2}}),
    "hide": ([thing("ball"), thing("wall", "wall", "gray")], {"direction": "right"}),
    "bite": ([thing("burger")], {"count": 1}),
    "brush": ([thing("brush")], {"stroke": "wave", "paint": "red"}),
    "trail": ([thing("ball")], {"direction": "right"}),
    "pour": ([thing("ball", "many", color) for color in ("red", "yellow", "blue", "green", "pink")] * 2, {}),
    "cover": ([thing("ball"), thing("box", "box", "blue")], {}),
    "walk": ([thing("person")], {"direction": "right"}),
    "apples": ([thing("apple", "many") for _ in range(3)], {}),
    "drive": ([thing("automobile")], {"direction": "right"}),
    "street": ([thing("person"), thing("automobile", "target")], {"direction": "right", "behind": "left"}),
    "stairs": ([thing("ball"), thing("stairs", "prop", "gray")], {"direction": "right", "count": 4}),
}


def describe(
    text: str, camera: str | None, language: str, rng: np.random.Generator, avoid: Collection[str] = ()
) -> dict[str, Any]:
    """The description of a clip that shows what a text in the grammar's words says; `read` gives text and camera.

    What is left open is drawn by chance. avoid: names of things and events (`EVENT_DEFAULTS`) that must not be in it.
    """
    things = [each for each in things_in(text, language) if each["kind"] not in avoid]
    topples = re.search(patterns.TOPPLES, text)
    event = event_in(text, things)
    if event in avoid or (event == "drop" and event_said(text) is None and "drop" in avoid):
        event = next(name for name in ("drop", "roll", "pendulum", "throw") if name not in avoid)
    description = default_description(event)
    for each in description["objects"]:
        if each["role"] in ("main", "target") and each["kind"] in avoid:
            each["kind"] = next(kind for kind in ("cube", "ball", "cone", "cylinder") if kind not in avoid)
    if event == "drop":
        things = falling_together(
            [each for each in things_in(text, language, plural=True) if each["kind"] not in avoid]
        )
        description["objects"] = [thing("ball") for _ in range(len(things))] or description["objects"]
    if event == "collide":
        things = [each for each in things_in(text, language, plural=True) if each["kind"] not in avoid]
        things = [dict(each) for each in things for _ in range(each["number"])]
        if topples:
            description["outcome"]["tipped"] = 1
            things = [{**thing("ball"), "color": None}, *things] if len(things) == 1 else things
    description["light"] = first_match(patterns.LIGHTS, text) or str(rng.choice(list(patterns.LIGHTS)))
    description["floor"] = first_match(patterns.FLOORS, text) or str(rng.choice(list(patterns.FLOORS)))
    description["camera"] = camera or "static"  # a camera that moves loses what it follows more easily
    if event == "street":
        description |= street_directions(text)
    elif description["direction"]:
        description["direction"] = "left" if "left" in directions_in(text).values() else "right"
    stops = re.search(patterns.STOPS, re.sub(patterns.GOES_ON, "", text))
    description["outcome"]["rest"] |= bool(stops)
    goes_on = re.search(patterns.GOES_ON + "|keeps going|一直没有停", text)
    if goes_on:
        description["outcome"]["rest"] = False
    if "bounce" in avoid or (goes_on and event == "drop"):
        description["outcome"]["bounces"] = 0
    if "topple" in avoid:
        description["outcome"] |= {"tipped": 0, "moved": 1}
    description["stays"] = "reappear" in avoid
    description["reveal"] = "reveal" in text or "露出" in text
    if description["light"] == "neon":
        named = [name for name in colors_in(re.split("neon|霓虹", text)[0][-40:], language) if name in patterns.NEON]
        description["neon"] = named or rng.permutation(patterns.NEON)[:2].tolist()
    if description["light"] == "studio":
        before = [match[1] or match[2] for match in re.finditer(patterns.BACKDROP, text)]
        named = [name for words in before for name in colors_in(words, language) if name in patterns.BACKDROPS]
        description["backdrop"] = named[0] if named else str(rng.choice(patterns.BACKDROPS))
    if event == "throw":
        description["wall"] = bool(re.search(r"\bwall|墙", text))
    if event == "trail":
        said = (color_and_material_in(words_before(each, text, language), language)[0] for each in patterns.TRACES)
        description["paint"] = next(filter(None, said), None)
    if event == "brush":
        description["stroke"] = first_match(patterns.STROKES, text) or str(rng.choice(list(lexicon.STROKES)))
        description["paint"] = (colors_in(text, language) or [str(rng.choice(patterns.COMMON))])[0]
    assign_appearance(description, [] if event in ("walk", "drive", "street") else things, rng)
    if event in patterns.COUNTED:
        set_count(description, number_of(patterns.COUNTED[event], text, language))
    for role, (noun, usually) in patterns.COLORED.get(event, {}).items():
        color, material = color_and_material_in(words_before(noun, text, language), language)
        for each in description["objects"]:
            if each["role"] == role and (color or material or usually):
                each |= {"color": color or lexicon.NATURAL_COLOR.get(material or "") or usually, "material": material}
    description["tree"] = bool(first_match({"tree": ("tree", "树")}, text))
    return description


def read(prompt: str) -> tuple[str, str | None]:
    """Parse a prompt: the text without its camera, the camera move or None."""
    text = re.sub(patterns.OTHERWISE, "", prompt.lower())
    for pattern, usual_form in patterns.SPELLINGS.items():
        text = re.sub(pattern, usual_form, text)
    camera = first_match(patterns.CAMERAS, text)
    return remove_camera(text, camera), camera


def is_complete(prompt: str) -> bool:
    """Whether a prompt leaves nothing open: event, light, floor and camera are all said."""
    text, camera = read(prompt)
    said = (first_match(each, text) for each in (patterns.EVENTS, patterns.LIGHTS, patterns.FLOORS))
    return camera is not None and all(said)


def event_said(text: str) -> str | None:
    """The event for which a text has a word; None: it only names things."""
    return first_match(patterns.EVENTS, re.sub(patterns.OF_LIGHT, "", text))


def remove_camera(text: str, camera: str | None) -> str:
    """What a prompt says besides the camera: its other sentences, or what the camera sees where there are none.

    Commas stand for all signs between its parts.
    """
    parts = re.split(r"[.,;，。；]", text)
    others = [part for part in parts if not re.search("camera|镜头|跟拍", part)]
    if "".join(others).strip():
        return " , ".join(others) + " "
    text = re.sub(
        r"(?:the )?camera(?: (?:moves|goes|turns|flies|slides) (?:to|from) the (?:left|right))?|镜头", " ", text
    )
    for sign in patterns.CAMERAS.get(camera or "", ()):
        text = re.sub(f"{re.escape(sign)}(?: to the (?:left|right))?", " ", text)
    return f"{text} "


def event_in(text: str, things: list[dict[str, Any]]) -> str:
    """The event of a text: the one that is said, or what the things that are named mostly do."""
    text = re.sub(patterns.OF_LIGHT, "", text)
    event = first_match(patterns.EVENTS, text)
    kinds = {thing["kind"] for thing in things}
    person, vehicle = re.search(patterns.PEOPLE, text), re.search(patterns.VEHICLES, re.sub(patterns.TOYS, "", text))
    if vehicle and (event in (None, "walk", "drive", "stairs") or (event == "hide" and person)):
        steers = person and re.match(
            rf"(?!{patterns.WALKS})[^,]*?(?:{patterns.DRIVES})", text[person.end() : vehicle.end()]
        )
        return "street" if person and not steers else "drive"
    if event == "drive":  # toys, or nothing that does
        event = other_event(event, text) or ("slide" if kinds else None)
    if event == "stairs" and (kinds - set(lexicon.ROLLING_KINDS) or re.search(r"\bup\b|[往向爬]上", text)):
        event = other_event(event, text)
    if event == "stairs" and person and not kinds:
        return "walk"
    if event == "walk" and not person and kinds - {"wall", "box"}:
        return "slide"  # a snowman has no legs
    if event == "apples" and kinds and "apple" not in kinds and "apples" not in text:
        return "drop"
    if event is None and kinds and re.search("keeps going|一直没有停", text):
        event = "roll" if kinds & set(lexicon.ROLLING_KINDS) else "slide"
    if event is None and not kinds and not person and re.search(r"\btrees?\b|树", text):
        event = "apples"  # no tree stands alone
    if event is None:
        event = "bite" if kinds & set(patterns.FOODS) else "walk" if person and not kinds else "drop"
    return event


def other_event(event: str, text: str) -> str | None:
    """The event of a text besides one."""
    return first_match({name: signs for name, signs in patterns.EVENTS.items() if name != event}, text)


def directions_in(text: str) -> dict[int, str]:
    """Where a text says left or right, in either language."""
    names = {"左": "left", "右": "right"}
    return {match.start(): names.get(match[0], match[0]) for match in re.finditer(patterns.WAYS, text)}


def street_directions(text: str) -> dict[str, str]:
    """The directions of walker and car: each belongs to the verb next to it; else they meet."""
    verbs = [
        (match.start(), whose)
        for whose, pattern in (("direction", patterns.WALKS), ("behind", patterns.DRIVES))
        for match in re.finditer(pattern, text)
    ]
    said: dict[str, str] = {}
    for place, way in directions_in(text).items():
        whose = min(((abs(at - place), whose) for at, whose in verbs), default=(0, "direction"))[1]
        said.setdefault(whose, way)
    other = {"left": "right", "right": "left"}
    direction = said.get("direction") or other[said.get("behind", "left")]
    return {"direction": direction, "behind": said.get("behind") or other[direction]}


def default_description(event: str) -> dict[str, Any]:
    """The description of an event as it mostly goes."""
    things, more = EVENT_DEFAULTS[event]
    outcome = {"bounces": 0, "rest": False, "hit_target": True, "tipped": 0, "moved": 0, "over_wall": True}
    return {
        "direction": None,
        **more,
        "event": event,
        "objects": [dict(each) for each in things],
        "outcome": outcome | more.get("outcome", {}),
    }


def first_match(entries: dict[str, tuple[str, ...]], text: str) -> str | None:
    """The first entry one of whose patterns is in the text; an English one at the beginning of a word."""
    return next((name for name, signs in entries.items() if any(word_positions(sign, text) for sign in signs)), None)


def word_positions(sign: str, text: str, whole: bool = False) -> list[int]:
    """The positions of a word in a text: an English one begins there, or is there as a `whole`."""
    pattern = re.escape(sign)
    if sign.isascii():
        pattern = rf"\b{pattern}\b" if whole else rf"\b{pattern}"
    return [match.start() for match in re.finditer(pattern, text)]


def longest_first(named: list[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
    """(place, word, name) in the order of the text, without words inside longer ones: the duck of "rubber duck"."""
    kept: list[tuple[int, str, str]] = []
    end = 0
    for place, word, name in sorted(named, key=lambda each: (each[0], -len(each[1]))):
        if place >= end:
            kept.append((place, word, name))
            end = place + len(word)
    return kept


def color_words(language: str) -> dict[str, str]:
    """The word for each colour."""
    return {name: getattr(synonyms, language)[0] for name, synonyms in lexicon.COLORS.items()}


def colors_in(text: str, language: str) -> list[str]:
    """The colours that a text names, in its order."""
    words = color_words(language).items()
    named = [(place, word, name) for name, word in words for place in word_positions(word, text, whole=True)]
    return [name for _, _, name in longest_first(named)]


def colors_before(text: str, language: str) -> list[str]:
    """The colours that a text names before a noun, or the one that it ends with in short."""
    return colors_in(text, language) or [
        patterns.SHORT_COLORS[sign] for sign in text[-1:] if sign in patterns.SHORT_COLORS
    ]


def color_and_material_in(before: str, language: str) -> tuple[str | None, str | None]:
    """The last colour and the last material that are named before a noun."""
    materials = [
        name
        for name, forms in lexicon.MATERIALS.items()
        if any(part and part in before for pair in forms[language] for part in pair)
    ]
    color, material = (names[-1] if names else None for names in (colors_before(before, language), materials))
    return color, material


def number_of(noun: str, text: str, language: str) -> int | None:
    """The number, from two to twenty, of the things that a pattern tells: only colours, materials, sizes between."""
    materials = [part for forms in lexicon.MATERIALS.values() for pair in forms[language] for part in pair if part]
    others = [*patterns.OTHER_ADJECTIVES[language], *(patterns.SHORT_COLORS if language == "zh" else ())]
    adjectives = "|".join([*color_words(language).values(), *materials, *others])
    if language == "zh":
        measures = "".join({*"个只颗块枚张级", *lexicon.MEASURES.values()})
        pattern = rf"(\d+|[{patterns.CHINESE_DIGITS}]+)(?:[{measures}](?:{adjectives})*)?(?:{noun})"
    else:
        pattern = rf"(?<![\w-])(\d+|[a-z-]+) (?:(?:{adjectives})[ ,]+)*(?:{noun})"
    names = {name: n for n, name in enumerate(getattr(lexicon.NUMBERS, language))} | {str(n): n for n in range(21)}
    said = (names.get("两" if match[1] == "二" else match[1], 0) for match in re.finditer(pattern, text))
    return next((number for number in said if number > 1), None)


def words_before(noun: str, text: str, language: str) -> str:
    """The words just before the first of the nouns, of which one pattern tells."""
    match = re.search(noun, text)
    return re.split(patterns.APART[language], text[: match.start()][-20:])[-1] if match else ""


def set_count(description: dict[str, Any], number: int | None) -> None:
    """Set how many blocks, stairs, bites or things there are, if a number is said; where some tip over, all do."""
    if number is None:
        return
    if description["event"] in ("stairs", "bite"):
        description["count"] = min(number, patterns.MOST_BITES) if description["event"] == "bite" else number
        return
    group = [each for each in description["objects"] if each["role"] in ("block", "many")]
    others = [each for each in description["objects"] if each["role"] not in ("block", "many")]
    description["objects"] = others + [dict(group[i % len(group)]) for i in range(number)]
    if description["outcome"]["tipped"]:
        description["outcome"]["tipped"] = number


def things_in(text: str, language: str, plural: bool = False) -> list[dict[str, Any]]:
    """The things that a text names, in its order: kind, number, the colour and material said before it, and whether
    it is joined to the one before. With `plural`, also those that an English text names as several.
    """
    ending = "s" if plural and language == "en" else ""
    named = [
        (place, word, "car" if kind == "automobile" else kind)
        for kind, synonyms in lexicon.KINDS.items()
        for synonym in getattr(synonyms, language)
        for single in {synonym, synonym.split()[-1]}  # "duck" is a rubber duck
        for word in {single, single + ending}
        for place in word_positions(word, text, whole=True)
        if kind not in ("domino", "person")  # no event takes another thing for these
    ]
    things: list[dict[str, Any]] = []
    end = 0
    for place, word, kind in longest_first(named):
        between, end = text[end:place], place + len(word)
        before = re.split(patterns.APART[language], between)[-1]
        color, material = color_and_material_in(before, language)
        joined = bool(things and re.match(patterns.JOINED, between))
        number = number_of("$", before, language) or 1
        things.append({"kind": kind, "color": color, "material": material, "number": number, "joined": joined})
    return things


def falling_together(things: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first thing and those joined to it, each as often as it is said; walls and boxes do not fall."""
    last = next((i for i, each in enumerate(things) if i and not each["joined"]), len(things))
    falling = [each for each in things[:last] if each["kind"] not in ("wall", "box")]
    return [dict(each) for each in falling for _ in range(each["number"])][: patterns.MOST_FALLING]


def assign_appearance(description: dict[str, Any], named: list[dict[str, Any]], rng: np.random.Generator) -> None:
    """Give the things of an event the kinds, colours and materials that were named, and some colour to the others.

    Main things and what they meet come in the order of the text, after a box or a wall that an event has.
    """
    for each in sorted(description["objects"], key=lambda each: each["role"] in ("main", "target")):
        anything = each["role"] in ("main", "target")
        fitting = [noun for noun in named if anything or noun["kind"] == each["kind"]]
        if fitting:
            named.remove(fitting[0])
            each["kind"] = fitting[0]["kind"]
        noun = fitting[0] if fitting else {}
        if anything or noun:
            each["color"] = noun.get("color") or str(rng.choice(patterns.COMMON))
            each["material"] = noun.get("material")
