"""Going on with a causal autoencoder (Wan's): a window at a time, by way of pixels.

Each of its latent frames is made out of all before it, so none can stand in another place. The last frames of what
there is are therefore encoded anew as the beginning of the next window, and what they decode to is left away, as
SkyReels-V2 does (arXiv 2504.13074). Frames are uint8 T H W 3 of a request's own width and height.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tenku.sample.given import encode_at, join, whole_groups
from tenku.sample.long import Change, fill, leading, next_window, window
from tenku.sample.request import Request

if TYPE_CHECKING:
    from tenku.sample.pipeline import OnProgress, Pipeline

OVERLAP = 5  # latent frames, 17 frames, that a window begins with: as many as SkyReels-V2 takes


def onwards(
    pipeline: "Pipeline",
    request: Request,
    given: Tensor,
    known: Tensor,
    *,
    before: np.ndarray | None = None,
    also: Callable[[slice], Change] | None = None,
    on_progress: "OnProgress | None" = None,
) -> Iterator[np.ndarray]:
    """Frames from first to last, as soon as they are decoded; given, known and `also` as in `long.onwards`.

    before: 1 + 4k frames that the first latent frames stand for; they are gone on from and do not come out again.
    """
    most, autoencoder = window(pipeline), pipeline.autoencoder
    seen = np.empty((0, request.height, request.width, 3), np.uint8) if before is None else before
    done = autoencoder.latent_frames(len(seen)) if len(seen) else 0
    while done < len(known):
        part = next_part(known, done, most)
        context = done - part.start
        head = seen[len(seen) - autoencoder.num_frames(context) :] if context else seen[:0]
        latents = given[:, :, done : part.stop]
        latents = join([pipeline.encode(head), latents]) if context else latents
        shown = torch.cat([torch.ones(context, dtype=torch.bool), known[done : part.stop]])
        if not bool(shown.all()):
            step = replace(request, seed=request.seed + done)
            latents = fill(pipeline, step, latents, shown, on_progress, also=also and also(part))
        count = autoencoder.num_frames(latents.shape[2])
        for frames in pipeline.decode(latents, count, skip=len(head), on_progress=on_progress):
            seen = np.concatenate([seen, frames])[-autoencoder.num_frames(most) :]
            yield frames
        done = part.stop


def next_part(known: Tensor, done: int, most: int) -> slice:
    """The window of the frames known (T bool) that gives those from `done` on: given ones that come first are in it,
    so that what is made is made with them, where they are not too many."""
    ahead = leading(known[done:])
    if done + ahead < len(known):
        part = next_window(known, done + ahead, most, OVERLAP)
        if part.start < done or part.start == 0:
            return part
    start = done - min(done, OVERLAP, most // 2)
    return slice(start, min(done + ahead, start + most))


def extended(
    pipeline: "Pipeline",
    request: Request,
    frames: np.ndarray,
    more: int,
    earlier: int,
    *,
    on_progress: "OnProgress | None" = None,
) -> tuple[Iterator[np.ndarray], int]:
    """A clip's frames as they are with `earlier` latent frames made before them and `more` after; how many that gives.

    ValueError for a clip of fewer than 5 frames.
    """
    autoencoder, group = pipeline.autoencoder, pipeline.autoencoder.temporal_compression
    head = whole_groups(frames, group, "end", extra=1)[-autoencoder.num_frames(OVERLAP) :]
    nothing, known = pipeline.nothing_known(replace(request, num_frames=len(head) + more * group))
    known[: autoencoder.latent_frames(len(head))] = True
    before = backwards(pipeline, request, frames, earlier * group, on_progress=on_progress)
    after = onwards(pipeline, request, nothing, known, before=head, on_progress=on_progress)
    return chain([before, frames], after), len(before) + len(frames) + more * group


def backwards(
    pipeline: "Pipeline", request: Request, frames: np.ndarray, count: int, *, on_progress: "OnProgress | None" = None
) -> np.ndarray:
    """`count` frames that come before `frames`, made window by window from the last to the first."""
    most, autoencoder = window(pipeline), pipeline.autoencoder
    context, group = min(OVERLAP, most // 2), autoencoder.temporal_compression
    made = frames[:0]
    while len(made) < count:
        after = whole_groups(np.concatenate([made, frames])[: context * group], group, "start")
        tail = encode_at(pipeline, after, 1)
        new = min(autoencoder.latent_frames(count - len(made)), most - tail.shape[2])
        latents = join([torch.zeros_like(tail[:, :, :1]).expand(-1, -1, new, -1, -1), tail])
        step = replace(request, seed=request.seed + len(made))
        latents = fill(pipeline, step, latents, torch.arange(latents.shape[2]) >= new, on_progress)
        earlier = first_frames(pipeline, latents, autoencoder.num_frames(new), on_progress)
        made = np.concatenate([earlier, made])[-count:]
    return made


def first_frames(
    pipeline: "Pipeline", latents: Tensor, count: int, on_progress: "OnProgress | None" = None
) -> np.ndarray:
    """The first `count` frames of latents 1 C T h w; no more of them are decoded than that takes."""
    pieces = pipeline.decode(latents, pipeline.autoencoder.num_frames(latents.shape[2]), on_progress=on_progress)
    frames = (frame for piece in pieces for frame in piece)
    return np.stack(list(islice(frames, count)))
