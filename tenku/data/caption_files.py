"""Read captions that lie beside clips, as in Hugging Face's video folders and for trainers of open video models.

NAME.txt               of NAME.mp4: a caption, or several, one a line
metadata.jsonl         or .csv or .json, also called meta or captions, in any folder: a row for each clip, with its
                       file as seen from there (FILE_FIELDS) and its caption (CAPTION_FIELDS: a text or a list)
videos.txt             beside prompts.txt (or prompt.txt, captions.txt): a file and its caption in the same line of each
NAME.json              as `tenku world` writes it
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tenku.model.vocabulary import CHINESE_RUN

TABLES = [f"{name}.{ending}" for name in ("metadata", "meta", "captions") for ending in ("jsonl", "csv", "json")]
FILE_FIELDS = (
    "file_name", "file", "video", "video_path", "file_path", "media_path", "image_path", "path", "filename", "media",
    "image",
)  # fmt: skip
CAPTION_FIELDS = ("text", "caption", "prompt", "captions", "cap", "description")
LISTS = ("prompts.txt", "prompt.txt", "captions.txt")  # of what is seen in the files that videos.txt lists
ENDS_SENTENCE = re.compile(r"[.!?…。！？][\"'”’」』)）]*$")

SPACE = re.compile(r"\s*")
DECODER = json.JSONDecoder(strict=False)  # line breaks in a text are let through


def beside(path: Path) -> list[str]:
    """Captions of NAME.txt, or of NAME.json."""
    text, truth = path.with_suffix(".txt"), path.with_suffix(".json")
    if text.is_file():
        return cleaned(one_a_line(read_text(text)))
    if truth.is_file() and truth.name not in TABLES:
        values = parsed(read_text(truth), truth)
        languages = values.get("captions") if isinstance(values, dict) else None
        if isinstance(languages, dict):
            return cleaned(caption for told in languages.values() for caption in texts(told, str(truth)))
    return []


def one_a_line(text: str) -> list[str]:
    """The captions of a text, one a line.

    A line goes on in the next where it ends no sentence, its paragraph's last line does, and the next has no capital.
    """
    captions: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in paragraph.splitlines()]
        whole = bool(lines) and ENDS_SENTENCE.search(lines[-1])
        goes_on = False
        for line in lines:
            if goes_on and not line[:1].isupper():
                captions[-1] += ("" if CHINESE_RUN.match(line) else " ") + line
            else:
                captions.append(line)
            goes_on = bool(whole) and not ENDS_SENTENCE.search(line)
    return captions


def in_tables(folder: Path) -> dict[str, list[str]]:
    """Captions by `identity` of the file, out of all tables in a folder and below. ValueError names a wrong row."""
    told: dict[str, list[str]] = {}
    for listed in sorted(path for path in folder.rglob("videos.txt") if not is_hidden(path, folder)):
        for name, caption in in_lists(listed):
            told.setdefault(identity(listed.parent / name), []).append(caption)
    for table in sorted(path for title in TABLES for path in folder.rglob(title) if not is_hidden(path, folder)):
        for number, row in enumerate(rows_of(table), 1):
            where = f"{table}, row {number}"
            file = next((row[field] for field in FILE_FIELDS if row.get(field)), None)
            if not isinstance(file, str):
                raise ValueError(f"{where}: names no file: {', '.join(FILE_FIELDS[:-1])} or {FILE_FIELDS[-1]}")
            captions = texts(next((row[field] for field in CAPTION_FIELDS if row.get(field)), []), where)
            told.setdefault(identity(table.parent / file.replace("\\", "/")), []).extend(captions)
    return {file: cleaned(captions) for file, captions in told.items()}


def in_lists(videos: Path) -> list[tuple[str, str]]:
    """The files that a videos.txt names, with the captions in the same lines of a list beside it.

    ValueError: the lists differ in length. Empty where there is no list of captions.
    """
    prompts = next((path for name in LISTS if (path := videos.with_name(name)).is_file()), None)
    if prompts is None:
        return []
    files, captions = (read_text(each).strip().splitlines() for each in (videos, prompts))
    if len(files) != len(captions):
        raise ValueError(f"{videos} has {len(files)} lines and {prompts.name} {len(captions)}: want one for each clip")
    return [
        (file.strip().replace("\\", "/"), caption) for file, caption in zip(files, captions, strict=True) if caption
    ]


def identity(path: Path) -> str:
    """A file in one spelling, whatever way leads to it: absolute, without links, accents composed."""
    return unicodedata.normalize("NFC", path.resolve().as_posix())


def place_of(path: Path, folder: Path) -> str:
    """A file's path as seen from a folder, in one spelling: systems write accents in two ways."""
    place = path.relative_to(folder) if path.is_relative_to(folder) else path
    return unicodedata.normalize("NFC", place.as_posix())


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether any part of its path below the folder begins with a dot, or was left by macOS."""
    return any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl, .csv or .json (a list of objects). ValueError for anything else."""
    text = read_text(path)
    if path.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text), strict=True, skipinitialspace=True)
        try:
            rows = list(reader)
        except csv.Error as error:
            raise ValueError(f"{path} is not CSV: {error}") from None
        if wrong := next((number for number, row in enumerate(rows, 1) if None in row), None):
            raise ValueError(f'{path}, row {wrong}: too many fields; a caption with commas in it stands in "quotes"')
        return rows
    rows = parsed(text, path) if path.suffix == ".json" else parsed_rows(text, path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f'{path} should hold objects like {{"file_name": "NAME.mp4", "text": "…"}}')
    return rows


def texts(value: Any, where: str) -> list[str]:
    """A caption or a list of captions. ValueError for anything else, which is at `where`."""
    captions = [value] if isinstance(value, str) else value
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise ValueError(f"{where}: a caption is a text or a list of texts, not {value!r:.60}")
    return captions


def parsed(text: str, path: Path) -> Any:
    try:
        return DECODER.decode(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not {path.suffix[1:].upper()}: {error}") from None


def parsed_rows(text: str, path: Path) -> Any:
    """The values of JSON that follow each other, a line each or over several, or one list of them."""
    text, rows, at = text.strip(), [], 0
    try:
        while at < len(text):
            row, at = DECODER.raw_decode(text, at)
            rows.append(row)
            at = SPACE.match(text, at).end()  # type: ignore[union-attr]  # it always matches
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not {path.suffix[1:].upper()}: {error}") from None
    return rows[0] if len(rows) == 1 and isinstance(rows[0], list) else rows


def read_text(path: Path) -> str:
    """ValueError unless it is UTF-8; the mark that some editors put first is taken off."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


def cleaned(captions: Iterable[str]) -> list[str]:
    """Without empty ones, each once."""
    return list(dict.fromkeys(caption for each in captions if (caption := " ".join(each.split()))))


def by_language(captions: Sequence[str]) -> dict[str, list[str]]:
    """A caption with Chinese characters is Chinese, any other counts as English."""
    chinese = [caption for caption in captions if CHINESE_RUN.search(caption)]
    english = [caption for caption in captions if caption not in chinese]
    return {language: told for language, told in (("en", english), ("zh", chinese)) if told}
