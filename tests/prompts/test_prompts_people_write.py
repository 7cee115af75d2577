"""Prompts as people write them, in both languages: what they say is in the expansion or in a note, at every seed.

`prompts_people_write.txt` has a line for each: the prompt, what must be in the expansion, what must not, and the words
that a note must name.
"""

import re
from pathlib import Path

import pytest

from tenku.model.vocabulary import Vocabulary, same_word
from tenku.prompts.content import CHINESE, SOME, content_words
from tenku.prompts.expand import expand
from tenku.prompts.synonyms import TABLE

LINES = Path(__file__).with_name("prompts_people_write.txt").read_text(encoding="utf-8").splitlines()
ROWS = [[part.strip() for part in line.split("|")] for line in LINES if line and not line.startswith("#")]
SHIPPED = Path(__file__).parents[2] / "tenku/weights/embedded/text/vocabulary.json"


def has(text, word):
    """Chinese is looked for as it stands, English as a word in any of its forms, or as a phrase."""
    text, word = text.lower(), word.lower()
    if not re.fullmatch(r"[a-z]+", word):
        return word in text
    return any(same_word(word, each) for each in re.findall(r"[a-z]+", text))


def test_there_are_enough_of_them():
    assert len(ROWS) >= 300 and len({row[0] for row in ROWS}) == len(ROWS) and all(len(row) == 4 for row in ROWS)
    assert sum(bool(CHINESE.search(row[0])) for row in ROWS) >= 90


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_is_said_is_drawn_or_noted(row):
    prompt, wanted, unwanted, noted = row
    for seed in (0, 1, 5):
        found = expand(prompt, seed)
        words = [word for note in found.notes for word in note.words]
        told = f"{found.text} {[(note.kind, note.words, note.instead) for note in found.notes]}"
        for each in filter(None, wanted.split(", ")):
            assert any(word in found.text.lower() for word in each.split("/")), (each, told)
        for each in filter(None, unwanted.split(", ")):
            assert found.text == prompt or not has(found.text, each), (each, told)
        for each in filter(None, noted.split(", ")):
            assert any(word in " ".join(words) for word in each.split("/")), (each, told)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_no_word_is_lost_and_no_known_one_is_called_unknown(row):
    prompt = row[0]
    known = Vocabulary.load(SHIPPED)
    for seed in range(4):
        found = expand(prompt, seed)
        shown = {meaning.name for word in content_words(found.text) for meaning in word.meanings}
        noted = [word for note in found.notes for word in note.words]
        for word in content_words(prompt):
            means = {meaning.name for meaning in word.meanings}
            kept = (
                has(found.text, word.text)
                or means & shown
                or word.text in noted
                or word.number
                or word.text.lower() in SOME
            )
            assert kept or expands_by_another(means, shown), (word.text, found.text, noted)
        for note in found.notes:
            for word in note.words if note.kind == "unknown" else ():
                assert word.lower() not in known.words, (word, found.text)
        assert expand(prompt, seed) == found
        assert all("\n" not in line for line in found.said("en") + found.said("zh"))


def expands_by_another(means, shown):
    from tenku.prompts.expand import SHOWN_BY

    return any(shown & SHOWN_BY.get(name, set()) for name in means)


def test_every_word_of_the_model_has_a_meaning_or_is_grammar():
    """So that a note never calls a word unknown that the model was trained on."""
    unknown = [
        word
        for word in sorted(Vocabulary.load(SHIPPED).words)
        if any(not each.meanings for each in content_words(word))
    ]
    unknown = [word for word in unknown if content_words(word)[0].number is None]
    assert len(unknown) <= 40, unknown


def test_the_table_is_small_enough():
    assert TABLE.stat().st_size < 300_000
