"""Read captions that lie beside clips, as in Hugging Face's video folders and for trainers of open video models.

NAME.txt               of NAME.mp4: a caption, or several, one a line
metadata.jsonl         or .csv or .json, also called meta or captions, in any folder: a row for each clip, with its
                       file name as seen from there (file_name, file or video) and its caption (text, caption or
                       prompt: a text or a list of texts)
NAME.json              as `tenku world` writes it
"""

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tenku.model.vocabulary import CHINESE_RUN

TABLES = [f"{name}.{ending}" for name in ("metadata", "meta", "captions") for ending in ("jsonl", "csv", "json")]
FILE_FIELDS = ("file_name", "file", "video")
CAPTION_FIELDS = ("text", "caption", "prompt")


def beside(path: Path) -> list[str]:
    """Captions of NAME.txt, or of NAME.json."""
    text, truth = path.with_suffix(".txt"), path.with_suffix(".json")
    if text.is_file():
        return cleaned(read_text(text).splitlines())
    if truth.is_file() and truth.name not in TABLES:
        values = parsed(read_text(truth), truth)
        languages = values.get("captions") if isinstance(values, dict) else None
        if isinstance(languages, dict):
            return cleaned(caption for told in languages.values() for caption in texts(told, str(truth)))
    return []


def in_tables(folder: Path) -> dict[str, list[str]]:
    """Captions by `place_of` the file, out of all tables in a folder and below. ValueError names a wrong row."""
    told: dict[str, list[str]] = {}
    for table in sorted(path for name in TABLES for path in folder.rglob(name) if not is_hidden(path, folder)):
        for number, row in enumerate(rows_of(table), 1):
            where = f"{table}, row {number}"
            file = next((row[field] for field in FILE_FIELDS if row.get(field)), None)
            if not isinstance(file, str):
                raise ValueError(f"{where}: no {', '.join(FILE_FIELDS[:-1])} or {FILE_FIELDS[-1]}")
            captions = texts(next((row[field] for field in CAPTION_FIELDS if row.get(field)), []), where)
            told.setdefault(place_of(table.parent / file.replace("\\", "/"), folder), []).extend(captions)
    return {place: cleaned(captions) for place, captions in told.items()}


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
    lines = [line for line in text.split("\n") if line.strip()]
    rows = parsed(text, path) if path.suffix == ".json" else [parsed(line, path) for line in lines]
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
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not {path.suffix[1:].upper()}: {error}") from None


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
