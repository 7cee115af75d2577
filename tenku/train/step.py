"""One training step's loss: a noise level per latent frame, some frames clean, some captions dropped.

Diffusion forcing (arXiv 2407.01392) in the form that serves every task with one set of weights. A sample
has one noise level for all of its frames. In about half of the samples some frames are known instead: at
the head (picture to video, extend), at the tail (extend backwards), at both ends (connect, loop) or
scattered (storyboard). Known frames are clean, t = 0, or carry some noise with its true t (those of each half of
the clip their own), which later keeps long videos from drifting; they are out of the loss. Of those with noise some
are also worn, as the end of a long video is (`train/wear.py`), while what follows stays as it was. A small share has
a level of its own for every frame.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tenku import flow
from tenku.data.loader import upload
from tenku.model import TextEncoder
from tenku.model.precision import autocast
from tenku.train.history_augmentation import wear
from tenku.train.motion import either_side

Network = Callable[..., Tensor]  # a module, compiled or not
KINDS = ("head", "tail", "both", "scattered")


@dataclass(frozen=True)
class Objective:
    """What a training step asks of the model. Shares are of samples and lie in 0..1."""

    shift: float = 1.0
    conditioned: float = 0.5  # with known frames
    kinds: tuple[float, float, float, float] = (0.55, 0.15, 0.15, 0.15)  # head, tail, both, scattered
    noisy: float = 0.5  # of their halves: known frames carry some noise, at most `history_noise`
    history_noise: float = 0.2
    worn: float = 0.7  # of the noisy: known frames are also worn
    independent: float = 0.1  # of the others: every frame has its own noise level
    caption_dropout: float = 0.1
    motion: float = 0.0  # errors where something moves count up to 1 + motion times, see `moving_weights`

    def __post_init__(self) -> None:
        for name in ("conditioned", "noisy", "history_noise", "worn", "independent", "caption_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if self.motion < 0:
            raise ValueError(f"motion must be at least 0, got {self.motion:g}")
        if len(self.kinds) != len(KINDS) or abs(sum(self.kinds) - 1) > 1e-6:
            raise ValueError(f"kinds must be four shares that add up to 1, got {self.kinds}")


def draw_known(batch: int, frames: int, objective: Objective, generator: torch.Generator) -> Tensor:
    """B T bool: which frames of each sample are given. At least one frame of every sample is not."""
    known = torch.zeros(batch, frames, dtype=torch.bool)
    chosen = torch.rand(batch, generator=generator) < objective.conditioned
    kinds = torch.multinomial(torch.tensor(objective.kinds), batch, replacement=True, generator=generator)
    single = torch.rand(batch, 2, generator=generator) < 0.5  # one frame is the most wanted: a picture
    longest = max(1, frames // 2)
    lengths = torch.where(single, 1, torch.randint(1, longest + 1, (batch, 2), generator=generator))
    scattered = torch.rand(batch, frames, generator=generator) < 0.3
    if frames == 1:
        return known
    position = torch.arange(frames)
    head = position < lengths[:, :1]
    tail = position >= frames - lengths[:, 1:]
    for kind, mask in enumerate((head, tail, head | tail, scattered)):
        known |= (chosen & (kinds == kind))[:, None] & mask
    return known & ~known.all(1, keepdim=True)


def draw_times(known: Tensor, objective: Objective, generator: torch.Generator) -> Tensor:
    """B T noise levels for B T known frames, on the CPU."""
    batch, frames = known.shape
    same = flow.sample_time((batch, 1), objective.shift, generator=generator).expand(batch, frames)
    own = flow.sample_time((batch, frames), objective.shift, generator=generator)
    independent = torch.rand(batch, 1, generator=generator) < objective.independent
    t = torch.where(independent & ~known.any(1, keepdim=True), own, same)
    noisy = torch.rand(batch, 2, generator=generator) < objective.noisy
    amount = objective.history_noise * torch.rand(batch, 2, generator=generator)
    half = torch.arange(frames) * 2 // frames  # what lies behind may have been made where what lies ahead was given
    return torch.where(known, torch.where(noisy, amount, 0.0)[:, half], t)


def drop_captions(captions: Sequence[str], share: float, generator: torch.Generator) -> list[str]:
    """Some captions replaced by the empty one, which guidance needs."""
    dropped = torch.rand(len(captions), generator=generator) < share
    return ["" if drop else caption for caption, drop in zip(captions, dropped.tolist(), strict=True)]


@dataclass(frozen=True)
class Question:
    """A noised batch: everything the model is asked with, and what it should answer."""

    data: Tensor  # B C T H W
    shown: Tensor  # B C T H W: the data with worn known frames, noise not yet added
    noise: Tensor  # B C T H W
    t: Tensor  # B T
    known: Tensor  # B T bool
    token_ids: Tensor  # B S
    token_mask: Tensor  # B S bool
    weights: Tensor | None = None  # B 1 T H W: how often errors count, once where there are none

    @property
    def noised(self) -> Tensor:
        return flow.interpolate(self.shown, self.noise, self.t)


def ask(
    data: Tensor,
    captions: Sequence[str],
    text: TextEncoder,
    objective: Objective,
    choice: torch.Generator,
    noise: torch.Generator,
) -> Question:
    """Noise a batch of latents. `choice` is a CPU generator, `noise` one on the device of the latents."""
    device = data.device
    known = draw_known(data.shape[0], data.shape[2], objective, choice)
    t = draw_times(known, objective, choice)
    token_ids, token_mask = text.tokenize(drop_captions(captions, objective.caption_dropout, choice), remember=True)
    if device.type == "cuda":  # few different lengths, so that the compiled graph is met again
        token_ids, token_mask = pad_to_multiple(token_ids, 32), pad_to_multiple(token_mask, 32)
    known, t = upload(known, device), upload(t, device)
    worn = known & (t > 0) & (torch.rand(len(data), 1, generator=noise, device=device) < objective.worn)
    return Question(
        data,
        torch.where(worn[:, None, :, None, None], wear(data, noise), data),
        torch.randn(data.shape, generator=noise, device=device),
        t,
        known,
        upload(token_ids, device),
        upload(token_mask, device),
        moving_weights(data, t, objective.motion) if objective.motion else None,
    )


def moving_weights(data: Tensor, t: Tensor, motion: float) -> Tensor:
    """B 1 T H W, 1 on average over each sample, of latents B C T H W of about unit variance and times B T.

    Up to 1 + motion times as much where a place differs from what it was or will be a latent frame away: small things
    that move are a small part of a clip and most of what people look at. Less so the noisier a sample is: where it
    does not yet show what moves, weights that depend on the outcome would have the mean of all outcomes lean to some.
    """
    change = either_side(data.diff(dim=2).square().mean(1, keepdim=True).sqrt())  # B 1 T H W
    weights = 1 + motion * flow.broadcast_time(1 - t, data) * change.clamp(max=1)
    return weights / weights.mean(dim=(2, 3, 4), keepdim=True)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """B S with zeros (False) appended until S is a multiple."""
    return torch.nn.functional.pad(x, (0, -x.shape[1] % multiple))


def answer(transformer: Network, text: Network, question: Question) -> Tensor:
    """The velocity that the model predicts, B C T H W float32, with products in the fastest type over fp32 weights."""
    with autocast(question.data.device):
        text_embeds = text(question.token_ids, question.token_mask)
        return transformer(question.noised, question.t, text_embeds, question.token_mask).float()


def loss(transformer: Network, text: Network, question: Question) -> Tensor:
    """Mean squared velocity error over the frames that were not given."""
    predicted = answer(transformer, text, question)
    return flow.loss(predicted, question.data, question.noise, question.known, question.weights)
