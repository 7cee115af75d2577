"""A prompt's unknown words are named; its known and its empty words are not."""

import pytest

from tenku.model.vocabulary import Vocabulary

ENGLISH = [
    "A red rubber ball drops onto wet asphalt at night under pink neon.",
    "Three glossy blue cubes slide across the ice; one bounces twice.",
    "The camera orbits left around a pyramid of green boxes, and it topples.",
]
CHINESE = [
    "夜晚霓虹灯下，一个红色的橡胶球落在湿漉漉的柏油路上。",
    "三个蓝色的方块在冰面上滑动。",
    "镜头向左环绕，绿色的金字塔倒塌了。火光照亮了小车。",
]
VOCABULARY = Vocabulary.from_captions(ENGLISH, CHINESE)


@pytest.mark.parametrize(
    "prompt, unknown",
    [
        ("a red ball", []),
        ("The BALLS were sliding, dropped and bouncing on a cube's box", []),
        ("12 balls, 3.5 seconds, 2nd cube", ["seconds"]),
        ("a purple elephant dances", ["purple", "elephant", "dances"]),
        ("Elephant, elephant and ELEPHANT", ["elephant"]),
        ("zebra then aardvark then zebra", ["zebra", "aardvark"]),
        ("a ball 🎉 rolls 🚀", ["🎉", "rolls", "🚀"]),
        ("❤️ — … “ball” $5 & #", ["❤"]),
        ("Орёл над ball", ["орёл", "над"]),
        ("café NAÏVE cafe\u0301", ["café", "naïve"]),
        ("हिन्दी", ["हिन्दी"]),
        ("红色的球落在冰面上", []),
        ("红球落下", []),
        ("球", []),
        ("一个红色的恐龙在冰面上", ["恐龙"]),
        ("火车", ["火车"]),  # both characters were seen, but never the word
        ("一个火车在滑动", ["火车"]),
        ("红色的球滑动", []),  # where two words meet
        ("ball和恐龙, dragon", ["恐龙", "dragon"]),
        ("", []),
        ("the of and 的了", []),
    ],
)
def test_unknown_words(prompt, unknown):
    assert VOCABULARY.unknown_words(prompt) == unknown


@pytest.mark.parametrize("caption", ENGLISH + CHINESE)
def test_captions_are_known(caption):
    assert VOCABULARY.unknown_words(caption) == []


def test_an_empty_vocabulary_knows_only_stop_words():
    assert Vocabulary().unknown_words("the red ball, 红") == ["red", "ball", "红"]


def test_save_and_load(tmp_path):
    VOCABULARY.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == VOCABULARY
    first = (tmp_path / "vocabulary.json").read_bytes()
    Vocabulary.from_captions(reversed(ENGLISH), reversed(CHINESE)).save(tmp_path / "vocabulary.json")
    assert (tmp_path / "vocabulary.json").read_bytes() == first


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"words": 3, "characters": "", "pairs": []}'])
def test_another_file(tmp_path, content):
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(ValueError, match="is not a vocabulary"):
        Vocabulary.load(tmp_path / "vocabulary.json")
