"""Classifier-free guidance (arXiv 2207.12598): away from the negative prompt, towards the prompt."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tenku import flow
from tenku.model.settings import SamplingParams
from tenku.model.transformer import KeysValues, Transformer
from tenku.sample.conditioning import Conditioning
from tenku.wan.experts import Experts

MIN_TIME = 1e-3


class GuidedVelocity:
    """The transformer's velocity under guidance: latents B C T H W at a time in [0, 1] to B C T H W.

    Prompt and negative prompt go through the network in one call; guidance 1 asks for the prompt alone and costs half.
    The texts' keys and values are computed once for all steps. Of two experts, the one for the noise level works, and
    its keys and values are computed when its turn comes, after the other's are gone.
    """

    def __init__(
        self,
        transformer: Transformer | Experts,
        conditioning: Conditioning,
        params: SamplingParams,
        sigma: Callable[[float], Tensor],
        *,
        sequential_cfg: bool = False,
    ) -> None:
        """sigma: how noisy each clip (B,) or each latent frame (B, T) is at a time.

        sequential_cfg: two calls of the network instead of one of twice the size, which takes half the memory.
        """
        self.transformer, self.conditioning, self.params = transformer, conditioning, params
        self.sigma, self.sequential_cfg = sigma, sequential_cfg
        self.network: Transformer | None = None  # that works now
        self.keys_values: KeysValues = []  # of both texts, and of each alone
        self.prompt_only: KeysValues = []
        self.negative_only: KeysValues = []

    def __call__(self, latents: Tensor, t: float) -> Tensor:
        t = flow.round_to_timestep(t, self.params.num_train_timesteps)
        self._choose_network(t)
        assert self.network is not None
        sigma, beside = self.sigma(t), self.conditioning.channel_cond
        read = latents if beside is None else torch.cat([latents, beside.to(latents)], dim=1)
        if self.scale == 1:
            return self.network(read, sigma, None, self.prompt_mask, text_keys_values=self.prompt_only)
        if self.sequential_cfg:
            prompt = self.network(read, sigma, None, self.prompt_mask, text_keys_values=self.prompt_only)
            negative = self.network(read, sigma, None, self.negative_mask, text_keys_values=self.negative_only)
        else:
            both = self.network(read, sigma, None, self.mask, text_keys_values=self.keys_values, texts=2)
            prompt, negative = both.chunk(2)
        guided = negative + self.scale * (prompt - negative)
        rescale = self.params.guidance_rescale
        return rescaled(guided, prompt, latents, sigma, rescale) if rescale else guided

    def _choose_network(self, t: float) -> None:
        """Let the transformer, or the expert for the noise level t, work from now on."""
        network, self.scale = self.transformer, self.params.guidance_scale
        if isinstance(network, Experts):
            is_low = t < network.boundary
            if is_low and self.params.guidance_scale_2 is not None:
                self.scale = self.params.guidance_scale_2
            network = network.low if is_low else network.high
        if network is self.network:
            return
        self.keys_values = self.prompt_only = self.negative_only = []
        if isinstance(self.transformer, Experts):
            self.transformer.take_turn(network)
        self.network = network
        self._read_texts(network)

    def _read_texts(self, network: Transformer) -> None:
        """Keys and values of the prompt and, under guidance, of the negative prompt: as one batch, and each alone."""
        text = self.conditioning
        embeds, self.mask = _rows(text.text_embeds, text.text_mask)
        batch = embeds.shape[0]
        if self.scale != 1:
            negative, negative_mask = _rows(text.negative_embeds, text.negative_mask)
            embeds, self.mask = _stack(embeds, self.mask, *_repeated(negative, negative_mask, batch))
        self.keys_values = network.text_keys_values(embeds)
        self.prompt_only = [(k[:batch], v[:batch]) for k, v in self.keys_values]
        self.negative_only = [(k[batch:], v[batch:]) for k, v in self.keys_values]
        self.prompt_mask = None if self.mask is None else self.mask[:batch]
        self.negative_mask = None if self.mask is None else self.mask[batch:]


def rescaled(guided: Tensor, prompt: Tensor, latents: Tensor, t: Tensor, amount: float) -> Tensor:
    """Take back the contrast that guidance adds: each frame of the data gets the deviation that the prompt alone has.

    All B C T H W float32, t (B,) or (B, T). amount: how far, from 0 to 1 (arXiv 2305.08891, section 3.4; here of the
    predicted data, since a velocity is half noise, which nothing exaggerates).
    """
    usual, data = (flow.data_from_velocity(latents, velocity, t) for velocity in (prompt, guided))
    frame = (1, 3, 4)
    deviation = data.std(frame, keepdim=True).clamp(min=1e-6)
    factor = 1 + amount * (usual.std(frame, keepdim=True) / deviation - 1)
    # Where t = 0 a frame is given, and nobody reads its velocity.
    return (latents - factor * data) / flow.broadcast_time(t, latents).clamp(min=MIN_TIME)


def _rows(embeds: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Texts of each latent frame, B T S D, as (B T) S D; one text for all frames stays B S D."""
    return embeds.flatten(0, -3), None if mask is None else mask.flatten(0, -2)


def _repeated(embeds: Tensor, mask: Tensor | None, count: int) -> tuple[Tensor, Tensor | None]:
    """Each row as often as there are latent frames with a text of their own, so that there are `count` rows."""
    times = count // len(embeds)
    return embeds.repeat_interleave(times, 0), None if mask is None else mask.repeat_interleave(times, 0)


def _stack(
    embeds: Tensor, mask: Tensor | None, negative: Tensor, negative_mask: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Prompt and negative prompt as one batch, the shorter one padded."""
    if mask is None and negative_mask is None and embeds.shape[1] == negative.shape[1]:
        return torch.cat([embeds, negative]), None
    length = max(embeds.shape[1], negative.shape[1])
    rows, masks = [], []
    for text, seen in ((embeds, mask), (negative, negative_mask)):
        seen = torch.ones(text.shape[:2], dtype=torch.bool, device=text.device) if seen is None else seen
        missing = length - text.shape[1]
        rows.append(F.pad(text, (0, 0, 0, missing)))
        masks.append(F.pad(seen, (0, missing)))
    return torch.cat(rows), torch.cat(masks)
