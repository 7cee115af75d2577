"""Corrupt latents for a training step, and predict the velocity: a noise level per latent frame.

Diffusion forcing (arXiv 2407.01392) in the form that serves every task with one set of weights. A sample has one noise
level for all of its frames. In about half of the samples some frames are conditioning frames instead: at the head
(image to video, extend), at the tail (extend backwards), at both ends (connect, loop) or scattered (storyboard). They
are clean, t = 0, or carry some noise with its true t (each half of the clip its own), which later keeps long videos
from drifting; they are out of the loss. Some of the noisy ones are also augmented (`history_augmentation.py`). A small
share of samples has a noise level of its own for every frame.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tenku import flow
from tenku.data.loader import upload
from tenku.model import TextEncoder
from tenku.model.precision import autocast
from tenku.train.history_augmentation import augment_history
from tenku.train.motion import either_side

Network = Callable[..., Tensor]  # a module, compiled or not
COND_PATTERNS = ("head", "tail", "both", "scattered")


@dataclass(frozen=True)
class CorruptionConfig:
    """How training data is corrupted. Probabilities are per sample and lie in 0..1."""

    # Keys in RUN/config.json where a field is called otherwise.
    KEYS: ClassVar[Mapping[str, str]] = {
        "cond_prob": "conditioned",
        "cond_patterns": "kinds",
        "history_noise_prob": "noisy",
        "history_noise_max": "history_noise",
        "history_aug_prob": "worn",
        "diffusion_forcing_prob": "independent",
    }

    shift: float = 1.0  # of the noise levels
    cond_prob: float = 0.5  # some frames are conditioning frames
    cond_patterns: tuple[float, float, float, float] = (0.55, 0.15, 0.15, 0.15)  # head, tail, both, scattered
    history_noise_prob: float = 0.5  # for each half of a clip: its conditioning frames carry noise …
    history_noise_max: float = 0.2  # … of at most this level
    history_aug_prob: float = 0.7  # of those with noise: they are augmented too
    diffusion_forcing_prob: float = 0.1  # of samples without conditioning frames: a noise level for every frame
    caption_dropout: float = 0.1
    motion: float = 0.0  # errors where something moves count up to 1 + motion times, see `motion_weights`

    def __post_init__(self) -> None:
        probabilities = ("cond_prob", "history_noise_prob", "history_noise_max", "history_aug_prob")
        for name in (*probabilities, "diffusion_forcing_prob", "caption_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if self.motion < 0:
            raise ValueError(f"motion must be at least 0, got {self.motion:g}")
        if len(self.cond_patterns) != len(COND_PATTERNS) or abs(sum(self.cond_patterns) - 1) > 1e-6:
            raise ValueError(f"cond_patterns must be four shares that add up to 1, got {self.cond_patterns}")


@dataclass(frozen=True)
class TrainingBatch:
    """A corrupted batch: what the network is given, and what its prediction is compared with."""

    latents: Tensor  # B C T H W, the data
    augmented: Tensor  # B C T H W, with augmented conditioning frames, noise not yet added
    noise: Tensor  # B C T H W
    t: Tensor  # B T, noise levels
    cond_mask: Tensor  # B T bool, conditioning frames
    token_ids: Tensor  # B S
    token_mask: Tensor  # B S bool
    loss_weights: Tensor | None = None  # B 1 T H W, None for 1 everywhere

    @property
    def noised(self) -> Tensor:
        """The network's input, B C T H W."""
        return flow.interpolate(self.augmented, self.noise, self.t)

    def loss(self, predicted: Tensor) -> Tensor:
        """Mean squared error of velocities B C T H W, over the frames that are no conditioning frames."""
        return flow.loss(predicted, self.latents, self.noise, self.cond_mask, self.loss_weights)


def corrupt(
    latents: Tensor,
    captions: Sequence[str],
    text: TextEncoder,
    config: CorruptionConfig,
    choice: torch.Generator,
    noise: torch.Generator,
) -> TrainingBatch:
    """Noise a batch of latents B C T H W. `choice` is a CPU generator, `noise` one on the device of the latents."""
    device = latents.device
    cond_mask = draw_cond_mask(latents.shape[0], latents.shape[2], config, choice)
    t = draw_noise_levels(cond_mask, config, choice)
    token_ids, token_mask = text.tokenize(drop_captions(captions, config.caption_dropout, choice), remember=True)
    if device.type == "cuda":  # few different lengths, so that the compiled graph is met again
        token_ids, token_mask = pad_to_multiple(token_ids, 32), pad_to_multiple(token_mask, 32)
    cond_mask, t = upload(cond_mask, device), upload(t, device)
    chosen = torch.rand(len(latents), 1, generator=noise, device=device) < config.history_aug_prob
    changed = cond_mask & (t > 0) & chosen
    return TrainingBatch(
        latents,
        torch.where(changed[:, None, :, None, None], augment_history(latents, noise), latents),
        torch.randn(latents.shape, generator=noise, device=device),
        t,
        cond_mask,
        upload(token_ids, device),
        upload(token_mask, device),
        motion_weights(latents, t, config.motion) if config.motion else None,
    )


def predict_velocity(transformer: Network, text: Network, batch: TrainingBatch) -> Tensor:
    """Predicted velocity B C T H W float32, with products in the fastest type over fp32 weights."""
    with autocast(batch.latents.device):
        text_embeds = text(batch.token_ids, batch.token_mask)
        return transformer(batch.noised, batch.t, text_embeds, batch.token_mask).float()


def draw_cond_mask(batch: int, frames: int, config: CorruptionConfig, generator: torch.Generator) -> Tensor:
    """B T bool: conditioning frames of each sample. At least one frame of every sample is none."""
    mask = torch.zeros(batch, frames, dtype=torch.bool)
    chosen = torch.rand(batch, generator=generator) < config.cond_prob
    kinds = torch.multinomial(torch.tensor(config.cond_patterns), batch, replacement=True, generator=generator)
    single = torch.rand(batch, 2, generator=generator) < 0.5  # one frame is the most wanted: a picture
    longest = max(1, frames // 2)
    lengths = torch.where(single, 1, torch.randint(1, longest + 1, (batch, 2), generator=generator))
    scattered = torch.rand(batch, frames, generator=generator) < 0.3
    if frames == 1:
        return mask
    position = torch.arange(frames)
    head = position < lengths[:, :1]
    tail = position >= frames - lengths[:, 1:]
    for kind, pattern in enumerate((head, tail, head | tail, scattered)):
        mask |= (chosen & (kinds == kind))[:, None] & pattern
    return mask & ~mask.all(1, keepdim=True)


def draw_noise_levels(cond_mask: Tensor, config: CorruptionConfig, generator: torch.Generator) -> Tensor:
    """B T noise levels for B T conditioning frames, on the CPU."""
    batch, frames = cond_mask.shape
    same = flow.sample_time((batch, 1), config.shift, generator=generator).expand(batch, frames)
    each = flow.sample_time((batch, frames), config.shift, generator=generator)
    forcing = torch.rand(batch, 1, generator=generator) < config.diffusion_forcing_prob
    t = torch.where(forcing & ~cond_mask.any(1, keepdim=True), each, same)
    noisy = torch.rand(batch, 2, generator=generator) < config.history_noise_prob
    level = config.history_noise_max * torch.rand(batch, 2, generator=generator)
    half = torch.arange(frames) * 2 // frames  # what lies behind may have been made where what lies ahead was given
    return torch.where(cond_mask, torch.where(noisy, level, 0.0)[:, half], t)


def drop_captions(captions: Sequence[str], probability: float, generator: torch.Generator) -> list[str]:
    """Some captions replaced by the empty one, for classifier-free guidance."""
    dropped = torch.rand(len(captions), generator=generator) < probability
    return ["" if drop else caption for caption, drop in zip(captions, dropped.tolist(), strict=True)]


def motion_weights(latents: Tensor, t: Tensor, motion: float) -> Tensor:
    """Loss weights B 1 T H W, 1 on average over each sample, of latents B C T H W of about unit variance and times B T.

    Up to 1 + motion times as much where a place differs from what it was or will be a latent frame away: small things
    that move are a small part of a clip and most of what people look at. Less so the noisier a sample is: where it
    does not yet show what moves, weights that depend on the outcome would have the mean of all outcomes lean to some.
    """
    change = either_side(latents.diff(dim=2).square().mean(1, keepdim=True).sqrt())  # B 1 T H W
    weights = 1 + motion * flow.broadcast_time(1 - t, latents) * change.clamp(max=1)
    return weights / weights.mean(dim=(2, 3, 4), keepdim=True)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """B S with zeros (False) appended until S is a multiple."""
    return torch.nn.functional.pad(x, (0, -x.shape[1] % multiple))
