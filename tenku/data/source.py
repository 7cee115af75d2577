"""List the clips of a folder: {seed}.mp4 with its metadata {seed}.json beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tenku.media.reader import read_video
from tenku.system.files import read_json

HEAVY = ("states", "contacts", "camera")  # of a truth: most of its bytes, and nothing that clips are chosen by


@dataclass(frozen=True)
class Sample:
    """One clip: the path of its mp4 and what is known about it, without the motion of every body."""

    path: Path
    truth: dict[str, Any]

    @property
    def seed(self) -> int:
        return int(self.truth["seed"])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        width, height = self.truth["size"]
        return int(width), int(height)

    @property
    def num_frames(self) -> int:
        return int(self.truth["num_frames"])

    def frames(self) -> np.ndarray:
        """uint8 T H W 3. ValueError when the file does not hold what the truth says."""
        frames, _, _ = read_video(self.path)
        width, height = self.size
        expected = (self.num_frames, height, width, 3)
        if frames.shape != expected:
            raise ValueError(f"{self.path} holds frames of shape {frames.shape}, its json says {expected}")
        return frames


def clips(folder: str | Path, split: str | None = None, limit: int | None = None) -> list[Sample]:
    """Every complete clip of a folder in the order of its names; with `split` only those of that split.

    `limit`: of the first so many alone.

    ValueError when the folder is missing or holds none, or when a json is missing or lacks a field.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no clip folder {folder}")
    found = []
    for path in sorted(folder.glob("*.mp4"))[:limit]:
        truth_path = path.with_suffix(".json")
        truth = read_json(truth_path)
        for field in ("seed", "size", "num_frames", "captions"):
            if field not in truth:
                raise ValueError(f"{truth_path} has no {field!r}")
        for field in HEAVY:
            truth.pop(field, None)
        if split is None or truth.get("split") == split:
            found.append(Sample(path, truth))
    if not found:
        wanted = "clips (*.mp4 with *.json)" if split is None else f"clips of the split {split!r}"
        raise ValueError(f"{folder} holds no {wanted}; `tenku world --out {folder}` makes some")
    return found
