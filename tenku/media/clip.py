"""A video: in memory (`Clip`), or as it is made (`Stream`), with what is remembered of how it was made."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tenku.media.display import SizeFn
from tenku.media.reader import read_footage
from tenku.media.sheet import contact_sheet
from tenku.media.sound import Sound, cut, read_sound
from tenku.media.writer import check_frames, write_gif, write_png, write_video, write_webp


@dataclass
class Clip:
    """A video in memory. frames: uint8, T H W 3, full-range RGB; fps: frames a second.

    sound: int16 N 2 at 48 kHz from the first frame on, None where there is none.
    """

    frames: np.ndarray
    fps: float
    metadata: dict[str, Any] = field(default_factory=dict)
    sound: Sound | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_frames(self.frames)
        try:
            self.fps = float(self.fps)
        except (TypeError, ValueError):
            raise ValueError(f"fps must be a number, got {self.fps!r}") from None
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps must be above 0, got {self.fps}")

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.fps

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.frames.shape[2], self.frames.shape[1]

    def part(self, start: int, stop: int) -> "Clip":
        """Frames start to stop, with the sound that is heard beside them."""
        first, stop, _ = slice(start, stop).indices(self.num_frames)
        sound = None if self.sound is None else cut(self.sound, first / self.fps, (stop - first) / self.fps)
        return Clip(self.frames[first:stop], self.fps, self.metadata, sound)

    def save(self, path: str | Path) -> None:
        """Write .mp4 (its sound beside the frames), .gif, .webp or .png (contact sheet of a video), metadata inside.

        Raises ValueError for another ending and OSError when the place cannot be written.
        """
        ending, metadata = check_ending(path), as_text(self.metadata)
        if ending == ".mp4":
            write_video(path, self.frames, self.fps, metadata, sound=self.sound)
        elif ending == ".gif":
            write_gif(path, self.frames, self.fps, metadata)
        elif ending == ".webp":
            write_webp(path, self.frames, self.fps, metadata)
        else:
            picture = self.frames[0] if len(self.frames) == 1 else contact_sheet([self.frames])
            write_png(path, picture, metadata)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        longest_side: int | None = None,
        size_fn: SizeFn | None = None,
        fps: float | None = None,
        sound: bool = True,
        first_only: bool = False,
    ) -> "Clip":
        """Read a video or picture file as a player shows it, larger frames made smaller as they are read.

        longest_side, size_fn, fps, first_only: as of `read_footage`: the size and rate that are wanted, so that no more
        than that is kept. sound: whether it is read too. Raises ValueError when it is not one, or damaged.
        """
        footage = read_footage(path, longest_side=longest_side, size_fn=size_fn, fps=fps, first_only=first_only)
        clip = cls(footage.frames, footage.fps, footage.metadata)
        if sound and clip.num_frames > 1:
            clip.sound = read_sound(path, footage.start, clip.seconds)
        return clip


@dataclass
class Stream:
    """A video as it is made: each frame comes as soon as it is decoded, and memory holds only a few of them.

    pieces: uint8 k H W 3, made while they are read, once. num_frames, size: of all of it, (width, height) in pixels.
    sound: of all of it, as a Clip's.
    """

    pieces: Iterator[np.ndarray]
    fps: float
    num_frames: int
    size: tuple[int, int]
    metadata: dict[str, Any] = field(default_factory=dict)
    sound: Sound | None = field(default=None, repr=False)
    is_read: bool = field(default=False, init=False, repr=False)

    def read(self) -> Iterator[np.ndarray]:
        """The pieces, once. ValueError when they were read before, by whichever method."""
        if self.is_read:
            raise ValueError("this video has been read already: frames of a stream come once; .clip() keeps them")
        self.is_read = True
        return iter(self.pieces)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames H W 3, one by one. ValueError as of `read`."""
        return (frame for piece in self.read() for frame in piece)

    def clip(self) -> Clip:
        """All of it, in memory. ValueError as of `read`."""
        return Clip(np.concatenate(list(self.read())), self.fps, self.metadata, self.sound)

    def save(self, path: str | Path) -> None:
        """As `Clip.save`; an .mp4 is written frame by frame. ValueError as of `read`."""
        if check_ending(path) == ".mp4":
            write_video(path, self.read(), self.fps, as_text(self.metadata), sound=self.sound)
        else:
            self.clip().save(path)


def check_ending(path: str | Path) -> str:
    """The ending of a file that can be written. ValueError for another one, before any work."""
    ending = Path(path).suffix.lower()
    if ending not in (".mp4", ".gif", ".webp", ".png"):
        raise ValueError(f"cannot write {Path(path).name}: the name should end in .mp4, .gif, .webp or .png")
    return ending


def as_text(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Metadata for a file: strings as they are, everything else as JSON, NumPy's numbers as numbers."""

    def told(value: Any) -> str:
        return (
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=lambda each: each.item())
        )

    return {key: told(value) for key, value in metadata.items()}
