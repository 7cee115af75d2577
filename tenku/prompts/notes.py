"""What an expansion says about the words that are not drawn as they stand, in English and Chinese."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tenku.prompts import synonyms

Kind = Literal["unknown", "negated", "bent", "left out", "added"]
ORDER: tuple[Kind, ...] = ("unknown", "negated", "bent", "left out", "added")


@dataclass(frozen=True)
class Note:
    """Something about words of a prompt.

    kind: unknown: the model draws nothing of it. negated: it must not be seen. bent: it is drawn as something near,
    `instead`. left out: it is known and could not be kept. added: what nobody asked for, which is `instead`.
    """

    kind: Kind
    words: tuple[str, ...]
    instead: str = ""


def said(notes: Sequence[Note], language: str = "en") -> list[str]:
    """The notes as sentences, one for each kind, the unknown words first. language: "en" or "zh"."""
    lines = []
    for kind in ORDER:
        these = [note for note in notes if note.kind == kind]
        if these:
            lines.append((CHINESE if language == "zh" else ENGLISH)[kind](these))
    return lines


def listed(notes: Sequence[Note], sign: str = ", ") -> str:
    return sign.join(dict.fromkeys(word for note in notes for word in note.words))


def nearest(notes: Sequence[Note], language: str) -> str:
    """What the world draws that is nearest to unknown words; empty where nothing is."""
    found: dict[str, None] = {}
    for word in [word for note in notes for word in note.words]:
        low = word.lower()
        parts = {part.removesuffix("s") for part in low.replace("-", " ").split()} | set(low.split())
        table = synonyms.nearest()
        rows = [row for row in table if low in (*row.en, *row.zh)] or [
            row for row in table if parts & {*row.en} or any(each in word for each in row.zh)
        ]
        for row in rows[:1]:
            found[row.instead_zh if language == "zh" else row.instead_en] = None
    return ("；" if language == "zh" else "; ").join(found)


def unknown_english(notes: Sequence[Note]) -> str:
    near = nearest(notes, "en")
    instead = listed([Note("unknown", (note.instead,)) for note in notes if note.instead])
    drawn = f" In its place: {instead}." if instead else ""
    return (
        f"this model draws nothing of: {listed(notes)}.{drawn}"
        + (f" Nearest that it draws: {near}." if near else "")
        + " `tenku examples` shows what works; open weights draw more (`tenku models`)."
    )


def unknown_chinese(notes: Sequence[Note]) -> str:
    near = nearest(notes, "zh")
    instead = listed([Note("unknown", (note.instead,)) for note in notes if note.instead], "、")
    drawn = f"代之以：{instead}。" if instead else ""
    return (
        f"这个模型画不出：{listed(notes, '、')}。{drawn}"
        + (f"最接近、能画的是：{near}。" if near else "")
        + "`tenku examples` 列出效果好的提示词；公开权重能画更多（`tenku models`）。"
    )


def pairs(notes: Sequence[Note], between: str, sign: str) -> str:
    return sign.join(dict.fromkeys(f"{listed([note])}{between}{note.instead}" for note in notes))


ENGLISH = {
    "unknown": unknown_english,
    "negated": lambda notes: (
        f"not to be seen: {listed(notes)}. Nothing of it is in the prompt that is drawn; "
        f"--negative-prompt {listed(notes)!r} also leads away from it."
    ),
    "bent": lambda notes: f"drawn as what is near: {pairs(notes, ' as ', '; ')}.",
    "left out": lambda notes: (
        f"known, but not kept: {listed(notes)}. A clip has one event with its own things, one floor and one light."
    ),
    "added": lambda notes: f"nothing stands still in this model's world: {listed(notes)} {notes[0].instead}.",
}
CHINESE = {
    "unknown": unknown_chinese,
    "negated": lambda notes: (
        f"不应出现：{listed(notes, '、')}。画的提示词里没有它；"
        f"--negative-prompt {listed(notes, '、')} 还能更进一步避开。"
    ),
    "bent": lambda notes: f"画成相近的：{pairs(notes, ' 画成 ', '；')}。",
    "left out": lambda notes: (
        f"认识，但没能保留：{listed(notes, '、')}。一段视频只有一个事件和它的东西、一种地面、一种光线。"
    ),
    "added": lambda notes: f"这个模型的世界里没有静物，所以让{listed(notes, '、')}{notes[0].instead}。",
}
