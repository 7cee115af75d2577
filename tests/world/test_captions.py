"""Captions say what the description says: every event, every outcome, both languages, both styles."""

import itertools
import re

import numpy as np
import pytest

from tenku.world import captions, lexicon

QUIET = {
    "bounces": 0,
    "rest": False,
    "hit_target": False,
    "tipped": 0,
    "moved": 0,
    "targets": 0,
    "over_wall": False,
}
LANGUAGES = ("en", "zh")
STYLES = ("short", "long", "plain")


def thing(kind="ball", color="red", material="rubber", role="main"):
    return {"kind": kind, "color": color, "material": material, "role": role}


def describe(event, objects=None, outcome=None, **changes):
    description = {
        "event": event,
        "floor": "grass",
        "light": "day",
        "backdrop": None,
        "neon": [],
        "camera": "static",
        "direction": "right",
        "objects": objects or [thing()],
        "count": None,
        "wall": False,
        "paint": None,
        "stroke": None,
        "stays": False,
        "reveal": False,
        "tree": False,
        "behind": None,
        "same_color": False,
        "outcome": {**QUIET, **(outcome or {})},
    }
    unknown = set(changes) - set(description)
    assert not unknown
    return {**description, **changes}


def every_description():
    """Each event with each branch of its outcome."""
    bottle = thing("bottle", "orange", "toy", "target")
    blocks = [thing("cube", color, "matte", "block") for color in ("red", "blue", "green", "pink")]
    dominoes = [thing("domino", "turquoise", "plastic", "block")] * 7
    met = [
        {},
        {"hit_target": True},
        {"hit_target": True, "moved": 1},
        {"hit_target": True, "moved": 1, "tipped": 1},
    ]
    for bounces, rest in itertools.product(range(4), (False, True)):
        fate = {"bounces": bounces, "rest": rest}
        yield describe("drop", [thing("egg", "purple", "wooden")], fate, direction=None)
        yield describe("drop", [thing(), thing("duck", "yellow", "toy"), thing("apple", None, None)], fate)
        yield describe("roll", [thing("ring", "gold", "metal")], fate)
        yield describe("slide", [thing("cone", "black", "striped")], fate)
        yield describe("throw", None, fate)
        for over in (False, True):
            yield describe("throw", None, {**fate, "over_wall": over}, wall=True)
    for fate in met:
        yield describe("collide", [thing("cube", "blue", "dotted"), bottle], fate)
        yield describe("ramp", [thing("cylinder", "white", "marble"), bottle], fate)
        yield describe("pendulum", [thing(), bottle], fate, direction=None)
    yield describe("ramp")
    yield describe("pendulum", direction=None)
    for event, (hit, moved, tipped) in itertools.product(
        ("tower", "pyramid"), ((False, 0, 0), (True, 0, 0), (True, 3, 0), (True, 2, 1), (True, 4, 4))
    ):
        yield describe(event, [thing(), *blocks], {"hit_target": hit, "moved": moved, "tipped": tipped}, count=4)
    for tipped in range(8):
        yield describe("domino", [thing(), *dominoes], {"hit_target": True, "tipped": tipped}, count=7)
    for stays in (False, True):
        yield describe("hide", [thing(), thing("wall", "orange", None, "prop")], stays=stays)
    for food, n in itertools.product(("burger", "cake", "donut"), (1, 2, 3)):
        material = "chocolate" if food == "cake" else None
        yield describe("bite", [thing(food, None, material)], count=n, direction=None)
    for stroke in lexicon.STROKES:
        brush = thing("brush", "green", None)
        yield describe(
            "brush",
            [brush, thing("canvas", "white", None, "prop")],
            paint="green",
            stroke=stroke,
            direction=None,
        )
    yield describe("trail", [thing("ball", "blue", "plastic")], paint="blue")
    for colors in (["red"] * 9, ["red", "blue"] * 5):
        yield describe(
            "pour",
            [thing("ball", color, "plastic", "many") for color in colors],
            count=len(colors),
            direction=None,
        )
    for reveal in (False, True):
        yield describe(
            "cover",
            [thing("car", "pink", "toy"), thing("box", "purple", None, "prop")],
            reveal=reveal,
            direction=None,
        )
    for tree in (False, True):
        yield describe("walk", [thing("person", "blue", None), thing("thigh", None, None, "prop")], tree=tree)
    automobile = thing("automobile", "red", None)
    for tree, rest in itertools.product((False, True), (False, True)):
        yield describe("drive", [automobile, thing("wheel", None, None, "prop")], {"rest": rest}, tree=tree)
    for behind in ("left", "right"):
        passing = {**automobile, "role": "target"}
        yield describe("street", [thing("person", "blue", None), passing], behind=behind)
    for kind, material in itertools.product(("ball", "cylinder"), (None, "wooden")):
        flight = thing("stairs", "brown" if material else "gray", material, "prop")
        yield describe("stairs", [thing(kind), flight], count=4)
        yield describe("stairs", [thing(kind), flight], {"rest": True}, count=4)
    for color, n in (("red", 2), ("yellow", 5)):
        yield describe("apples", [thing("apple", color, None, "many")] * n, count=n, direction=None)


ALL = list(every_description())


def tell(description, language, style="long", seeds=6):
    return [captions.write(description, language, np.random.default_rng(seed), style) for seed in range(seeds)]


def names_one_of(caption, synonyms):
    return any(word.lower() in caption.lower() for word in synonyms)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_are_well_formed_sentences(language, style):
    assert {description["event"] for description in ALL} == set(lexicon.EVENTS)
    for description in ALL:
        for caption in tell(description, language, style):
            assert "  " not in caption and "None" not in caption and "{" not in caption, caption
            assert caption == caption.strip()
            if language == "zh":
                assert not re.search(r"[A-Za-z .,]", caption), caption
                assert caption.endswith("。") and "的的" not in caption and "。。" not in caption, caption
                assert not re.search(r"[，。、][，。、]", caption), caption
            else:
                assert caption.isascii() and caption[0].isupper() and caption.endswith("."), caption
                assert not re.search(r"\ba [aeiou]", caption) and not re.search(r"\ban [^aeiou]", caption), caption
                assert not re.search(r" [,.]|,,|\.\.", caption), caption


@pytest.mark.parametrize("language", LANGUAGES)
def test_long_captions_name_floor_light_camera_and_subject(language):
    for description in ALL:
        for caption in tell(description, language):
            assert names_one_of(caption, getattr(lexicon.FLOORS["grass"], language)), caption
            assert names_one_of(caption, getattr(lexicon.LIGHTS["day"], language)), caption
            assert names_one_of(caption, getattr(lexicon.CAMERAS["static"], language)), caption
            if description["event"] not in ("brush", "pour"):
                kind = description["objects"][0]["kind"]
                assert names_one_of(caption, getattr(lexicon.KINDS[kind], language)), caption


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_floor_light_and_camera_is_told_by_its_own_words(language):
    for table, key in ((lexicon.FLOORS, "floor"), (lexicon.CAMERAS, "camera")):
        for name, synonyms in table.items():
            for caption in tell(describe("roll", **{key: name}), language):
                assert names_one_of(caption, getattr(synonyms, language)), caption
    neon = describe("roll", light="neon", neon=["pink", "cyan", "green"])
    studio = describe("roll", light="studio", backdrop="lavender")
    for caption in tell(neon, language):
        assert ("pink, cyan and green neon" if language == "en" else "粉色、青色、绿色霓虹灯") in caption
    for caption in tell(studio, language):
        assert ("a lavender" if language == "en" else "淡紫色") in caption


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("color", ["red", "orange", "turquoise", "gold", "gray"])
def test_long_captions_name_the_colour_and_material(language, color):
    word = getattr(lexicon.COLORS[color], language)[0]
    for event in ("drop", "roll", "slide", "throw"):
        for caption in tell(describe(event, [thing("cube", color, "striped")]), language):
            assert word in caption and ("striped" if language == "en" else "条纹") in caption


def test_wood_and_marble_need_no_colour_but_keep_their_material():
    for style in STYLES:
        assert all(
            "wooden" in c and "brown" not in c
            for c in tell(describe("roll", [thing("ball", "brown", "wooden")]), "en", style)
        )
        assert all("大理石" in c for c in tell(describe("roll", [thing("ball", "white", "marble")]), "zh", style))


@pytest.mark.parametrize("style", STYLES)
def test_knocking_over_is_told_only_when_something_tipped(style):
    falling = {
        "en": ("knocks", "topple", "collapse", "of them fall", "all fall", "they fall", "one falls"),
        "zh": (
            "撞倒了",
            "碰翻了",
            "撞塌",
            "散落",
            "撞掉",
            "全部倒下",
            "骨牌倒下",
            "倒下了",
            "倒下一块",
            "下了台子",
            "依次倒下",
        ),
    }
    for description, language in itertools.product(ALL, LANGUAGES):
        if description["event"] not in ("collide", "ramp", "pendulum", "tower", "pyramid", "domino"):
            continue
        for caption in tell(description, language, style):
            told = names_one_of(caption, falling[language])
            assert told == (description["outcome"]["tipped"] > 0), (caption, description["outcome"])


def test_a_target_that_was_missed_is_not_told_as_hit():
    bottle = thing("bottle", "orange", "toy", "target")
    for event, language in itertools.product(("collide", "ramp", "pendulum"), LANGUAGES):
        for style in STYLES:
            for caption in tell(describe(event, [thing(), bottle]), language, style):
                assert not re.search(r"\b(hits|bumps|knocks|topples)\b|撞上|撞到|撞倒", caption), caption


def test_bounces_rest_and_walls_follow_the_outcome():
    for bounces, said in enumerate([None, "bounces once", "bounces twice", "bounces several times"]):
        for caption in tell(describe("drop", None, {"bounces": bounces}), "en"):
            assert (said in caption) if said else ("bounces" not in caption)
    assert all("stop" in c for c in tell(describe("roll", None, {"rest": True}), "en"))
    assert all("stop" not in c and "keeps going" in c for c in tell(describe("roll"), "en"))
    assert all(
        "over a brick wall" in c and "not" not in c
        for c in tell(describe("throw", None, {"over_wall": True}, wall=True), "en")
    )
    assert all("does not get over" in c for c in tell(describe("throw", wall=True), "en"))
    assert all("砖墙" not in c for c in tell(describe("throw"), "zh"))
    wall = thing("wall", "orange", None, "prop")
    for style in STYLES:
        assert all(
            "other side" in c and "an orange wall" in c for c in tell(describe("hide", [thing(), wall]), "en", style)
        )
        assert all("other side" not in c for c in tell(describe("hide", [thing(), wall], stays=True), "en", style))


def test_numbers_and_group_colours():
    balls = [thing("ball", "red", "plastic", "many")] * 9
    assert all("nine red balls" in c.lower() for c in tell(describe("pour", balls, count=9), "en"))
    assert all("九个红色的小球" in c for c in tell(describe("pour", balls, count=9), "zh"))
    mixed = balls[:2] + [thing("ball", "blue", "plastic", "many")]
    assert all("colorful balls" in c.lower() for c in tell(describe("pour", mixed, count=3), "en", "short"))
    food = [thing("burger", None, None)]
    assert all("two bites are" in c.lower() for c in tell(describe("bite", food, count=2), "en"))
    assert all("咬了两口" in c for c in tell(describe("bite", food, count=2), "zh"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_mirror_swaps_left_and_right_and_nothing_else(language):
    left, right = (r"\bleft\b", r"\bright\b") if language == "en" else ("左", "右")
    for description in ALL:
        description = {**description, "camera": "orbit_left"}
        flipped = captions.mirror(description)
        assert captions.mirror(flipped) == description
        for one, other in zip(tell(description, language), tell(flipped, language), strict=True):
            words_in_order = re.split(f"({left}|{right})", one)
            swap = {"left": "right", "right": "left", "左": "右", "右": "左"}
            assert "".join(swap.get(word, word) for word in words_in_order) == other
            assert len(words_in_order) > 1


@pytest.mark.parametrize("direction", ["left", "right"])
def test_the_direction_is_told(direction):
    other = {"left": "right", "right": "left"}[direction]
    for description in ALL:
        if description["direction"] is None or description["event"] in ("drop", "bite", "cover", "apples"):
            continue
        ways = {"direction": direction, "behind": direction if description["behind"] else None}
        description = {**description, **ways}
        assert all(f"to the {direction}" in c and not re.search(rf"\b{other}\b", c) for c in tell(description, "en"))


def test_write_all_is_deterministic_and_varied():
    description = describe("collide", [thing(), thing("bottle", "blue", "toy", "target")], {"hit_target": True})
    first, again = (captions.write_all(description, np.random.default_rng(5)) for _ in range(2))
    assert first == again
    assert {language: len(texts) for language, texts in first.items()} == {"en": 4, "zh": 4}
    assert len(first["en"][0]) < len(first["en"][1])
    assert len(set(tell(description, "en", seeds=20))) > 8


def test_a_short_caption_sometimes_names_the_floor_or_the_light():
    texts = tell(describe("roll"), "en", "short", seeds=200)
    floors = sum(names_one_of(text, lexicon.FLOORS["grass"].en) for text in texts)
    lights = sum(names_one_of(text, lexicon.LIGHTS["day"].en) for text in texts)
    assert 30 < floors < 70 and 30 < lights < 70
    assert all("rolls to the right" in text and "red" in text for text in texts)


def test_a_plain_caption_is_short_and_names_floor_and_light():
    for description in ALL:
        for plain, long in zip(tell(description, "en", "plain"), tell(description, "en", "long"), strict=True):
            assert len(plain) < len(long)
            assert names_one_of(plain, lexicon.FLOORS["grass"].en) and names_one_of(plain, lexicon.LIGHTS["day"].en)


def test_wrong_requests_say_what_would_be_right():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="en or zh"):
        captions.write(describe("roll"), "fr", rng)
    with pytest.raises(ValueError, match="short, long, plain"):
        captions.write(describe("roll"), "en", rng, "medium")
    with pytest.raises(ValueError, match="lava"):
        captions.write(describe("roll", floor="lava"), "en", rng)
    with pytest.raises(ValueError, match="fly"):
        captions.write(describe("fly"), "en", rng)
