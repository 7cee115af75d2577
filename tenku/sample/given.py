"""What people bring: pictures and clips from files, the whole groups of frames in them, and their latents."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tenku.types import Clip

if TYPE_CHECKING:
    from tenku.sample.pipeline import Pipeline

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


def encode_at(pipeline: "Pipeline", frames: np.ndarray, index: int) -> Tensor:
    """Latents that may stand at the latent frame `index`: whole groups of uint8 T H W 3, or a picture.

    A causal autoencoder makes the very first latent frame of one picture and each later one of 4 frames and all before
    them; what stands later is therefore encoded as if its own first frame had come before.
    """
    if not pipeline.autoencoder.causal or index == 0:
        return pipeline.encode(frames)
    frames = frames.repeat(pipeline.autoencoder.temporal_compression, axis=0) if len(frames) == 1 else frames
    return pipeline.encode(np.concatenate([frames[:1], frames]))[:, :, 1:]


def join(pieces: Sequence[Tensor]) -> Tensor:
    """Latents one after the other in time."""
    return torch.cat(list(pieces), dim=2)
