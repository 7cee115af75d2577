"""Vocabulary of the training captions: finds out-of-vocabulary words of a prompt, in English and Chinese."""

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tenku.system.files import read_json

# Stop words: words that carry no picture.
_STOP_WORDS = """
    a an the this that these those some any each every all both its it he she they them their his her our
    your my we you i me us one's is are was were be been being am has have had having do does did doing done
    will would can could may might shall should must let lets get gets got of in on at by to from with
    without into onto over under up down off out through across along around about against between behind
    before after above below near beside inside outside upon toward towards past and or but nor so as if
    then than while when where which who whom whose what how why because until since not no yes very too
    also just only even still again once more most much many few little less least own same other another
    such there here now please make makes show shows showing create generate video clip picture image scene
    shot time times
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
CHINESE_STOP_CHARACTERS = frozenset(
    "的了着过在和与及或是有把被将给就也都又还很最之其这那哪个一不上下里中内外前后左右来去到从向往对于并而且请让二两三四五六七八九十"
)
_NUMBERS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand first
    second third fourth fifth half double
"""
NUMBERS = frozenset(_NUMBERS.split())
# How many of its first letters a word keeps at least when an ending is taken off.
SHORTEST_STEM = 3
# Different neighbours on one side that show that a Chinese word can end or begin there.
COMPANY = 4

_CHINESE = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_MARKS = r"\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff\u0e31-\u0e4e"  # of letters, in some scripts
_WORD = rf"(?![{_CHINESE}])[^\W\d_](?:(?![{_CHINESE}])[^\W\d_]|[{_MARKS}])*"
_PIECES = re.compile(rf"[{_CHINESE}]+|{_WORD}(?:['’]{_WORD})*|[\d.,]*\d[a-z]*|\S")
CHINESE_RUN = re.compile(rf"[{_CHINESE}]+")


def normalize(text: str) -> str:
    """The form in which captions and prompts are compared and tokenized: NFC, lower case."""
    return unicodedata.normalize("NFC", text).lower()


@dataclass(frozen=True)
class Vocabulary:
    """English words, and Chinese characters with the pairs of neighbours, that occurred in captions.

    Chinese is written without spaces, so a word is recognised by its neighbours: a character counts as known when it
    was seen and a pair that it forms in the prompt was seen too, or where words only meet on either side of it, as in
    球滚 (ball, rolls): see `_borders`. 火车 (train) is unknown to a model that knows only 火 (fire) and 车 (car) from
    other words.
    """

    words: frozenset[str] = frozenset()
    characters: frozenset[str] = frozenset()
    pairs: frozenset[str] = frozenset()

    @classmethod
    def from_captions(cls, english: Iterable[str], chinese: Iterable[str]) -> "Vocabulary":
        """Everything said in these captions."""
        words: set[str] = set()
        characters: set[str] = set()
        pairs: set[str] = set()
        for caption in [*english, *chinese]:
            for piece in _PIECES.findall(normalize(caption)):
                if CHINESE_RUN.match(piece):
                    characters.update(piece)
                    pairs.update(piece[i : i + 2] for i in range(len(piece) - 1))
                elif piece[0].isalpha() and piece not in STOP_WORDS:
                    words.update(_parts(piece))
        return cls(frozenset(words), frozenset(characters), frozenset(pairs))

    def __or__(self, other: "Vocabulary") -> "Vocabulary":
        """What either of them has seen."""
        return Vocabulary(self.words | other.words, self.characters | other.characters, self.pairs | other.pairs)

    def unknown_words(self, prompt: str) -> list[str]:
        """Out-of-vocabulary content words of a prompt, in their order, each once.

        Emoji and letters of other scripts count as words; punctuation and numbers do not.
        """
        unknown: dict[str, None] = {}
        for piece in _PIECES.findall(normalize(prompt)):
            if CHINESE_RUN.match(piece):
                unknown.update(dict.fromkeys(self._unknown_chinese(piece)))
            elif is_visible_word(piece[0]) and not self._knows(piece):
                unknown[piece] = None
        return list(unknown)

    def _knows(self, word: str) -> bool:
        word = word.replace("’", "'")
        if word in STOP_WORDS or word in NUMBERS or word in self.words:
            return True
        stem = word.split("'")[0]
        if stem in STOP_WORDS or stem in self.words:
            return True
        return any(form in self.words for form in _forms(stem))

    def _unknown_chinese(self, run: str) -> list[str]:
        def known(i: int) -> bool:
            if run[i] in CHINESE_STOP_CHARACTERS:
                return True
            if run[i] not in self.characters:
                return False
            around = [run[j : j + 2] for j in (i - 1, i) if 0 <= j < len(run) - 1]
            return any(pair in self.pairs for pair in around) or all(map(self._is_border, around))

        marks = [known(i) for i in range(len(run))]
        found, start = [], 0
        for i in range(len(run) + 1):
            if i < len(run) and not marks[i]:
                continue
            part = run[start:i]
            # A single character that was seen, only next to others, is a word in new company rather than a
            # new word.
            if len(part) > 1 or (part and part not in self.characters):
                found.append(part)
            start = i + 1
        return found

    def _is_border(self, pair: str) -> bool:
        """Whether one word can end and another begin between two characters."""
        ends, begins = self._borders
        return (pair[0] in ends or pair[0] in CHINESE_STOP_CHARACTERS) and (
            pair[1] in begins or pair[1] in CHINESE_STOP_CHARACTERS
        )

    @cached_property
    def _borders(self) -> tuple[frozenset[str], frozenset[str]]:
        """The characters that can end a word, and those that can begin one.

        They stood beside one without content, and beside at least COMPANY others on that side: so they are no part of
        a word that goes on there.
        """
        after: dict[str, set[str]] = {}
        before: dict[str, set[str]] = {}
        for pair in self.pairs:
            after.setdefault(pair[0], set()).add(pair[1])
            before.setdefault(pair[1], set()).add(pair[0])

        def free(beside: dict[str, set[str]]) -> frozenset[str]:
            return frozenset(
                each
                for each, others in beside.items()
                if len(others) >= COMPANY and not others.isdisjoint(CHINESE_STOP_CHARACTERS)
            )

        return free(after), free(before)

    def save(self, path: Path) -> None:
        """Write as JSON, sorted, so that equal vocabularies are equal files."""
        fields = {
            "words": sorted(self.words),
            "characters": "".join(sorted(self.characters)),
            "pairs": sorted(self.pairs),
        }
        path.write_text(json.dumps(fields, ensure_ascii=False, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read what `save` wrote. Raises ValueError when the file is something else."""
        try:
            fields = read_json(path)
            return cls(frozenset(fields["words"]), frozenset(fields["characters"]), frozenset(fields["pairs"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a vocabulary (words, characters, pairs): {error}") from None


def _parts(word: str) -> list[str]:
    """A word and what stands before its apostrophe."""
    word = word.replace("’", "'")
    return [word, word.split("'")[0]] if "'" in word else [word]


def _forms(word: str) -> set[str]:
    """Inflected forms by regular endings: balls ~ ball, rolling ~ roll ~ rolled.

    snowballstemmer answers differently on 7 of VBench's 946 prompts, no better (painting ~ paint, pines not ~ pin), in
    four times the time.
    """
    stems = {word}
    for ending in ("ies", "es", "s", "ied", "ed", "ing", "er", "ly", "d"):
        if word.endswith(ending) and len(word) - len(ending) >= SHORTEST_STEM:
            stem = word[: -len(ending)]
            stems.add(stem)
            if ending in ("ies", "ied"):
                stems.add(stem + "y")
            if stem[-1] == stem[-2]:  # dropped, rolling of a doubled last letter
                stems.add(stem[:-1])
    forms = set(stems)
    for stem in stems:
        forms.update(stem + ending for ending in ("e", "s", "es", "ed", "d", "ing", "er", "ly"))
        forms.update(stem + stem[-1] + ending for ending in ("ed", "ing"))
        if stem.endswith("e"):
            forms.update({stem[:-1] + "ing"})
        if stem.endswith("y"):
            forms.update({stem[:-1] + "ies", stem[:-1] + "ied"})
    return forms


def same_word(word: str, other: str) -> bool:
    """Whether two English words are forms of one: balls and ball, rolling and rolls."""
    return other in _forms(word) or word in _forms(other)


def is_visible_word(character: str) -> bool:
    """Letters of any script, and symbols that are pictures; not punctuation, marks or plain signs."""
    category = unicodedata.category(character)
    return category.startswith("L") or category == "So"
