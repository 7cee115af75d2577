"""A short prompt made full: what it names is kept, and what it leaves open is filled in from the world's grammar.

The result is a long caption, which says everything that the captions of training said (as in Sora's report, where a
language model does this). No network and no physics: of the event that is named the usual outcome is claimed.
"""

import re
from typing import Any

import numpy as np

from tenku.world import captions, words

COMMON = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
NEON = ("pink", "cyan", "orange", "purple", "green", "blue")

FOODS = ("burger", "cake", "donut", "apple", "watermelon")

# What stands for an event, a light, a floor or a camera move in a prompt; the first that is found counts.
EVENTS = {
    "walk": ("walk ", "walks", "walking", "stroll", "行走", "散步", "走路", "走过", "左走", "右走", "在走"),
    "bite": ("bite", "bitten", "eaten", "咬", "吃"),
    "brush": ("brush", "paintbrush", "draws", "画"),
    "trail": ("trail", "leaving", "痕迹", "留下一道"),
    "pour": ("pour", "tray", "倒进", "落进", "木盘"),
    "cover": ("cover", "reveal", "lifts", "comes down over", "盖住", "露出", "抬起"),
    "apples": ("apples", "apple tree", "苹果树", "from a tree", "from the tree", "树上"),
    "domino": ("domino", "多米诺", "骨牌"),
    "pyramid": ("pyramid", "金字塔"),
    "tower": ("tower", "blocks", "塔", "积木"),
    "stairs": ("stair", "down the steps", "down steps", "stone steps", "wooden steps", "楼梯", "台阶"),
    "ramp": ("ramp", "slope", "斜坡"),
    "pendulum": ("pendulum", "swing", "rope", "string", "摆"),
    "drive": ("drive", "driving", "行驶", "驶过", "开过", "开来", "开去", "开车"),
    "throw": ("throw", "toss", "抛", "扔"),
    "hide": ("behind", "墙后", "后面"),
    "collide": ("hits", "bumps", "knocks", "topples", "collide", "撞", "碰"),
    "slide": ("slide", "glide", "滑过", "滑动", "滑行"),
    "roll": ("roll", "滚"),
    "drop": ("drop", "fall", "bounc", "落", "掉", "弹"),
}
LIGHTS = {
    "neon": ("neon", "霓虹"),
    "night": ("night", "midnight", "city lights", "夜"),
    "sunset": ("sunset", "golden-hour", "evening", "日落", "夕阳", "傍晚"),
    "overcast": ("overcast", "cloud", "阴天", "多云"),
    "studio": ("studio", "backdrop", "影棚"),
    "day": ("sunny", "blue sky", "daylight", "晴", "阳光", "蓝天"),
}
FLOORS = {
    "wet_asphalt": ("asphalt", "street", "柏油", "街"),
    "wet_tiles": ("tile", "瓷砖", "石砖"),
    "checker": ("checkered floor", "checkerboard", "棋盘格", "黑白格"),
    "ice": ("ice", "icy", "frozen", "冰"),
    "grass": ("grass", "lawn", "草"),
    "wood": ("wooden floor", "planks", "木地板", "木板"),
    "sand": ("sand", "beach", "沙"),
    "marble": ("marble floor", "polished marble", "大理石地"),
    "snow": ("snow ", "snowy", "snowing", "snow-covered", "雪地", "积雪", "下雪"),
    "mirror": ("mirror", "reflective", "镜面", "反光"),
    "carpet": ("carpet", "地毯"),
    "matte": ("plain floor", "matte floor", "素色", "哑光地"),
}
CAMERAS = {
    "orbit_left": ("orbits to the left", "circles to the left", "向左环绕", "向左绕"),
    "orbit_right": ("orbit", "circles", "环绕", "绕行"),
    "push_in": ("push in", "pushes in", "zoom in", "closer", "推近", "推进"),
    "pull_out": ("pulls back", "pull back", "zoom out", "moves away", "拉远"),
    "pan_left": ("pans left", "pans to the left", "turns left", "向左摇"),
    "pan_right": ("pans", "turns right", "向右摇"),
    "rise": ("rises.", "camera rises", "upward", "升高", "升起。"),
    "track": ("follows", "tracking", "跟随", "跟拍"),
    "static": ("still", "static", "静止", "固定"),
}


STROKES = {
    "wave": ("wav", "波浪"),
    "circle": ("circle", "round", "圆圈", "圈"),
    "zigzag": ("zigzag", "zig-zag", "锯齿"),
    "heart": ("heart", "爱心", "心"),
    "line": ("line", "straight", "直线"),
}


COAT = "coat|jacket|dress|shirt|sweater|外套|夹克|大衣|毛衣|裙子|衣服"
# What drives; a toy car does not.
VEHICLES = (
    r"(?<!toy )(?<!little )\b(?:cars?|taxis?|trucks?|vans?|bus|buses|vehicles?)\b"
    "|(?<!小)汽车|轿车|出租车|卡车|公交车|辆车"
)
# Of an event's things, by their role, the word that their colour stands before, and the colour where none does.
COLORED: dict[str, dict[str, tuple[str, list[str]]]] = {
    "pour": {"many": ("balls|小球", [])},
    "apples": {"many": (r"apples?\b(?! tree)|苹果(?!树)", ["red"])},
    "walk": {"main": (COAT, [])},
    "drive": {"main": (VEHICLES, [])},
    "street": {"main": (COAT, []), "target": (VEHICLES, [])},
}
# The word that the number of an event's blocks or of its many things stands before.
COUNTED = {"pour": "balls|小球", "apples": "apples|苹果(?!树)", "tower": "blocks|积木", "domino": "domino|多米诺|骨牌"}
# Somebody, who walks where nothing else is said to happen. A snowman is nobody, and a pavement (人行道) is none either.
PEOPLE = (
    r"\b(person|people|somebody|someone|(?!snow)\w*m[ae]n|boys?|girls?|child|children|kids?|lady|guy|he|she)\b"
    r"|[个的](人|路人)(?!行)|[男女老]人|[男女]孩|孩子|小孩|人们|行人(?!道)|[女男]士|(?<!没)有人"
)
STOPS = r"(?<!not )(?<!never )(?<!bus )\b(?:stops?|brakes?|halts?)\b|\bcomes? to (?:rest|a halt)\b|(?<!不)停(?!不|车场)"
# Words that hold a cue and mean something else.
OTHERWISE = "画面|动画|油画|画风|画质|摆着|摆放|摆在|no people|nobody"
# What stands between things of which the same is said.
JOINED = r"\s*,?\s*(?:and\b|和|与|跟|、)|\s*,\s*(?:an?|one|two|three)\b"
MOST_FALLING = 3  # things that the world lets fall at once
CHINESE_DIGITS = "零一二两三四五六七八九十百"
# Other ways to write a word of the world.
SPELLINGS = {r"\bgrey": "gray", r"\bgolden\b(?![- ]hour)": "gold", r"\bviolet": "purple", "橘色": "橙色"}
# A colour that stands before one of these is not that of the thing after it: "on a red carpet a ball", 红色地毯上的球.
APART = {
    "en": r"\b(?:an?|the|on|with|in|under)\b",
    "zh": f"(?<!正)[在从]|[毯光灯板面景墙夜]的?[上下里中旁边前后]|{COAT}",
}
OTHER_ADJECTIVES = {
    "en": ("big", "large", "small", "little", "tiny", "heavy", "round", "bright", "ripe", "fresh"),
    "zh": ("的", "大", "小", "圆"),
}
# 红球: a colour in short, right before what has it.
SHORT_COLORS = {
    "红": "red", "橙": "orange", "黄": "yellow", "绿": "green", "蓝": "blue", "紫": "purple", "粉": "pink",
    "白": "white", "黑": "black", "棕": "brown", "灰": "gray", "金": "gold", "银": "silver",
}  # fmt: skip


def thing(kind: str, role: str = "main", color: str = "red") -> dict[str, Any]:
    return {"kind": kind, "role": role, "color": color, "material": None}


BLOCKS = [thing("cube", "block", color) for color in ("red", "yellow", "blue", "green", "purple", "orange")]
DOMINOES = [thing("domino", "block", color) for color in ("red", "yellow", "blue", "green", "purple", "orange")]

# Of each event: its things, and what is different from an event in which nothing else happens.
USUAL: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
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


def expand(prompt: str, seed: int = 0) -> str:
    """A long caption of what the prompt says, in its language. The same prompt and seed give the same words."""
    rng = np.random.default_rng(seed)
    language = "zh" if any("\u4e00" <= sign <= "\u9fff" for sign in prompt) else "en"
    text = re.sub(OTHERWISE, "", prompt.lower())
    for pattern, usual_form in SPELLINGS.items():
        text = re.sub(pattern, usual_form, text)
    camera = found(CAMERAS, text)
    text = without_camera(text, camera)
    things = nouns(text, language)
    event = event_of(text, things)
    description = usual(event)
    if event == "drop":
        things = together(nouns(text, language, plural=True))
        description["objects"] = [thing("ball") for _ in range(max(1, len(things)))]
    description["light"] = found(LIGHTS, text) or str(rng.choice(list(LIGHTS)))
    description["floor"] = found(FLOORS, text) or str(rng.choice(list(FLOORS)))
    description["camera"] = camera or str(rng.choice(["static", "static", *CAMERAS]))
    if event == "street":
        description |= both_ways(text)
    elif description["direction"]:
        description["direction"] = way_in(text) or "right"
    description["outcome"]["rest"] |= bool(re.search(STOPS, text))
    description["reveal"] = "reveal" in text or "露出" in text
    if description["light"] == "neon":
        named = colors_in(re.split("neon|霓虹", text)[0][-40:], language)
        description["neon"] = [name for name in named if name in NEON] or rng.permutation(NEON)[:2].tolist()
    if event == "brush":
        description["stroke"] = found(STROKES, text) or str(rng.choice(list(words.STROKES)))
        description["paint"] = (colors_in(text, language) or [str(rng.choice(COMMON))])[0]
    dress(description, [] if event in ("walk", "drive", "street") else things, rng)
    if event in COUNTED:
        recount(description, number_of(COUNTED[event], text, language))
    for role, (noun, usually) in COLORED.get(event, {}).items():
        for color in (colors_before(said_before(noun, text, language), language) or usually)[-1:]:
            for each in description["objects"]:
                each["color"] = color if each["role"] == role else each["color"]
    description["tree"] = bool(found({"tree": ("tree", "树")}, text))
    return captions.write(description, language, rng, "long")


def without_camera(text: str, camera: str | None) -> str:
    """What a prompt says besides the camera: its other sentences, or what the camera sees where there are none.

    Commas stand for all signs between its parts.
    """
    parts = re.split(r"[.,;，。；]", text)
    others = [part for part in parts if not re.search("camera|镜头|跟拍", part)]
    if "".join(others).strip():
        return " , ".join(others) + " "
    for sign in ("the camera", "camera", "镜头", *CAMERAS.get(camera or "", ())):
        text = re.sub(rf"{re.escape(sign)}((?: \w+)? (?:to|from) the (?:left|right))?", " ", text)
    return f"{text} "


def event_of(text: str, things: list[dict[str, Any]]) -> str:
    """What happens: what is said to, or what the things that are named mostly do."""
    event = found(EVENTS, text)
    kinds = {thing["kind"] for thing in things}
    somebody, vehicle = bool(re.search(PEOPLE, text)), bool(re.search(VEHICLES, text))
    if event in (None, "walk", "drive") and somebody and vehicle:
        return "street"
    if event == "stairs" and somebody and not kinds:
        return "walk"
    if event == "drive" and not vehicle and kinds:
        return "slide"
    if event == "walk" and not somebody and kinds - {"wall", "box"}:
        return "slide"  # a snowman has no legs
    if event == "apples" and kinds and "apple" not in kinds and "apples" not in text:
        return "drop"
    if event is None:
        if vehicle and kinds <= {"car"}:
            return "drive"
        event = "bite" if kinds & set(FOODS) else "walk" if somebody and not kinds else "drop"
    return event


def way_in(text: str) -> str | None:
    """The direction that a text names; not where something comes from."""
    ways = {"left": r"\bleft\b|(?<!从)左", "right": r"\bright\b|(?<!从)右"}
    return next((way for way, sign in ways.items() if re.search(rf"(?<!from )(?<!from the )(?:{sign})", text)), None)


def both_ways(text: str) -> dict[str, str]:
    """Where somebody walks and a car drives, each by what is said from its own word on; else they meet."""
    person, car = (re.search(pattern, text) for pattern in (PEOPLE, VEHICLES))
    walks_at, drives_at = (match.start() if match else 0 for match in (person, car))
    first, second = text[: max(walks_at, drives_at)], text[max(walks_at, drives_at) :]
    walks, drives = (way_in(part) for part in ((first, second) if walks_at < drives_at else (second, first)))
    walks = walks or {"left": "right", "right": "left", None: "right"}[drives]
    return {"direction": walks, "behind": drives or {"left": "right", "right": "left"}[walks]}


def usual(event: str) -> dict[str, Any]:
    """The description of an event as it mostly goes."""
    things, more = USUAL[event]
    outcome = {"bounces": 0, "rest": False, "hit_target": True, "tipped": 0, "moved": 0, "over_wall": True}
    return {
        "direction": None,
        **more,
        "event": event,
        "objects": [dict(each) for each in things],
        "outcome": outcome | more.get("outcome", {}),
    }


def found(cues: dict[str, tuple[str, ...]], text: str) -> str | None:
    """The first entry one of whose cues is in the text; an English one at the beginning of a word."""
    return next((name for name, signs in cues.items() if any(places(sign, text) for sign in signs)), None)


def places(sign: str, text: str, whole: bool = False) -> list[int]:
    """Where a word stands: an English one begins there, or is there as a `whole`."""
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


def colors_in(text: str, language: str) -> list[str]:
    """The colours that a text names, in its order."""
    signs = {name: getattr(synonyms, language)[0] for name, synonyms in words.COLORS.items()}
    named = [(place, sign, name) for name, sign in signs.items() for place in places(sign, text, whole=True)]
    return [name for _, _, name in longest_first(named)]


def colors_before(text: str, language: str) -> list[str]:
    """The colours that a text names before a noun, or the one that it ends with in short."""
    return colors_in(text, language) or [SHORT_COLORS[sign] for sign in text[-1:] if sign in SHORT_COLORS]


def number_of(noun: str, text: str, language: str) -> int | None:
    """The number, from two to twenty, of the things that a pattern tells: only colours, materials, sizes between."""
    materials = [part for forms in words.MATERIALS.values() for pair in forms[language] for part in pair if part]
    colors = [getattr(synonyms, language)[0] for synonyms in words.COLORS.values()]
    adjectives = "|".join(
        [*colors, *materials, *OTHER_ADJECTIVES[language], *(SHORT_COLORS if language == "zh" else ())]
    )
    if language == "zh":
        measures = "".join({*"个只颗块枚张", *words.MEASURES.values()})
        pattern = rf"(\d+|[{CHINESE_DIGITS}]+)[{measures}](?:{adjectives})*(?:{noun})"
    else:
        pattern = rf"(?<![\w-])(\d+|[a-z-]+) (?:(?:{adjectives})[ ,]+)*(?:{noun})"
    names = {name: n for n, name in enumerate(getattr(words.NUMBERS, language))} | {str(n): n for n in range(21)}
    said = (names.get("两" if match[1] == "二" else match[1], 0) for match in re.finditer(pattern, text))
    return next((number for number in said if number > 1), None)


def said_before(noun: str, text: str, language: str) -> str:
    """The words just before the first of the nouns, of which one pattern tells."""
    match = re.search(noun, text)
    return re.split(APART[language], text[: match.start()][-20:])[-1] if match else ""


def recount(description: dict[str, Any], number: int | None) -> None:
    """So many blocks or many things, if a number is said; where some tip over, all of them do."""
    if number is None:
        return
    group = [each for each in description["objects"] if each["role"] in ("block", "many")]
    others = [each for each in description["objects"] if each["role"] not in ("block", "many")]
    description["objects"] = others + [dict(group[i % len(group)]) for i in range(number)]
    if description["outcome"]["tipped"]:
        description["outcome"]["tipped"] = number


def nouns(text: str, language: str, plural: bool = False) -> list[dict[str, Any]]:
    """The things that a text names, in its order: kind, number, the colour and material said before it, and whether
    it is joined to the one before. With `plural`, also those that an English text names as several.
    """
    ending = "s" if plural and language == "en" else ""
    named = [
        (place, word, kind)
        for kind, synonyms in words.KINDS.items()
        for synonym in getattr(synonyms, language)
        for single in {synonym, synonym.split()[-1]}  # "duck" is a rubber duck
        for word in {single, single + ending}
        for place in places(word, text, whole=True)
        if kind not in ("domino", "person", "automobile")  # no event takes another thing for these
    ]
    things: list[dict[str, Any]] = []
    end = 0
    for place, word, kind in longest_first(named):
        between, end = text[end:place], place + len(word)
        before = re.split(APART[language], between)[-1]
        colors = colors_before(before, language)
        materials = [
            name
            for name, forms in words.MATERIALS.items()
            if any(part and part in before for pair in forms[language] for part in pair)
        ]
        color, material = (names[-1] if names else None for names in (colors, materials))
        joined = bool(things and re.match(JOINED, between))
        number = number_of("$", before, language) or 1
        things.append({"kind": kind, "color": color, "material": material, "number": number, "joined": joined})
    return things


def together(things: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first thing and those joined to it, each as often as it is said; walls and boxes do not fall."""
    last = next((i for i, each in enumerate(things) if i and not each["joined"]), len(things))
    falling = [each for each in things[:last] if each["kind"] not in ("wall", "box")]
    return [dict(each) for each in falling for _ in range(each["number"])][:MOST_FALLING]


def dress(description: dict[str, Any], named: list[dict[str, Any]], rng: np.random.Generator) -> None:
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
            each["color"] = noun.get("color") or str(rng.choice(COMMON))
            each["material"] = noun.get("material")
