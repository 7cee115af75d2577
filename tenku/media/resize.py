"""Pictures and clips of any size, shape and frame rate, made to fit a model, and what it makes to fit a video."""

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from tenku.media.clip import Clip
from tenku.media.limits import MAX_FRAMES, size_covering


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) from "128x128", "80×48" or "80*48". ValueError for anything else."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*[xX×*]\s*(\d{1,6})\s*", text)
    if not match or "0" in match.groups():
        raise ValueError(f"size {text!r} should be WIDTHxHEIGHT in pixels, for example 128x128")
    return int(match[1]), int(match[2])


def nearest_size(sizes: Sequence[tuple[int, int]], size: tuple[int, int]) -> tuple[int, int]:
    """Of the sizes (that a model was trained on), the one whose aspect is nearest to that of (width, height)."""
    aspect = np.log(size[0] / size[1])
    return min(sizes, key=lambda each: abs(np.log(each[0] / each[1]) - aspect))


def covering(shown: tuple[int, int], sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """A shown (width, height) made as small as still covers that of the sizes whose aspect is nearest."""
    return size_covering(*shown, nearest_size(sizes, shown))


def fit(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 T H W 3 scaled to fill (width, height), what overhangs cut off evenly on both sides."""
    width, height = size
    own_height, own_width = frames.shape[1:3]
    scale = min(own_width / width, own_height / height)  # own pixels for one of the model's
    left, top = (own_width - scale * width) / 2, (own_height - scale * height) / 2
    box = (left, top, left + scale * width, top + scale * height)
    # Lanczos when it gets smaller (it averages what vanishes), bicubic when it grows.
    method = Image.Resampling.LANCZOS if scale > 1 else Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, method, box=box)) for frame in frames])


def cut(pieces: Iterable[np.ndarray], count: int, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
    """The first `count` frames of pieces k H W 3 as they come, the middle (width, height) of each; None: all of it."""
    for frames in pieces:
        width, height = size or (frames.shape[2], frames.shape[1])
        left, top = (frames.shape[2] - width) // 2, (frames.shape[1] - height) // 2
        if count > 0 and len(frames):
            yield frames[:count, top : top + height, left : left + width]
        count -= len(frames)


def at_rate(clip: Clip, fps: float) -> np.ndarray:
    """The clip's frames as a video of another frame rate shows them: at each moment, the one that is seen then.

    ValueError for a clip so long that it has too many of them.
    """
    count = max(1, round(clip.seconds * fps))
    if count > MAX_FRAMES:
        longest = MAX_FRAMES / fps
        raise ValueError(f"a clip of {clip.seconds:.0f} s is too long: at most {longest:.0f} s can be taken up")
    moments = (np.arange(count) + 0.5) / fps * clip.fps
    return clip.frames[np.minimum(moments.astype(int), len(clip.frames) - 1)]
