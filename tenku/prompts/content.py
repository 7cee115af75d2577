"""Find the content words of a prompt, and what each means in the miniature world.

English is cut at spaces, Chinese by the longest word that is known; in both, the longest phrase counts.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from tenku.model.vocabulary import STOP_WORDS, is_visible_word
from tenku.prompts import patterns
from tenku.prompts.synonyms import Meaning, deceptive, meanings, plain, stop_words
from tenku.world import lexicon

LONGEST_PHRASE = 5  # words
CHINESE = re.compile(r"[\u3400-\u9fff]")
MEASURES = (
    "个只颗块枚张级口次辆朵面座条名位群棵排堆支杯瓶盘件双对把根片头匹艘架台部本层段幅组束串滴道种股阵团枝顶所栋间扇下"
)
CHINESE_NUMBER = re.compile(rf"(\d+|[零一二两三四五六七八九十百几]+)([{MEASURES}])?")
# Words without content for captions that say something in a prompt.
CONTENT = {"no", "not", "without", "above", "below", "between", "many", "few", "up", "again"}
SOME = {
    "many",
    "few",
    "lots",
    "plenty",
    "dozens",
    "hundreds",
    "许多",
    "很多",
    "好多",
    "大量",
    "几个",
    "无数",
    "一群",
    "一堆",
    "若干",
}
NUMBER_WORDS = {"couple": 2, "pair": 2, "dozen": 12, "一对": 2, "一双": 2, "俩": 2, "both": 2, "trio": 3}
NEGATION = re.compile(
    r"\b(?:no|without|not|never|none|neither|nobody|nothing|\w+n['’]t)\b|没有|没|不要|不会|不能|不是|不|无(?=[人球车字云风树花雪雨])|别|未"
)
# Where what is negated ends.
NEGATED_UNTIL = re.compile(
    r"[.,;:!?，。；、！？]|\b(?:but|while|when|if|on|in|at|under|with|then|just|only|that|and then)\b|[的在但而就]"
)


@dataclass(frozen=True)
class Word:
    """A content word or phrase as it stands in a prompt.

    meanings: what it can mean in the world; none: the world has nothing of it. near: drawn as something that it is not
    quite. number: what it counts. negated: what must not be seen.
    """

    text: str
    start: int
    end: int
    meanings: tuple[Meaning, ...] = ()
    near: bool = False
    number: int | None = None
    negated: bool = False

    @property
    def kinds(self) -> set[str]:
        return {meaning.kind for meaning in self.meanings}


def language_of(text: str) -> str:
    """ "zh" for a text with a Chinese character, else "en"."""
    return "zh" if CHINESE.search(text) else "en"


@cache
def dictionary() -> dict[str, tuple[tuple[Meaning, ...], bool]]:
    """What each word of either language means, and whether it is only near to that; nothing for deceptive ones."""
    found: dict[str, tuple[tuple[Meaning, ...], bool]] = {}
    for near in (False, True):
        for meaning in meanings():
            exact = (*meaning.en, *meaning.zh, *meaning.same_en, *meaning.same_zh)
            for word in (*meaning.near_en, *meaning.near_zh) if near else exact:
                others, is_near = found.get(word, ((), near))
                if is_near == near and meaning not in others:
                    found[word] = ((*others, meaning), near)
    return found | dict.fromkeys(deceptive(), ((), True))


@cache
def longest_chinese() -> int:
    return max(len(word) for word in dictionary() if CHINESE.search(word))


@lru_cache(1024)
def content_words(text: str) -> tuple[Word, ...]:
    """The content words of a text, in its order; English and Chinese may be mixed."""
    found: list[Word] = []
    spans = negated_spans(text)
    for part in re.finditer(r"[\u3400-\u9fff\d]*[\u3400-\u9fff][\u3400-\u9fff\d]*|[^\u3400-\u9fff]+", text):
        cut = chinese_words if CHINESE.search(part[0]) else english_words
        found += cut(part[0], part.start())
    return tuple(
        replace(word, negated=any(start <= word.start < end for start, end in spans))
        for word in found
        if not NEGATION.fullmatch(word.text.lower())
    )


@cache
def no_negation() -> re.Pattern[str]:
    """What holds a negation and is none: "never stops", 不停, 不锈钢."""
    words = [
        re.escape(word)
        for word, (meant, _) in dictionary().items()
        if {meaning.name for meaning in meant} & {"go on", "static"} or (not meant and word[0] in "不无")
    ]
    return re.compile("|".join([*sorted(words, key=len, reverse=True), patterns.GOES_ON, "不锈钢"]))


def negated_spans(text: str) -> list[tuple[int, int]]:
    """Where a prompt says what is not: from "no", "without", 没有, … to the end of that; not in "never stops"."""
    goes_on = [match.span() for match in no_negation().finditer(text.lower().replace("’", "'"))]
    spans = []
    for match in NEGATION.finditer(text.lower()):
        if any(start <= match.start() < end for start, end in goes_on):
            continue
        first = re.compile(r"\s*(?:[a-z'’]+|\S)(?:\s+(?:of|the|any|a|an)\b)*").match(text.lower(), match.end())
        begins = first.end() if first else match.end()
        until = NEGATED_UNTIL.search(text.lower(), begins)
        end = until.start() if until else len(text)
        if first and {meaning.kind for meaning in dictionary().get(first[0].strip(), ((), False))[0]} == {"color"}:
            end = begins  # a ball that is not red falls
        spans.append((match.start(), end))
    return spans


def english_words(text: str, offset: int = 0) -> list[Word]:
    """Content words of English, numbers and signs."""
    tokens = list(re.finditer(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:\.\d+)?\w*|[^\w\s]", text.lower()))
    found, at = [], 0
    while at < len(tokens):
        for length in range(min(LONGEST_PHRASE, len(tokens) - at), 0, -1):
            first, last = tokens[at], tokens[at + length - 1]
            between = text[first.start() : last.end()]
            if length > 1 and not re.fullmatch(r"[\w'’\s-]+", between):
                continue
            known = lookup(plain(between), length)
            if known is not None or length == 1:
                found += english_word(text, first.start(), last.end(), known, offset)
                at += length
                break
    return found


def lookup(phrase: str, length: int) -> tuple[tuple[Meaning, ...], bool] | None:
    """The meanings of a phrase, in the singular or of a verb's base form too; None: it is not in the table."""
    words = dictionary()
    if phrase in words:
        return words[phrase]
    for ending, instead in (("'s", ""), ("s", ""), ("es", ""), ("ies", "y")):
        single = phrase[: len(phrase) - len(ending)] + instead
        if phrase.endswith(ending) and (known := words.get(single)):
            last = words.get(single.split()[-1], ((), False))[0]
            if length == 1 or not any(meaning.kind == "verb" for meaning in last):  # a bus stops at no bus stop
                return known
    if length == 1:
        for ending, instead in (("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"), ("d", "")):
            base = phrase[: len(phrase) - len(ending)] + instead
            for each in (base, base[:-1]):  # rolled, dropped
                known = words.get(each) if phrase.endswith(ending) and len(each) > 2 else None
                if known and {meaning.kind for meaning in known[0]} == {"verb"}:
                    return known
    return None


def english_word(
    text: str, start: int, end: int, known: tuple[tuple[Meaning, ...], bool] | None, offset: int
) -> list[Word]:
    """The content word between two places, or none."""
    word = text[start:end]
    low = plain(word)
    place = (word, start + offset, end + offset)
    names = lexicon.NUMBERS.en
    if low in names[2:] or re.fullmatch(r"\d+", low) or low in NUMBER_WORDS:
        number = NUMBER_WORDS.get(low) or (names.index(low) if low in names else int(low))
        return [] if number == 1 else [Word(*place, number=number)]
    if known is not None:
        return [] if any(meaning.kind == "stop" for meaning in known[0]) else [Word(*place, *known)]
    stem = low.split("'")[0]
    if {low, stem} & ((STOP_WORDS - CONTENT) | stop_words("en")) or low == "one":
        return []
    return [Word(*place)] if any(is_visible_word(sign) for sign in word) else []


def chinese_words(text: str, offset: int = 0) -> list[Word]:
    """Content words of a Chinese text; what no word of the world or of grammar covers is unknown, as one word."""
    found: list[Word] = []
    at = unknown_from = 0
    while at < len(text):
        length, word = chinese_word(text, at, offset)
        weak = length == 1 and text[at] in stop_words("weak_zh")
        if length == 0 or (weak and at > unknown_from):  # 髦; the 上 of 海上
            at += 1
            continue
        if weak and at + 1 < len(text) and chinese_word(text, at + 1, offset)[0] == 0:
            at += 1  # the 时 of 时髦
            continue
        if at > unknown_from:
            found.append(Word(text[unknown_from:at], unknown_from + offset, at + offset))
        found += [word] if word else []
        at = unknown_from = at + length
    if at > unknown_from:
        found.append(Word(text[unknown_from:at], unknown_from + offset, at + offset))
    return found


def chinese_word(text: str, at: int, offset: int) -> tuple[int, Word | None]:
    """(length, word) of the longest word that is known at a place; no word where it has no content; length 0: none."""
    words, stops = dictionary(), stop_words("zh") | stop_words("weak_zh")
    known = longest_at(text, at, words.keys(), longest_chinese())
    stop = longest_at(text, at, stops, 4)
    some = longest_at(text, at, SOME | NUMBER_WORDS.keys(), 3)
    negation, number = NEGATION.match(text, at), CHINESE_NUMBER.match(text, at)
    counted = len(number[0]) if number and (number[2] or known == 0) else 0
    length = max(known, stop, some, counted, len(negation[0]) if negation else 0)
    place = (text[at : at + length], at + offset, at + length + offset)
    if length and length == known:
        meant, near = words[place[0]]
        return length, None if any(meaning.kind == "stop" for meaning in meant) else Word(*place, meant, near)
    if length and length == some:
        return length, Word(*place, number=NUMBER_WORDS.get(place[0]))
    if number and length == counted and (value := chinese_number(number[1])) != 1:
        return length, Word(*place, number=value)
    return length, None


def longest_at(text: str, at: int, words: Collection[str], most: int) -> int:
    """The length of the longest of the words that stands at a place, 0 for none."""
    most = min(most, len(text) - at)
    return next((length for length in range(most, 0, -1) if text[at : at + length] in words), 0)


def chinese_number(digits: str) -> int | None:
    """两 is 2, 十二 is 12, 25 is 25; None for several."""
    if digits.isdigit():
        return int(digits)
    names = lexicon.NUMBERS.zh
    digits = "两" if digits == "二" else digits
    return names.index(digits) if digits in names else None
