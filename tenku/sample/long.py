"""Video of any length: a window at a time, each begun with the end of the one before, in latent space.

Nothing goes through pixels on the way and only one window is remembered, so memory and the cost of a second stay the
same. History is shown with a little noise, and the network is told so: it was trained to forgive what is wrong there,
which stops errors from growing (diffusion forcing, arXiv 2407.01392).
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

HISTORY_NOISE = 0.1
Change = Callable[[Conditioning], Conditioning]


def unchanged(condition: Conditioning) -> Conditioning:
    return condition


def window(pipeline: "Pipeline") -> int:
    """The most latent frames that the model makes at a time."""
    return pipeline.autoencoder.latent_frames(pipeline.settings.max_frames)


def leading(known: Tensor) -> int:
    """How many frames are known from the beginning on."""
    return int(known.int().cumprod(0).sum())


def holds(can: str, known: Tensor) -> bool:
    """Whether a model that `can` be given "any", the "first" or "none" of its frames was trained to see these clean."""
    return can == "any" or (can == "first" and not bool(known[1:].any()))


def fill(
    pipeline: "Pipeline",
    request: Request,
    latents: Tensor,
    known: Tensor,
    on_progress: "OnProgress | None" = None,
    known_t: float = 0.0,
    also: Change | None = None,
) -> Tensor:
    """Latents 1 C T h w with the frames that are not known (T bool) made to fit the others and the prompt.

    `also` may ask for more of them. To a model that was not trained to see such frames clean they are shown as noisy
    as what it makes, at every step.
    """

    def change(condition: Conditioning) -> Conditioning:
        condition = also(condition) if also is not None else condition
        if not bool(known.any()):
            return condition
        clean = holds(pipeline.settings.known, known)
        return conditioning.with_known_frames(condition, latents, known, known_t if clean else None)

    if pipeline.autoencoder.latent_frames(request.num_frames) != latents.shape[2]:
        request = replace(request, num_frames=pipeline.autoencoder.num_frames(latents.shape[2]))
    return pipeline.latents(request, change=change, on_progress=on_progress)


def onwards(
    pipeline: "Pipeline",
    request: Request,
    given: Tensor,
    known: Tensor,
    *,
    also: Callable[[slice], Change] = lambda part: unchanged,
    on_progress: "OnProgress | None" = None,
) -> Iterator[Tensor]:
    """Latents 1 C T h w from first to last frame, a window at a time; pieces come as soon as they are made.

    given: the whole clip, of which the frames True in known (T bool) are read. also: what else is asked of a part of
    the clip, a text of its own for example. Each window has a seed of its own, so that it does not repeat the last.
    """
    most, total = window(pipeline), given.shape[2]
    done = leading(known)
    history, own = given[:, :, max(0, done - most) : done], True
    if done:
        yield given[:, :, :done]
    while done < total:
        context = min(history.shape[2], most // 2 if done else 0)
        part = slice(done - context, min(total, done - context + most))
        latents = torch.cat([history[:, :, history.shape[2] - context :], given[:, :, done : part.stop]], dim=2)
        seen = torch.cat([torch.ones(context, dtype=torch.bool), known[done : part.stop]])
        noise = HISTORY_NOISE if context and not own else 0.0  # somebody's own frames are right
        step = replace(request, seed=request.seed + done)
        history = fill(pipeline, step, latents, seen, on_progress, noise, also(part))
        yield history[:, :, context:]
        done, own = part.stop, False


def backwards(
    pipeline: "Pipeline", request: Request, given: Tensor, count: int, *, on_progress: "OnProgress | None" = None
) -> Tensor:
    """`count` latent frames that come before `given`, made window by window from the last to the first."""
    most, pieces, made = window(pipeline), [given[:, :, :0]], 0
    history = given
    while made < count:
        context = min(history.shape[2], most // 2)
        new = min(count - made, most - context)
        seen = history[:, :, :context]
        latents = torch.cat([torch.zeros_like(seen[:, :, :1]).expand(-1, -1, new, -1, -1), seen], dim=2)
        known = torch.arange(context + new) >= new
        step = replace(request, seed=request.seed + made)
        history = fill(pipeline, step, latents, known, on_progress, HISTORY_NOISE if made else 0.0)
        pieces.insert(0, history[:, :, :new])
        made += new
    return torch.cat(pieces, dim=2)
