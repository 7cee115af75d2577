"""Prompt expansion by rules: a short prompt becomes a full caption of the world, and notes say what is not in it.

Every content word, number, colour, negation and verb of a prompt is in the expansion or in a note. As in Sora's report,
where a language model does this: the model that ships reads full captions far better than short ones.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tenku.model.vocabulary import same_word
from tenku.prompts import grammar, notes, patterns
from tenku.prompts.content import CHINESE, CONTENT, SOME, Word, content_words, language_of
from tenku.prompts.notes import Kind, Note
from tenku.prompts.synonyms import plain, worlds_words
from tenku.world import captions, lexicon

PHRASINGS = 16  # of which the one that keeps the most words is taken
SUBJECTS = ("thing", "person", "vehicle")
SUBJECT_PARTS = ("block", "tower", "pyramid", "stairs", "brush", "tree", "ramp")
FLOOR_WORDS = {"floor", "ground", "地面", "地上", "地板", "地"}
# Meanings that others show too.
SHOWN_BY: dict[str, set[str]] = {
    "fall": {"topple"},
    "fly": {"throw"}, "throw": {"fly"}, "hit": {"topple", "push"}, "block": {"cube"}, "cube": {"block"},
    "wet": {"wet asphalt", "wet tiles"}, "night": {"neon"}, "push": {"hit"}, "neon": {"lights"},
    "box": {"tray", "block"}, "car": {"toy car"},
    "move": {"roll", "slide", "walk", "drive", "fall", "swing", "throw", "fly", "bounce", "pour"}, "string": {"swing"},
    "lights": {"neon", "night", "studio", "day", "sunset", "overcast"}, "reappear": {"behind"},
    "draw": {"paint"}, "past": {"behind", "tree"}, "cover": {"reveal"},
    "plain floor": {"wet asphalt", "wet tiles", "checkered floor", "ice", "grass", "wood floor", "sand", "marble floor",
                    "snow", "mirror", "carpet"},
    "pile": {"pour"}, "line": {"wave", "zigzag", "circle", "heart"}, "orbit": {"orbit left"},
    "pan": {"pan left"}, "one after another": {"domino", "apple"}, "air": {"throw", "fall"},
}  # fmt: skip
# Of these, meanings that are only near.
NEAR = {("box", "tray"), ("box", "block"), ("car", "toy car")}
# Meanings by the names that the grammar has for things and events.
AVOIDED = {
    "toy car": "car", "car": "automobile", "fall": "drop", "hit": "collide", "swing": "pendulum", "throw": "throw",
    "walk": "walk", "drive": "drive",
}  # fmt: skip
STILL = {
    "walk": ("walks", "行走"), "drive": ("drives", "行驶"), "bite": ("has a bite taken out", "被咬了一口"),
    "apples": ("lets apples fall", "上有苹果落下"),
}  # fmt: skip
FALLS = ("falls", "落下")


@dataclass(frozen=True)
class Expansion:
    """text: the full caption that is drawn. notes: what it does not say, or says otherwise. language: "en" or "zh"."""

    prompt: str
    text: str
    language: str
    notes: tuple[Note, ...] = ()

    def __str__(self) -> str:
        return self.text

    @property
    def lost(self) -> bool:
        """Whether anything of the prompt is not drawn, or drawn as something else."""
        return any(note.kind in ("unknown", "bent", "left out") for note in self.notes)

    def said(self, language: str | None = None) -> list[str]:
        """The notes as sentences, in the prompt's language or another."""
        return notes.said(self.notes, language or self.language)


def expand(prompt: str, seed: int = 0, *, scene: str | None = None, setting: bool = True) -> Expansion:
    """Expand a prompt to a full caption of the miniature world, in its language, with notes about what is not in it.

    What a prompt leaves open is drawn by chance, by the seed. scene: a prompt whose floor and light hold where this one
    names none, as of a clip that goes on. setting: False leaves a floor and a light that are not named unsaid. A prompt
    of which nothing can be drawn stays as it is, with a note.
    """
    language = language_of(prompt)
    words = content_words(prompt)
    if grammar.is_complete(prompt) and all(word.meanings and not word.near and not word.negated for word in words):
        return Expansion(prompt, prompt, language)
    text, camera = grammar.read(in_the_worlds_words(prompt, words, language))
    drawn = [word for word in words if not word.negated]
    has_subject = any(word.kinds & {*SUBJECTS} or names(word) & {*SUBJECT_PARTS} for word in drawn)
    if not has_subject and grammar.event_said(text) is None and (drawn or not words):
        if not words:
            return Expansion(prompt, prompt, language, (Note("unknown", (prompt,)),))
        unread = [Note(kind_of(word), (word.text,)) for word in drawn if not word.meanings or word.near]
        return Expansion(prompt, prompt, language, (*unread, *negations(words)))
    avoid = {AVOIDED.get(name, name) for word in words if word.negated for name in names(word)}
    rng = np.random.default_rng(seed)
    description = grammar.describe(with_scene(text, scene), camera, language, rng, avoid)
    say = (setting or grammar.first_match(patterns.FLOORS, text) is not None or scene is not None,
           setting or grammar.first_match(patterns.LIGHTS, text) is not None or scene is not None)  # fmt: skip
    tried = [phrased(description, language, seed, number, *say) for number in range(PHRASINGS)]
    found = [(audit(words, full, description), full) for full in tried]
    about, full = min(found, key=lambda each: sum(note.kind != "bent" for note in each[0]))
    about = about + still_life(description, drawn, language)
    return Expansion(prompt, full, language, tuple(in_place(about, has_subject, description, language)))


def phrased(
    description: dict[str, Any], language: str, seed: int, number: int, say_floor: bool, say_light: bool
) -> str:
    """One way to say a description."""
    rng = np.random.default_rng([seed, number])
    return captions.WRITERS[language](description, rng, True, say_floor).sentence(say_light)


def with_scene(text: str, scene: str | None) -> str:
    """A text with the floor and the light of a scene, where it names none."""
    if scene is None:
        return text
    of_scene, _ = grammar.read(scene)
    language = language_of(text) if text.strip() else language_of(scene)
    for table in (patterns.FLOORS, patterns.LIGHTS):
        name = grammar.first_match(table, of_scene)
        if name and grammar.first_match(table, text) is None:
            sign = next(each for each in table[name] if each.isascii() == (language == "en"))
            text = f"{text} , {sign} "
    return text


# --- from the words of a prompt to the world's


def names(word: Word) -> set[str]:
    return {meaning.name for meaning in word.meanings}


def in_the_worlds_words(prompt: str, words: Sequence[Word], language: str) -> str:
    """The prompt as the grammar reads it: without unknown and negated words, and with the world's own for others."""
    text, at = "", 0
    attached = with_unknown_nouns(prompt, words)
    for word in words:
        text += prompt[at : word.start] if not word.negated else without_negation(prompt[at : word.start])
        at = word.end
        if word.negated or word in attached:
            continue
        if word.text.lower() == "both":
            text += word.text
        elif word.number is not None:
            digits = word.text if any(sign.isdigit() for sign in word.text) or language == "zh" else ""
            text += digits or (lexicon.NUMBERS.en[word.number] if word.number <= 20 else word.text)
        elif word.meanings:
            text += canonical(word, language)
        elif word.text.lower() in CONTENT:
            text += word.text
    text = re.sub(" +", " ", text + prompt[at:]).lower()
    if any(is_wet(word) for word in words) and grammar.first_match(patterns.FLOORS, text) is None:
        text += "，柏油路" if language == "zh" else " , wet asphalt"
    return predicates_before(re.sub(r"\b(?:a )?(two|three|twelve) of ", r"\1 ", text), words)


def is_wet(word: Word) -> bool:
    """Rain falls nowhere in the world, but makes streets wet."""
    return not word.negated and ("wet" in names(word) or re.search("rain|storm|雨", word.text.lower()) is not None)


def without_negation(between: str) -> str:
    return re.sub(r"\b(?:no|without|not|never|none of)\s*$", "", between, flags=re.I)


def with_unknown_nouns(prompt: str, words: Sequence[Word]) -> set[Word]:
    """The colours and materials that stand before unknown nouns: of a black cat, the black."""
    found = set()
    for index, word in enumerate(words):
        if word.meanings or word.number is not None:
            continue
        following = words[index + 1] if index + 1 < len(words) else None
        if following and adjacent(prompt, word, following) and following.kinds - {"verb"}:
            continue  # an adjective
        for before in reversed(words[:index]):
            if not (before.kinds & {"color", "material"} and adjacent(prompt, before, word)):
                break
            found.add(before)
            word = before
    return found


def adjacent(prompt: str, first: Word, second: Word) -> bool:
    return re.fullmatch(r"[\s-]*的?", prompt[first.end : second.start]) is not None


def canonical(word: Word, language: str) -> str:
    """The world's own word for a word of a prompt."""
    meaning = word.meanings[0]
    own = meaning.zh if language == "zh" else meaning.en
    low = word.text.lower()
    if meaning.name == "plain floor" and low in FLOOR_WORDS:
        return ""  # any floor
    if not own:
        return low
    if low.endswith("的") and low[:-1] in own:
        return low
    if meaning.kind != "verb" and low in own and bool(CHINESE.search(low)) == (language == "zh"):
        return low
    plural = language == "en" and meaning.kind == "thing" and re.search(r"(?<!s)s$", low)
    return own[0].removeprefix("camera ") + ("s" if plural and not own[0].endswith("s") else "")


def predicates_before(text: str, words: Sequence[Word]) -> str:
    """Colours that are said after their noun before it: "two balls, both red", 球是红色的."""
    colors = "|".join(re.escape(name) for name in lexicon.COLORS)
    if after := re.search(rf"(?:,| and)? (?:both|all)(?: of them)?(?: are)? ({colors})\b", text):
        kinds = "|".join(words_.en[0] for words_ in lexicon.KINDS.values())
        text = text[: after.start()] + text[after.end() :]
        text = re.sub(rf"\b((?:{kinds})s?)\b", rf"{after[1]} \1", text, count=1)
    text = re.sub(
        rf"\b(\w+)(?:,? (?:is|are|that is|that are|which is|which are|both|all))+ ({colors})\b", r"\2 \1", text
    )
    colors = "|".join(re.escape(each) for words_ in lexicon.COLORS.values() for each in words_.zh)
    return re.sub(rf"([\u4e00-\u9fff]{{1,3}}?)(?:都|全|均)*是({colors})的?", r"\2的\1", text)


# --- what is in an expansion and what is not


def audit(words: Sequence[Word], full: str, description: dict[str, Any]) -> list[Note]:
    """A note about each content word of a prompt that the expansion does not show as it is."""
    shown = content_words(full)
    found = list(negations(words))
    numbers = numbers_in(description)
    for index, word in enumerate(words):
        if word.negated:
            continue
        if word.number is not None or word.text.lower() in SOME:
            some = word.number is None and max(numbers, default=0) > 2
            if not (some or word.number in numbers):
                found.append(Note("left out", (word.text,)))
        elif not word.meanings:
            if not literally(word, full):
                found.append(Note(kind_of(word), (word.text,)))
        else:
            instead = instead_of(index, words, shown)
            if instead is None:
                found.append(Note("left out", (word.text,)))
            elif (word.near or is_near(word, instead)) and (is_wet(word) or not literally(word, full)):
                found.append(Note("bent", (word.text,), instead))
    return found


def is_near(word: Word, instead: str) -> bool:
    """Whether something stands for a word that is only near to it, though the word is the world's own."""
    of_other = {name for each in content_words(instead) for name in names(each)}
    return any((name, other) in NEAR for name in names(word) for other in of_other)


def kind_of(word: Word) -> Kind:
    """Whether a word that is not drawn is unknown, or known as a part of something else: the city of city lights."""
    low = word.text.lower()
    return "left out" if low in CONTENT or set(plain(low).split()) <= worlds_words() else "unknown"


def negations(words: Sequence[Word]) -> list[Note]:
    return [Note("negated", (word.text,)) for word in words if word.negated]


def literally(word: Word, full: str) -> bool:
    low, caption = word.text.lower(), full.lower()
    if CHINESE.search(low):
        return low in caption
    if not re.search(r"[^\W\d_]", low):
        return low in caption
    said_words = re.findall(r"[^\W\d_]+", caption)
    return all(any(same_word(part, each) for each in said_words) for part in re.findall(r"[^\W\d_]+", low))


def instead_of(index: int, words: Sequence[Word], shown: Sequence[Word]) -> str | None:
    """What an expansion shows of a word, in its own words; None: nothing.

    A colour or material must stand before what it stands before in the prompt.
    """
    word = words[index]
    meant = names(word) | {other for name in names(word) for other in SHOWN_BY.get(name, ())}
    noun = noun_of(index, words) if word.kinds & {"color", "material"} else None
    of = {*names(noun)} | {other for name in names(noun) for other in SHOWN_BY.get(name, ())} if noun else set()
    if of & {"line", "wave", "circle", "zigzag", "heart", "brush"}:
        of.add("paint")  # is what has their colour
    for place, each in enumerate(shown):
        if not names(each) & meant:
            continue
        after = shown[place + 1 : place + 4]
        if not of or any(names(other) & of for other in after):
            return each.text
    return None


def noun_of(index: int, words: Sequence[Word]) -> Word | None:
    """The noun that a colour or a material belongs to: the next one; None where that is unknown or there is none."""
    for word in words[index + 1 : index + 4]:
        if word.kinds & {*SUBJECTS, "part", "floor", "light", "stroke"}:
            return word
        if not word.kinds & {"color", "material"}:
            return None
    return None


def numbers_in(description: dict[str, Any]) -> set[int]:
    """How many of something a description has."""
    of_role: dict[str, int] = {}
    for each in description["objects"]:
        of_role[each["role"]] = of_role.get(each["role"], 0) + 1
    kinds = [each["kind"] for each in description["objects"] if each["role"] in ("main", "target")]
    same = len(kinds) if len(set(kinds)) == 1 else 0
    bounces = description["outcome"].get("bounces") or 0
    return {*of_role.values(), same, int(description.get("count") or 0), int(bounces)} - {0, 1}


def still_life(description: dict[str, Any], words: Sequence[Word], language: str) -> list[Note]:
    """A note where a prompt only names things, and the expansion lets something happen to them."""
    if any(word.kinds & {"verb"} for word in words) or description["event"] not in ("drop", *STILL):
        return []
    named = [word.text for word in words if word.kinds & {*SUBJECTS} or names(word) & {*SUBJECT_PARTS}]
    named = named or [getattr(lexicon.KINDS[description["objects"][0]["kind"]], language)[0]]
    return [Note("added", (named[0],), STILL.get(description["event"], FALLS)[language == "zh"])]


def in_place(about: list[Note], has_subject: bool, description: dict[str, Any], language: str) -> list[Note]:
    """Where the one who does something is unknown, what stands in its place is named."""
    if has_subject:
        return about
    kind = next((each["kind"] for each in description["objects"] if each["role"] in ("main", "many")), "ball")
    instead = getattr(lexicon.KINDS[kind], language)[0] if kind in lexicon.KINDS else kind
    return [Note(note.kind, note.words, instead) if note.kind == "unknown" else note for note in about]
