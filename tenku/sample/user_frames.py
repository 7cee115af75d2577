"""User pictures and clips: load them, trim them to whole latent groups, and say where they stand in a video."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tenku.loading import find, settings_of
from tenku.media.clip import Clip
from tenku.media.resize import covering
from tenku.media.sound import Sound, cut
from tenku.sample.request import SIZE_REACH

# Frames uint8 T H W 3 of a request's own width and height, and the number of the frame where they begin.
UserFrames = tuple[int, np.ndarray]
LONGEST_SIDE = 1280  # pixels, the most that the weights of any model were trained on
ROUND_UP = 32  # pixels by which a model may make a video larger than was asked for, to cut it


@dataclass(frozen=True)
class Needed:
    """What a model takes of a file, so that no more is kept: (width, height)s that it makes, and its frame rate."""

    sizes: tuple[tuple[int, int], ...]
    fps: float

    def in_size(self, size: tuple[int, int] | None) -> "Needed":
        """Of a video for which a (width, height) was asked; None: none was."""
        return self if size is None else replace(self, sizes=((size[0] + ROUND_UP, size[1] + ROUND_UP),))

    def size_fn(self, shown: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) in which a file is read: a video that the model could make stays as it is."""
        if max(shown) <= SIZE_REACH * max(max(size) for size in self.sizes):
            return shown
        return covering(shown, self.sizes)


def needed_by(model: str | Path, size: tuple[int, int] | None = None) -> Needed:
    """What a model (a name or a folder) takes of files, for a video of a size; its weights are not read.

    ValueError: there is no such model.
    """
    settings = settings_of(find(model))
    return Needed(settings.sizes, settings.fps).in_size(size)


def read_user_clip(path: str | Path, needed: Needed | None = None, *, sound: bool = False) -> Clip:
    """Read a picture or clip from a file, no larger than a model takes it. ValueError when it is not one."""
    if needed is None:
        return Clip.load(path, longest_side=LONGEST_SIDE, sound=sound)
    return Clip.load(path, size_fn=needed.size_fn, fps=needed.fps, sound=sound)


def read_user_picture(path: str | Path, needed: Needed | None = None) -> Clip:
    """Read a picture, or the first frame of a clip, no larger than a model takes it. ValueError when it is neither."""
    if needed is None:
        return Clip.load(path, longest_side=LONGEST_SIDE, sound=False, first_only=True)
    return Clip.load(path, size_fn=needed.size_fn, sound=False, first_only=True)


def whole_groups(frames: np.ndarray, group: int, keep: str, extra: int = 0) -> np.ndarray:
    """Trim frames to whole groups and `extra` frames; `keep` says which end of the clip stays: "start" or "end"."""
    count = (len(frames) - extra) // group * group + extra
    if count < group:
        raise ValueError(
            f"a clip of {len(frames)} frames is too short: at least {group + extra} are needed; animate a picture?"
        )
    return frames[:count] if keep == "start" else frames[len(frames) - count :]


def sound_beside(clip: Clip, num_frames: int, fps: float, keep: str) -> Sound | None:
    """What is heard beside those `num_frames` of a clip at another rate that `keep` says ("start" or "end")."""
    if clip.sound is None:
        return None
    first = 0 if keep == "start" else max(1, round(clip.seconds * fps)) - num_frames
    return cut(clip.sound, first / fps, num_frames / fps)
