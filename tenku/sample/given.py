"""What people bring: pictures and clips from files, and the whole groups of frames in them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tenku.types import Clip

LONGEST_SIDE = 1280  # pixels, the most that the weights of any model were trained on


def read_given(path: str | Path) -> Clip:
    """A picture or clip from a file, its frames no larger than a model takes them. ValueError when it is not one."""
    return Clip.load(path, longest_side=LONGEST_SIDE)


def whole_groups(frames: np.ndarray, group: int, keep: str, extra: int = 0) -> np.ndarray:
    """As many frames as whole groups hold, and `extra`; `keep` says which end of the clip stays: "start" or "end"."""
    count = (len(frames) - extra) // group * group + extra
    if count < group:
        raise ValueError(
            f"a clip of {len(frames)} frames is too short: at least {group + extra} are needed; animate a picture?"
        )
    return frames[:count] if keep == "start" else frames[len(frames) - count :]


def join(pieces: Sequence[Tensor]) -> Tensor:
    """Latents one after the other in time."""
    return torch.cat(list(pieces), dim=2)
