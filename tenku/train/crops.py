"""Draw random crops from clip folders that may still be growing: decoded once, kept in memory as uint8.

A thread of its own decodes, so training starts with the first clips and meets the others as they come.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tenku.data.readers import read_ahead, start_readers
from tenku.media.reader import read_video

FIRST = 64  # clips to wait for, or all there are
RELIST_SECONDS = 10.0
AHEAD = 8  # clips read while one is taken in
CANDIDATES = 4  # places looked at for a crop that moves


class ClipCache:
    """The clips of some folders as tensors uint8 T H W 3 on a device, up to a number of bytes.

    `start` waits until the first clips are there. Damaged clips are passed over and named in `skipped`.
    Clips come in a shuffled order that is the same each time, so with at most FIRST clips the cache is too.
    """

    def __init__(
        self, folders: Sequence[Path], max_bytes: int, seed: int = 0, device: torch.device | str = "cpu"
    ) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise ValueError(f"there is no clip folder {folder}")
        self.folders, self.max_bytes, self.device = list(folders), max_bytes, torch.device(device)
        self.clips: list[Tensor] = []
        self.skipped: list[str] = []
        self._random = np.random.default_rng(seed)
        self._known: set[Path] = set()
        self._bytes = 0
        self._ready, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._read_all, name="clips", daemon=True)

    def start(self) -> None:
        """Returns when there is something to train on. ValueError when there is nothing."""
        self._thread.start()
        self._ready.wait()
        if not self.clips:
            names = ", ".join(map(str, self.folders))
            reason = f"; {self.skipped[0]}" if self.skipped else "; `tenku world` makes some"
            raise ValueError(f"no clips (*.mp4) to train on in {names}{reason}")

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _read_all(self) -> None:
        try:
            with start_readers(self.device.type) as readers:
                while not self._stopped.is_set():
                    self._read_new(readers)
                    self._ready.set()
                    if self._bytes >= self.max_bytes:
                        return
                    self._stopped.wait(RELIST_SECONDS)
        finally:
            self._ready.set()

    def _read_new(self, readers: Executor) -> None:
        new = [path for folder in self.folders for path in sorted(folder.glob("*.mp4")) if path not in self._known]
        first = min(FIRST, len(new))
        shuffled = [new[index] for index in self._random.permutation(len(new))]
        for path, reading in read_ahead(readers, read_frames, shuffled, AHEAD):
            if self._stopped.is_set() or self._bytes >= self.max_bytes:
                return
            self._known.add(path)
            try:
                frames = reading.result()
            except ValueError as error:
                self.skipped.append(str(error))
                continue
            self._bytes += frames.nbytes
            self.clips.append(torch.from_numpy(frames).to(self.device))
            if len(self.clips) >= first:
                self._ready.set()


def read_frames(path: Path) -> np.ndarray:
    return read_video(path)[0]


def crop_shape(clip: Tensor, size: int, frames: int, multiple: int = 8) -> tuple[int, int, int]:
    """(frames, height, width) of the crops of a clip: whole groups of 4 and multiples of pixels, or all zero."""
    length, *sides = clip.shape[:3]
    height, width = (min(size, side) // multiple * multiple for side in sides)
    shape = min(frames, length) // 4 * 4, height, width
    return shape if min(shape) else (0, 0, 0)


def draw_crops(
    clips: Sequence[Tensor],
    batch_size: int,
    size: int,
    frames: int,
    random: np.random.Generator,
    motion_prob: float = 0.0,
    multiple: int = 8,
) -> Tensor:
    """uint8 B 3 T H W: crops of one shape from random places and moments, half of them mirrored.

    Both sides are multiples of `multiple` pixels, at most `size`.

    Every pixel of every clip is as likely as any other, so larger clips are drawn more often. The first clip drawn
    decides the shape; the others are drawn until they offer it too. A crop is, with the probability `motion_prob`, that
    of CANDIDATES which changes most over time: most places of most clips stand still, and what moves is the hard part.
    ValueError when a clip is smaller than a single latent.
    """
    pixels = np.cumsum([clip.numel() for clip in clips])
    shape: tuple[int, int, int] | None = None
    crops: list[Tensor] = []
    while len(crops) < batch_size:
        clip = clips[int(np.searchsorted(pixels, random.random() * pixels[-1], side="right"))]
        own = crop_shape(clip, size, frames, multiple)
        if not all(own):
            length, height, width = clip.shape[:3]
            raise ValueError(f"a clip of {length} frames {width}x{height} is too small to train on")
        if shape is None:
            shape = own
        if own != shape:
            continue
        choices = [_cut(clip, shape, random) for _ in range(CANDIDATES if random.random() < motion_prob else 1)]
        crop = max(choices, key=_change) if len(choices) > 1 else choices[0]
        crops.append(crop.flip(2) if random.random() < 0.5 else crop)
    return torch.stack(crops).permute(0, 4, 1, 2, 3)


def _cut(clip: Tensor, shape: tuple[int, int, int], random: np.random.Generator) -> Tensor:
    starts = [int(random.integers(have - need + 1)) for have, need in zip(clip.shape, shape, strict=False)]
    return clip[tuple(slice(start, start + need) for start, need in zip(starts, shape, strict=True))]


def _change(crop: Tensor) -> float:
    """How much a crop changes from frame to frame, looked at in every third pixel."""
    return float(crop[:, ::3, ::3].to(torch.int16).diff(dim=0).abs().float().mean())


def cut_to_fit(frames: np.ndarray) -> np.ndarray:
    """Whole groups of 4 frames, and multiples of 8 pixels."""
    length, height, width = frames.shape[:3]
    return frames[: max(1, length // 4 * 4), : height // 8 * 8, : width // 8 * 8]
