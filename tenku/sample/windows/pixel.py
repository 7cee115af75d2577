"""Video with a causal autoencoder (Wan's), a window at a time, from frames to frames.

Each of its latent frames is made out of all before it, so none can stand in another place. The last frames of what
there is are therefore encoded anew as the beginning of the next window, and what they decode to is left away, as
SkyReels-V2 does (arXiv 2504.13074). Somebody's own clips come out as they were given. Frames are uint8 T H W 3 of a
request's own width and height.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tenku.media.resize import cut
from tenku.model.autoencoder import to_video
from tenku.sample.request import Request
from tenku.sample.user_frames import Given
from tenku.sample.windows.latent import Change, led, window
from tenku.wan.names import MASK_CHANNELS

if TYPE_CHECKING:
    from tenku.sample.pipeline import OnProgress, Pipeline

OVERLAP = 5  # latent frames, 17 frames, that a window begins with: as many as SkyReels-V2 takes
REMEMBERED = 32  # frames, enough for an overlap


def onwards(
    pipeline: "Pipeline",
    request: Request,
    given: Sequence[Given],
    *,
    also: Callable[[slice], Change] | None = None,
    on_progress: "OnProgress | None" = None,
) -> Iterator[np.ndarray]:
    """Frames from first to last, as soon as they are decoded; `given` in order of time, `also` as in `long.onwards`.

    A picture that the video begins with comes out as the decoder gives it back, like what follows it.
    """
    end = nothing(request)
    seen, done, owed = end, 0, 0  # what there is, of which so many frames have not come out yet
    if pipeline.transformer.config.concat_channels and given:  # such a network begins with nothing out of sight
        at, own = given[0]
        picture = int(len(own) == 1)
        if pipeline.autoencoder.latent_frames(at + picture) - picture >= window(pipeline):
            for frames in backwards(pipeline, request, own, at, also=also, on_progress=on_progress):
                seen, done = np.concatenate([seen, frames])[-REMEMBERED:], done + len(frames)
                yield frames
    for at, own in [*given, (request.num_frames, end)]:
        while done < at:
            pieces = made(pipeline, request, seen, own, done, at - done, owed=owed, also=also, on_progress=on_progress)
            seen, done, owed = seen[: len(seen) - owed], done - owed, 0
            for frames in pieces:
                seen, done = np.concatenate([seen, frames])[-REMEMBERED:], done + len(frames)
                yield frames
        if owed:  # nothing was made after it
            yield seen
        owed = int(done == 0 and len(own) == 1)
        seen, done = np.concatenate([seen, own])[-REMEMBERED:], done + len(own)
        if len(own) and not owed:
            yield own


def backwards(
    pipeline: "Pipeline",
    request: Request,
    frames: np.ndarray,
    count: int,
    *,
    also: Callable[[slice], Change] | None = None,
    on_progress: "OnProgress | None" = None,
) -> list[np.ndarray]:
    """`count` frames that come before `frames`, made window by window from the last to the first; pieces in order."""
    most = window(pipeline)
    longest = pipeline.autoencoder.num_frames(most - min(OVERLAP, most // 2))
    pieces: list[np.ndarray] = []
    while count > 0:
        gap = min(count, longest)
        count -= gap
        piece = made(pipeline, request, nothing(request), frames, count, gap, also=also, on_progress=on_progress)
        pieces.insert(0, np.concatenate(list(piece)))
        frames = np.concatenate([pieces[0], frames[:REMEMBERED]])
    return pieces


def made(
    pipeline: "Pipeline",
    request: Request,
    seen: np.ndarray,
    own: np.ndarray,
    done: int,
    gap: int,
    *,
    owed: int = 0,
    fade: float = 1.0,
    also: Callable[[slice], Change] | None = None,
    on_progress: "OnProgress | None" = None,
) -> Iterator[np.ndarray]:
    """Frames from the number `done` on, made in one window: all of a gap to `own`, or as many as there is room for.

    seen, own: somebody's frames, or made ones, before and after the gap; either may be none. owed: frames at the end of
    `seen` that come out too, as the decoder gives them back. A gap is filled in whole latent frames; what is too much
    is cut off at its end, or at its start where a clip comes after it and nothing before. A picture fills a latent
    frame, with what is left of the gap. fade: as in `long.led`; image-to-video networks have no use for it.
    """
    autoencoder, group, most = pipeline.autoencoder, pipeline.autoencoder.temporal_compression, window(pipeline)
    context = min(OVERLAP, most // 2, -(-len(seen) // group))
    picture = int(len(own) == 1)
    whole = -(-(gap + picture) // group) - picture
    if context and len(own) and whole <= most - 2:  # then all of it, at the price of less that is seen before it
        context = min(context, most - 1 - whole)
    head = seen[len(seen) - autoencoder.num_frames(context) :] if context else seen[:0]
    needed = max(1, whole if context else autoencoder.latent_frames(gap + picture) - picture)
    room = most - context
    after = max(1, len(own) // group) if len(own) else 0
    if needed < room:
        new, after = needed, min(after, OVERLAP, room - needed)
    else:  # the last window is left two latent frames, to make them with what comes then in sight
        new, after = min(room, max(1, needed - 2) if after else needed), 0

    length = context + new + (after if picture else 0)  # latent frames that frames are taken from
    count = autoencoder.num_frames(length)
    fresh = min(gap, count - len(head))
    early = count - fresh if not context and after and not picture else 0  # frames before the gap
    begin = done - len(head) - early
    step = replace(request, seed=request.seed + done, num_frames=autoencoder.num_frames(context + new + after))
    asked = also and also(slice(begin, begin + step.num_frames))
    if pipeline.transformer.config.concat_channels:
        ahead = own if after else nothing(request)
        change = with_given(pipeline, step, [(0, head), (len(head) + early + gap, ahead)], asked)
        latents = pipeline.latents(step, change=change, on_progress=on_progress)
    else:
        start = pipeline.encode(head) if context else None
        end = encode_after(pipeline, own[: after * group]) if after else None
        latents = led(pipeline, step, start, end, new, on_progress, fade=fade, also=asked)
    pieces = pipeline.decode(latents[:, :, :length], count, skip=early + len(head) - owed, on_progress=on_progress)
    yield from cut(pieces, owed + fresh)


def encode_after(pipeline: "Pipeline", frames: np.ndarray) -> Tensor:
    """Latents of frames that come after others: encoded as if the first of them had come before. A picture stays."""
    group = pipeline.autoencoder.temporal_compression
    missing = -len(frames) % group
    return pipeline.encode(np.concatenate([frames[:1], frames, frames[-1:].repeat(missing, axis=0)]))[:, :, 1:]


def with_given(pipeline: "Pipeline", request: Request, given: Sequence[Given], also: Change | None) -> Change:
    """What Wan's image-to-video networks read beside the latents: a mask of given frames, and these in a grey video.

    They learned to begin with one frame, to go on with several, and to lead from some to others (arXiv 2503.20314).
    """
    video = torch.zeros(1, 3, request.num_frames, request.height, request.width, device=pipeline.device)
    there = torch.zeros(request.num_frames, device=pipeline.device)
    for at, frames in given:
        seen = frames[: request.num_frames - at]
        video[:, :, at : at + len(seen)], there[at : at + len(seen)] = to_video(seen, pipeline.device), 1.0
    latents = pipeline.encode(video)
    # A channel for each frame of a latent frame; the first of these is of one frame, which has them all.
    mask = torch.cat([there[:1].expand(MASK_CHANNELS), there[1:]]).view(1, -1, MASK_CHANNELS, 1, 1).transpose(1, 2)
    beside = torch.cat([mask.expand(-1, -1, -1, *latents.shape[3:]), latents], dim=1)
    return lambda condition: replace(also(condition) if also else condition, concat_latents=beside)


def wants_something_given(name: str) -> str:
    """What a model is for that makes nothing out of text alone."""
    return (
        f"{name} makes videos out of a picture or clip that they begin or end with (animate, extend, connect, "
        "loop --clip): for text alone, or to remix, take a text-to-video model"
    )


def nothing(request: Request) -> np.ndarray:
    """No frames, of a request's size."""
    return np.empty((0, request.height, request.width, 3), np.uint8)
