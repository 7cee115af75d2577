"""Video of any length: a window at a time, each begun with the end of the one before, in latent space.

Nothing goes through pixels on the way and only one window is remembered, so memory and the cost of a second stay the
same. History is shown with a little noise, and the network is told so: it was trained to forgive what is wrong there,
which stops errors from growing (diffusion forcing, arXiv 2407.01392; 2 % as in SkyReels-V2, arXiv 2504.13074).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tenku.sample import conditioning
from tenku.sample.request import Request
from tenku.types import Conditioning

if TYPE_CHECKING:
    from tenku.sample.pipeline import OnProgress, Pipeline

HISTORY_NOISE = 0.02


def window(pipeline: "Pipeline") -> int:
    """The most latent frames that the model makes at a time."""
    return pipeline.autoencoder.latent_frames(pipeline.settings.max_frames)


def fill(
    pipeline: "Pipeline",
    request: Request,
    latents: Tensor,
    known: Tensor,
    on_progress: "OnProgress | None" = None,
    known_t: float = 0.0,
    also: Callable[[Conditioning], Conditioning] = lambda condition: condition,
) -> Tensor:
    """Latents 1 C T h w with the frames that are not known (T bool) made to fit the others and the prompt.

    `also` may ask for more of them.
    """

    def change(condition: Conditioning) -> Conditioning:
        return also(conditioning.with_known_frames(condition, latents, known, known_t))

    if pipeline.autoencoder.latent_frames(request.num_frames) != latents.shape[2]:
        request = replace(request, num_frames=latents.shape[2] * pipeline.autoencoder.temporal_compression)
    return pipeline.latents(request, change=change, on_progress=on_progress)


def windows(
    pipeline: "Pipeline",
    request: Request,
    history: Tensor | None,
    count: int,
    *,
    at_end: bool = True,
    on_progress: "OnProgress | None" = None,
) -> Iterator[Tensor]:
    """`count` new latent frames in pieces, each after (or before) all that there was; history None: from nothing.

    Each window has a seed of its own, so that it does not repeat the one before it.
    """
    most, made = window(pipeline), 0
    if history is None:
        history = pipeline.latents(replace(request, num_frames=pipeline.settings.max_frames), on_progress=on_progress)
        yield history
        made = history.shape[2]
    given = made == 0
    while made < count:
        context = min(history.shape[2], most // 2)
        new = min(count - made, most - context)
        seen = history[:, :, -context:] if at_end else history[:, :, :context]
        blank = torch.zeros_like(seen[:, :, :1]).expand(-1, -1, new, -1, -1)
        known = torch.zeros(context + new, dtype=torch.bool)
        known[slice(0, context) if at_end else slice(new, None)] = True
        whole = torch.cat([seen, blank] if at_end else [blank, seen], dim=2)
        step = replace(request, seed=request.seed + made)
        noise = 0.0 if given and not made else HISTORY_NOISE  # somebody's own frames are right
        history = fill(pipeline, step, whole, known, on_progress, noise)
        yield history[:, :, context:] if at_end else history[:, :, :new]
        made += new
