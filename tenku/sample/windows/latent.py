"""Video of any length: a window at a time, each begun with the end of the one before, in latent space.

Nothing goes through pixels on the way and only one window is remembered, so memory and the cost of a second stay the
same. History is shown with a little noise, and the network is told so: it was trained to forgive what is wrong there,
which stops errors from growing (diffusion forcing, arXiv 2407.01392; `train/wear.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tenku.sample import conditioning
from tenku.sample.conditioning import Conditioning
from tenku.sample.request import Request
from tenku.sample.user_frames import join

if TYPE_CHECKING:
    from tenku.sample.pipeline import OnProgress, Pipeline

HISTORY_NOISE = 0.1
# Of what guidance adds, so much where a video just goes on: what was made shows already what the prompt says, and what
# guidance exaggerates would be exaggerated again in every window.
GUIDANCE_SHARE = 1 / 2
Change = Callable[[Conditioning], Conditioning]


def window(pipeline: "Pipeline") -> int:
    """The most latent frames that the model makes at a time."""
    return pipeline.autoencoder.latent_frames(pipeline.settings.max_frames)


def leading(known: Tensor) -> int:
    """How many frames are known from the beginning on."""
    return int(known.int().cumprod(0).sum())


def shown_at(can: str, known_t: float | Tensor, frames: int) -> float | Tensor:
    """At what noise a model that `can` be given "any", the "first" or "none" of its frames is shown known ones.

    What it was not trained to see clean is as noisy as what it makes.
    """
    if can == "any":
        return known_t
    levels = torch.ones(frames)
    if can == "first":
        levels[0] = 0.0
    return levels


def fill(
    pipeline: "Pipeline",
    request: Request,
    latents: Tensor,
    known: Tensor,
    on_progress: "OnProgress | None" = None,
    known_t: float | Tensor = 0.0,
    also: Change | None = None,
) -> Tensor:
    """Latents 1 C T h w with the frames that are not known (T bool) made to fit the others and the prompt.

    `also` may ask for more of them. known_t: the noise that they are shown with to a model that was trained for it.
    """

    def change(condition: Conditioning) -> Conditioning:
        condition = also(condition) if also is not None else condition
        if not bool(known.any()):
            return condition
        level = shown_at(pipeline.settings.known, known_t, len(known))
        return conditioning.with_known_frames(condition, latents, known, level)

    if pipeline.autoencoder.latent_frames(request.num_frames) != latents.shape[2]:
        request = replace(request, num_frames=pipeline.autoencoder.num_frames(latents.shape[2]))
    return pipeline.latents(request, change=change, on_progress=on_progress)


def led(
    pipeline: "Pipeline",
    request: Request,
    head: Tensor | None,
    tail: Tensor | None,
    new: int,
    on_progress: "OnProgress | None" = None,
    *,
    fade: float = 1.0,
    also: Change | None = None,
) -> Tensor:
    """Latents `head`, then `new` ones that are made to lead from it to `tail`, and `tail`; either end may be None.

    fade: the noise level of a cross-fade of both ends that the new ones are made out of; at 1 nothing of it is left.
    """
    middle, _ = pipeline.nothing_known(replace(request, num_frames=pipeline.autoencoder.num_frames(new)))
    if head is not None and tail is not None:
        share = torch.linspace(0, 1, new + 2, device=head.device)[1:-1].view(-1, 1, 1).to(head.dtype)
        middle = torch.lerp(head[:, :, -1:], tail[:, :, :1], share)
    parts = [(head, True), (middle, False), (tail, True)]
    whole = join([part for part, _ in parts if part is not None])
    known = torch.tensor([given for part, given in parts if part is not None for _ in range(part.shape[2])])

    def begin_with_both(condition: Conditioning) -> Conditioning:
        condition = also(condition) if also is not None else condition
        return replace(condition, start_latents=whole, strength=fade) if fade < 1 else condition

    return fill(pipeline, request, whole, known, on_progress, also=begin_with_both)


def onwards(
    pipeline: "Pipeline",
    request: Request,
    given: Tensor,
    known: Tensor,
    *,
    also: Callable[[slice], Change] | None = None,
    on_progress: "OnProgress | None" = None,
) -> Iterator[Tensor]:
    """Latents 1 C T h w from first to last frame, a window at a time; pieces come as soon as they are made.

    given: the whole clip, of which the frames True in known (T bool) are read. also: what else is asked of some frames
    of the video, a text of its own for example, which what was made does not show yet. Each window has a seed of its
    own, so that it does not repeat the last.
    """
    most, done, group = window(pipeline), 0, pipeline.autoencoder.temporal_compression
    history = given[:, :, :0]
    while done < len(known):
        if there := leading(known[done:]):
            piece = given[:, :, done : done + there]
        else:
            part = next_window(known, done, most)
            context = done - part.start
            latents = torch.cat([history[:, :, history.shape[2] - context :], given[:, :, done : part.stop]], dim=2)
            seen = torch.cat([torch.ones(context, dtype=torch.bool), known[done : part.stop]])
            step = replace(request, seed=request.seed + done)
            own = bool(known[part.start : done].all())  # somebody's frames are right
            noise = torch.full((len(seen),), 0.0 if own else HISTORY_NOISE)
            noise[context:] = 0.0  # as what is given ahead is
            if also is None and not own:
                step = going_on(step)
            asked = also and also(slice(part.start * group, part.stop * group))
            piece = fill(pipeline, step, latents, seen, on_progress, noise, asked)[:, :, context:]
        yield piece
        history = torch.cat([history, piece], dim=2)[:, :, -most:]
        done += piece.shape[2]


def going_on(request: Request) -> Request:
    """The request of a window that only goes on with what was made."""

    def less(scale: float) -> float:
        return 1 + GUIDANCE_SHARE * (scale - 1)

    scale, low = request.params.guidance_scale, request.params.guidance_scale_2
    params = replace(request.params, guidance_scale=less(scale), guidance_scale_2=None if low is None else less(low))
    return replace(request, params=params)


def next_window(known: Tensor, done: int, most: int) -> slice:
    """Which of the frames known (T bool) the model is shown to make those from `done` on.

    Half of them lie before `done`; where given frames come next, as many of the ones before and of those are shown as
    there is room for, so that what is made leads up to them. A gap too wide for one window is filled in several, the
    last of which is left two frames where the window has room for that. What fits into one window is seen whole.
    """
    gap, total = leading(~known[done:]), len(known)
    if total <= most:
        return slice(0, total)
    context = min(done, most // 2)
    stop = min(total, done - context + most)
    around = max(1, (most - gap) // 2)
    if done + gap < total and stop < min(total, done + gap + around):
        if gap <= most - 4:
            stop = min(total, done + gap + around)
            context = min(done, most - (stop - done))
        else:
            stop = min(stop, done + max(1, gap - 2))
    return slice(done - context, stop)


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
        step, noise = (going_on(step), HISTORY_NOISE) if made else (step, 0.0)
        history = fill(pipeline, step, latents, known, on_progress, noise)
        pieces.insert(0, history[:, :, :new])
        made += new
    return torch.cat(pieces, dim=2)
