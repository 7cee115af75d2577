"""What words mean in the miniature world: the table `words.toml`, read once."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

TABLE = Path(__file__).with_name("words.toml")


class Meaning(NamedTuple):
    """A meaning: the world's own words for it, others that mean the same, and near ones; see the head of the table."""

    name: str
    kind: str
    en: tuple[str, ...] = ()
    zh: tuple[str, ...] = ()
    same_en: tuple[str, ...] = ()
    same_zh: tuple[str, ...] = ()
    near_en: tuple[str, ...] = ()
    near_zh: tuple[str, ...] = ()


class Nearest(NamedTuple):
    """Unknown words of a kind, and what the world draws that is nearest."""

    en: tuple[str, ...]
    zh: tuple[str, ...]
    instead_en: str
    instead_zh: str


def plain(text: str) -> str:
    """In small letters, with one space where words meet, hyphens too."""
    return " ".join(text.lower().replace("’", "'").replace("-", " ").split())


def split(words: str) -> tuple[str, ...]:
    """The words of a cell of the table."""
    return tuple(word for each in words.split(",") if (word := plain(each)))


@cache
def table() -> dict[str, Any]:
    with TABLE.open("rb") as file:
        return tomllib.load(file)


@cache
def meanings() -> tuple[Meaning, ...]:
    """All meanings, in the order of the table."""
    return tuple(
        Meaning(row["name"], row["kind"], *(split(row.get(column, "")) for column in Meaning._fields[2:]))
        for row in table()["meaning"]
    )


@cache
def worlds_words() -> frozenset[str]:
    """Every English word in the world's own phrases."""
    return frozenset(part for meaning in meanings() for phrase in meaning.en for part in phrase.split())


@cache
def nearest() -> tuple[Nearest, ...]:
    return tuple(
        Nearest(split(row["en"]), split(row["zh"]), row["instead_en"], row["instead_zh"]) for row in table()["nearest"]
    )


@cache
def deceptive() -> tuple[str, ...]:
    """What holds a word of the world and means something else."""
    return (*split(table()["deceptive"]["en"]), *split(table()["deceptive"]["zh"]))


@cache
def stop_words(name: str) -> frozenset[str]:
    """Words without content. name: "en", "zh", or "weak_zh", which belong to an unknown word that they touch."""
    return frozenset(split(table()["stop"][name]))
