"""What people bring: pictures and clips from files, the whole groups of frames in them, and where they stand."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tenku.media.clip import Clip
from tenku.sample.request import Request

if TYPE_CHECKING:
    from tenku.sample.pipeline import Pipeline

# Frames uint8 T H W 3 of a request's own width and height, and the number of the frame where they begin.
Given = tuple[int, np.ndarray]
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


def middles(pipeline: "Pipeline", part: slice) -> list[float]:
    """The moment, in frames of the video, in the middle of each latent frame of some frames."""
    group = pipeline.autoencoder.temporal_compression
    if pipeline.autoencoder.causal:  # the first of them is of one frame
        return [part.start + 0.5, *(frame + group / 2 for frame in range(part.start + 1, part.stop, group))]
    return [frame + group / 2 for frame in range(part.start, part.stop, group)]


def placed(pipeline: "Pipeline", request: Request, given: Sequence[Given]) -> tuple[Tensor, Tensor]:
    """Latents 1 C T h w of a request with given frames at their places, and which are known (T bool).

    Places are whole latent frames, and a picture fills one. Without given frames the latents take no memory.
    """
    latents, known = pipeline.nothing_known(request)
    latents = latents.clone() if given else latents
    for at, frames in given:
        encoded = pipeline.encode(frames)
        start = at // pipeline.autoencoder.temporal_compression
        part = slice(start, start + encoded.shape[2])
        latents[:, :, part], known[part] = encoded, True
    return latents, known


def join(pieces: Sequence[Tensor]) -> Tensor:
    """Latents one after the other in time."""
    return torch.cat(list(pieces), dim=2)
