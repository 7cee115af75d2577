"""Somebody's own clips and pictures, made into training clips: their captions found, their frames brought to the size,
rate and length of a model.

    FOLDER/…/NAME.mp4        or mov, mkv, webm, gif, webp, png, jpg
    FOLDER/…/NAME.txt        its caption, or several, one a line; or else
    FOLDER/metadata.jsonl    or .csv or .json, also called meta or captions: a row for each clip, with its file name
                             (file_name, file or video) and its caption (text, caption or prompt)

NAME.json of `tenku world` is read too. These are the forms that Hugging Face's video folders and the trainers of open
video models use.
"""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tenku.data.files import read_json, write_json
from tenku.fit import at_rate, fit, nearest_size
from tenku.types import Clip, ModelSettings
from tenku.video import write_clip

ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".gif", ".webp", ".png", ".jpg", ".jpeg")
TABLES = [f"{name}.{ending}" for name in ("metadata", "meta", "captions") for ending in ("jsonl", "csv", "json")]
FILE_FIELDS = ("file_name", "file", "video")
CAPTION_FIELDS = ("text", "caption", "prompt")
CHINESE = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class OwnClip:
    path: Path
    captions: dict[str, list[str]]  # by language, en or zh

    def key(self, folder: Path) -> str:
        """Another one for every place, content and date of the file."""
        state = self.path.stat()
        told = f"{self.path.relative_to(folder)} {state.st_size} {state.st_mtime_ns}"
        return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def find_clips(folder: str | Path, without: Path | None = None) -> tuple[list[OwnClip], list[Path]]:
    """(clips with a caption, files without one), both in the order of their names, subfolders too but for `without`.

    ValueError when no file has a caption, or a table of captions cannot be read.
    """
    folder = Path(folder)
    told = read_tables(folder)
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in ENDINGS and path.is_file()]
    files = [path for path in paths if without is None or without.resolve() not in path.resolve().parents]
    found, silent = [], []
    for path in files:
        captions = captions_beside(path) or told.get(path.relative_to(folder).as_posix(), [])
        if captions:
            found.append(OwnClip(path, by_language(captions)))
        else:
            silent.append(path)
    if not files:
        raise ValueError(f"{folder} holds no clips or pictures ({', '.join(ENDINGS)})")
    if not found:
        raise ValueError(
            f"none of the {len(files)} clips in {folder} has a caption: write it into NAME.txt beside NAME.mp4, "
            'or into metadata.jsonl, a line a clip: {"file_name": "NAME.mp4", "text": "…"}'
        )
    return found, silent


def captions_beside(path: Path) -> list[str]:
    """Those of NAME.txt, or of NAME.json as `tenku world` writes it."""
    text = path.with_suffix(".txt")
    if text.is_file():
        return cleaned(read_text(text).splitlines())
    truth = path.with_suffix(".json")
    if truth.is_file() and isinstance(values := read_json(truth), dict) and isinstance(values.get("captions"), dict):
        return cleaned(caption for captions in values["captions"].values() for caption in captions)
    return []


def read_tables(folder: Path) -> dict[str, list[str]]:
    """Captions by file name (with forward slashes) out of the folder's tables. ValueError names a row that is wrong."""
    told: dict[str, list[str]] = {}
    for path in (folder / name for name in TABLES):
        if not path.is_file():
            continue
        for number, row in enumerate(rows_of(path), 1):
            file = next((row[field] for field in FILE_FIELDS if row.get(field)), None)
            caption = next((row[field] for field in CAPTION_FIELDS if row.get(field)), None)
            if file is None:
                raise ValueError(f"{path}, row {number}: no {', '.join(FILE_FIELDS[:-1])} or {FILE_FIELDS[-1]}")
            several = caption if isinstance(caption, list) else [caption] if caption else []
            told.setdefault(Path(str(file)).as_posix(), []).extend(cleaned(map(str, several)))
    return told


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl, .csv or .json (a list of objects)."""
    text = read_text(path)
    if path.suffix == ".csv":
        return list(csv.DictReader(text.splitlines()))
    try:
        rows = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines() if line]
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not {path.suffix[1:].upper()}: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f'{path} should hold objects like {{"file_name": "NAME.mp4", "text": "…"}}')
    return rows


def read_text(path: Path) -> str:
    """ValueError unless it is UTF-8; the mark that some editors put first is taken off."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


def cleaned(captions: Iterable[str]) -> list[str]:
    """Without empty ones, each once."""
    return list(dict.fromkeys(caption for each in captions if (caption := " ".join(each.split()))))


def by_language(captions: Sequence[str]) -> dict[str, list[str]]:
    """A caption with Chinese characters is Chinese, any other counts as English."""
    chinese = [caption for caption in captions if CHINESE.search(caption)]
    english = [caption for caption in captions if caption not in chinese]
    return {language: told for language, told in (("en", english), ("zh", chinese)) if told}


def prepare(
    clips: Sequence[OwnClip],
    folder: Path,
    out: Path,
    model: ModelSettings,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Write OUT/{key}-{piece}.mp4 and .json, what `data.source` reads, for each piece of each clip.

    A clip takes the model's frame rate and, of its sizes, the one nearest in aspect; one longer than the model's videos
    is cut into pieces that follow each other. What a former call has made stays, what no clip belongs to any more goes.
    Returns a line for each file that cannot be read; ValueError when none can.
    """
    out.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    kept: set[str] = set()
    for done, clip in enumerate(clips):
        on_progress(done, len(clips))
        key = clip.key(folder)
        first = out / f"{key}-0.json"
        if not first.is_file():
            try:
                write_pieces(clip, key, out, model)
            except ValueError as error:
                wrong.append(str(error))
                continue
        truth = read_json(first)
        if truth["captions"] != clip.captions:
            for index in range(truth["pieces"]):
                path = out / f"{key}-{index}.json"
                write_json(path, {**read_json(path), "captions": clip.captions})
        kept.update(f"{key}-{index}" for index in range(truth["pieces"]))
    for path in out.glob("*-*.*"):
        if path.stem not in kept:
            path.unlink()
    on_progress(len(clips), len(clips))
    if not kept:
        raise ValueError(f"none of the clips can be read: {wrong[0]}")
    return wrong


def write_pieces(clip: OwnClip, key: str, out: Path, model: ModelSettings) -> None:
    """The pieces of one clip, the first one's JSON last: with it, all are there. ValueError for a file that is none."""
    whole = Clip.load(clip.path, longest_side=4 * max(max(size) for size in model.sizes))
    size = nearest_size(model, whole.size)
    pieces = cut(at_rate(whole, model.fps), model.max_frames)
    for index, frames in reversed(list(enumerate(pieces))):
        truth = {
            "seed": int(key, 16) * 1000 + index,
            "size": list(size),
            "num_frames": len(frames),
            "fps": model.fps,
            "captions": clip.captions,
            "source": clip.path.name,
            "pieces": len(pieces),
        }
        write_clip(out / f"{key}-{index}.mp4", fit(frames, size), model.fps)
        write_json(out / f"{key}-{index}.json", truth)


def cut(frames: np.ndarray, longest: int) -> list[np.ndarray]:
    """Pieces of `longest` frames; what is left at the end counts when it is half as long, or all there is."""
    pieces = [frames[start : start + longest] for start in range(0, len(frames), longest)]
    return pieces if len(pieces) == 1 or 2 * len(pieces[-1]) >= longest else pieces[:-1]
