"""Load user clips and pictures, and make them training clips of the size, rate and length of a model.

FOLDER/…/NAME.mp4        or mov, m4v, mkv, webm, gif, webp, png, jpg, avif, heic; captions as in caption_files.py
OUT/KEY-PIECE.mp4        what is trained on, with its JSON, as `data.source` reads it
"""

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tenku.data import caption_files
from tenku.media.clip import Clip
from tenku.media.resize import at_rate, covering, fit, nearest_size
from tenku.media.writer import write_clip
from tenku.model.settings import ModelSettings
from tenku.system.files import read_json, write_json

ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".gif", ".webp", ".png", ".jpg", ".jpeg", ".avif", ".heic")
MADE = re.compile(r"[0-9a-f]{12}-\d+\.(mp4|json)")


@dataclass(frozen=True)
class UserClip:
    path: Path
    captions: dict[str, list[str]]  # by language, en or zh

    def key(self, folder: Path, model: ModelSettings) -> str:
        """Another one for another place, size or date of the file, and for what another kind of model takes."""
        file = self.path.stat()
        parts = self.path.relative_to(folder), file.st_size, file.st_mtime_ns, model.sizes, model.fps, model.max_frames
        return hashlib.sha256(" ".join(map(str, parts)).encode("utf-8", "surrogateescape")).hexdigest()[:12]


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    clips: list[UserClip]  # with captions
    uncaptioned: list[str]  # files
    unmatched: list[str]  # captions in tables whose file is not there
    unsupported: list[str]  # files with a caption of a kind that is not read


def find_clips(folder: str | Path, without: Collection[Path] = ()) -> Found:
    """All clips and pictures of a folder and of those below, but for hidden ones and the folders `without`.

    In the order of their names. ValueError when none has a caption, or captions cannot be read.
    """
    folder = Path(folder)
    captions = caption_files.in_tables(folder)
    apart = {each.resolve() for each in without}
    if folder.resolve() in apart or apart & set(folder.resolve().parents):
        raise ValueError(f"{folder} is where the run keeps what it makes of clips: choose another folder for the run")
    everything = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not caption_files.is_hidden(path, folder) and not apart & set(path.resolve().parents)
    ]
    files = [path for path in everything if path.suffix.lower() in ENDINGS]
    if not files:
        raise ValueError(f"{folder} holds no clips or pictures ({', '.join(ENDINGS)})")
    clips, uncaptioned = [], []
    for path in files:
        place = caption_files.place_of(path, folder)
        if own := caption_files.beside(path) or captions.get(caption_files.identity(path), []):
            clips.append(UserClip(path, caption_files.by_language(own)))
        else:
            uncaptioned.append(place)
    if not clips:
        raise ValueError(
            f"none of the {len(files)} clips in {folder} has a caption: write it into NAME.txt beside NAME.mp4, "
            'or into metadata.jsonl, a line a clip: {"file_name": "NAME.mp4", "text": "…"}'
        )
    unmatched = sorted(captions.keys() - {caption_files.identity(path) for path in files})
    known, read = {*ENDINGS, ".txt", ".json"}, {path.with_suffix("") for path in files}
    unsupported = [
        path
        for path in everything
        if path.suffix.lower() not in known and path.with_suffix("") not in read and path.with_suffix(".txt").is_file()
    ]
    unmatched = [caption_files.place_of(Path(file), folder.resolve()) for file in unmatched]
    return Found(clips, uncaptioned, unmatched, [caption_files.place_of(path, folder) for path in unsupported])


def prepare(
    clips: Sequence[UserClip],
    folder: Path,
    out: Path,
    model: ModelSettings,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Write OUT/{key}-{piece}.mp4 and .json for each piece of each clip.

    A clip takes the model's frame rate and, of its sizes, the one nearest in aspect; one longer than the model's videos
    is cut into pieces that follow each other. What a former call has made stays, what no clip belongs to any more goes.
    Returns a line for each file that cannot be read; ValueError when none can, or OUT holds clips of another origin.
    """
    out.mkdir(parents=True, exist_ok=True)
    if others := sorted(path.name for path in out.glob("*.mp4") if not MADE.fullmatch(path.name)):
        raise ValueError(f"{out} holds other clips ({others[0]}): choose another folder for the run")
    wrong: list[str] = []
    kept: set[str] = set()
    for done, clip in enumerate(clips):
        on_progress(done, len(clips))
        key = clip.key(folder, model)
        first = out / f"{key}-0.json"
        if not first.is_file():
            try:
                write_pieces(clip, key, out, model)
            except ValueError as error:
                wrong.append(str(error) if str(clip.path) in str(error) else f"{clip.path}: {error}")
                continue
        truth = read_json(first)
        names = [f"{key}-{index}" for index in range(truth["pieces"])]
        if truth["captions"] != clip.captions:
            for path in (out / f"{name}.json" for name in reversed(names)):  # the first one last, which was asked
                write_json(path, {**read_json(path), "captions": clip.captions})
        kept.update(names)
    for path in out.glob("*"):
        if MADE.fullmatch(path.name) and path.stem not in kept:
            path.unlink()
    on_progress(len(clips), len(clips))
    if not kept:
        raise ValueError(f"none of the clips can be read: {wrong[0]}")
    return wrong


def write_pieces(clip: UserClip, key: str, out: Path, model: ModelSettings) -> None:
    """The pieces of one clip, the first one's JSON last: with it, all are there. ValueError for a file that is none."""
    needed = partial(covering, sizes=model.sizes)
    whole = Clip.load(clip.path, size_fn=needed, fps=model.fps, sound=False)
    size = nearest_size(model.sizes, whole.size)
    pieces = cut(at_rate(whole, model.fps), model.max_frames)
    for index, frames in reversed(list(enumerate(pieces))):
        truth = {
            "seed": int(key, 16) * 1000 + index,
            "size": list(size),
            "num_frames": len(frames),
            "fps": model.fps,
            "captions": clip.captions,
            "source": clip.path.name.encode("utf-8", "replace").decode(),
            "pieces": len(pieces),
        }
        write_clip(out / f"{key}-{index}.mp4", fit(frames, size), model.fps)
        write_json(out / f"{key}-{index}.json", truth)


def cut(frames: np.ndarray, longest: int) -> list[np.ndarray]:
    """Pieces of `longest` frames; what is left at the end counts when it is half as long, or all there is."""
    pieces = [frames[start : start + longest] for start in range(0, len(frames), longest)]
    return pieces if len(pieces) == 1 or 2 * len(pieces[-1]) >= longest else pieces[:-1]
