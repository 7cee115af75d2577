"""User pictures and clips: load them, trim them to whole latent groups, and say where they stand in a video."""

from pathlib import Path

import numpy as np

from tenku.media.clip import Clip

# Frames uint8 T H W 3 of a request's own width and height, and the number of the frame where they begin.
UserFrames = tuple[int, np.ndarray]
LONGEST_SIDE = 1280  # pixels, the most that the weights of any model were trained on


def read_user_clip(path: str | Path) -> Clip:
    """Read a picture or clip from a file, no larger than a model takes it. ValueError when it is not one."""
    return Clip.load(path, longest_side=LONGEST_SIDE)


def whole_groups(frames: np.ndarray, group: int, keep: str, extra: int = 0) -> np.ndarray:
    """Trim frames to whole groups and `extra` frames; `keep` says which end of the clip stays: "start" or "end"."""
    count = (len(frames) - extra) // group * group + extra
    if count < group:
        raise ValueError(
            f"a clip of {len(frames)} frames is too short: at least {group + extra} are needed; animate a picture?"
        )
    return frames[:count] if keep == "start" else frames[len(frames) - count :]
