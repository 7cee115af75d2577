"""The video diffusion transformer (DiT): Wan's architecture with a timestep per latent frame.

Patch embedding, self-attention with 3-D rotary position embeddings (RoPE over time, height, width), cross-attention to
the text, feed-forward; adaptive layer norm (adaLN) modulates every block by the timestep.
State-dict names and shapes are those of the published Wan 2.1 / 2.2 text-to-video weights, so those load
without renaming.

Reference: Wan: Open and Advanced Large-Scale Video Generative Models (arXiv 2503.20314),
github.com/Wan-Video/Wan2.2.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tenku.model.attention import attention

KeysValues = list[tuple[Tensor, Tensor]]

ROPE_THETA = 10000.0


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a transformer. text_size: width of the text embeddings; time_size: of the sinusoidal timestep embedding.

    concat_channels: input channels after those of the latents, for image-to-video (`wan.names.concat_channels`).
    ValueError: sizes that do not fit together.
    """

    latent_channels: int = 16
    hidden_size: int = 256
    depth: int = 6
    num_heads: int = 2
    ffn_size: int = 1024
    text_size: int = 256
    time_size: int = 256
    patch_size: tuple[int, int, int] = (1, 2, 2)
    eps: float = 1e-6
    concat_channels: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch_size", tuple(self.patch_size))
        if self.hidden_size % self.num_heads or self.hidden_size // self.num_heads % 2:
            raise ValueError(f"hidden_size {self.hidden_size} over {self.num_heads} heads must give an even head size")
        if len(self.patch_size) != 3 or self.patch_size[0] != 1:
            raise ValueError(f"patch_size must be (1, height, width), got {self.patch_size}")
        if self.time_size % 2:
            raise ValueError(f"time_size must be even, got {self.time_size}")

    @property
    def in_channels(self) -> int:
        """Channels of the input: latents and condition."""
        return self.latent_channels + self.concat_channels


class Transformer(nn.Module):
    """Predict the velocity = noise - data from noisy latents, timesteps and text embeddings."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        width, patch = config.hidden_size, config.patch_size
        self.patch_embedding = nn.Conv3d(config.in_channels, width, kernel_size=patch, stride=patch)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_size, width), nn.GELU(approximate="tanh"), nn.Linear(width, width)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.time_size, width), nn.SiLU(), nn.Linear(width, width))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks: Any = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.head = Head(config)
        self.reset_parameters()

    @property
    def dtype(self) -> torch.dtype:
        return self.patch_embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.patch_embedding.weight.device

    def forward(
        self,
        latents: Tensor,
        t: Tensor,
        text_embeds: Tensor | None,
        text_mask: Tensor | None = None,
        *,
        text_keys_values: KeysValues | None = None,
        texts: int = 1,
    ) -> Tensor:
        """Velocity of the latents.

        latents: B C T H W, noisy, and `concat_channels` more where the network reads those; t: (B,) or (B, T),
        1 = noise, 0 = data, one level per sample or per latent frame. text_embeds: B S D, or B T S D with a
        text for each latent frame; text_mask: bool of the same shape without D, False where padded, or None
        when every position counts. text_keys_values: the result of `text_keys_values(text_embeds)`, to compute
        it once for many steps. Returns B C T H W in the dtype of `latents`. texts: the same latents under each
        of so many texts, whose rows are (texts * B); then so are the rows returned, and what comes before the
        first look at the text is computed once for all of them.
        Raises ValueError when shapes do not fit together.
        """
        grid = self._check(latents, t)
        if text_keys_values is None:
            if text_embeds is None:
                raise ValueError("text_embeds is needed unless text_keys_values is given")
            text_keys_values = self.text_keys_values(text_embeds)

        x = self._patches(latents)  # B L D
        time = self.embed_time(t if t.dim() == 2 else t[:, None]).repeat(texts, 1, 1)  # (texts * B) F D, F = 1 or T
        modulation = self.time_projection(time).float().unflatten(-1, (6, -1))  # (texts * B) F 6 D
        rotary = rotary_table(grid, self.config.hidden_size // self.config.num_heads, x.device)

        if text_mask is not None:
            text_mask = text_mask.flatten(0, -2)  # B S, or (B T) S

        x = x.float()  # the residual stream stays in fp32 whatever the weights are
        for block, keys_values in zip(self.blocks, text_keys_values, strict=True):
            x = block(x, modulation, keys_values, text_mask, rotary)  # (texts * B) L D from the first block on
        x = self.head(x, time)  # B L (patch * C)
        return self._unpatch(x, grid).to(latents.dtype)  # B C T H W

    def text_keys_values(self, text_embeds: Tensor) -> KeysValues:
        """Cross-attention keys and values of every block for B S D or B T S D text: the same at every step."""
        text = self.text_embedding(text_embeds.to(self.dtype).flatten(0, -3))  # B S D, or (B T) S D
        return [block.cross_attn.keys_values(text) for block in self.blocks]

    def embed_time(self, t: Tensor) -> Tensor:
        """Sinusoidal embedding of timesteps in [0, 1] of any shape, then an MLP to hidden_size."""
        half = self.config.time_size // 2
        frequencies = torch.exp(-math.log(10000.0) / half * torch.arange(half, device=t.device, dtype=torch.float32))
        angles = 1000.0 * t.float()[..., None] * frequencies
        return self.time_embedding(torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.dtype))

    def _check(self, latents: Tensor, t: Tensor) -> tuple[int, int, int]:
        """The patch grid (T, H/2, W/2), or a ValueError that says what does not fit."""
        if latents.dim() != 5:
            raise ValueError(f"latents must be B C T H W, got shape {tuple(latents.shape)}")
        batch, channels, frames, height, width = latents.shape
        if channels != self.config.in_channels:
            raise ValueError(f"latents have {channels} channels, this transformer takes {self.config.in_channels}")
        _, patch_height, patch_width = self.config.patch_size
        if height % patch_height or width % patch_width:
            raise ValueError(
                f"latent height and width must be multiples of {patch_height} and {patch_width}, got {height}x{width}"
            )
        if tuple(t.shape) not in ((batch,), (batch, frames)):
            raise ValueError(f"t must have shape ({batch},) or ({batch}, {frames}), got {tuple(t.shape)}")
        return frames, height // patch_height, width // patch_width

    def _patches(self, latents: Tensor) -> Tensor:
        """Patch embedding, B C T H W to B L D: a convolution whose stride is its kernel, as one matrix product."""
        _, p, q = self.config.patch_size
        x = latents.unflatten(4, (-1, q)).unflatten(3, (-1, p))  # B C T h p w q
        x = x.permute(0, 2, 3, 5, 1, 4, 6).flatten(4).flatten(1, 3)  # B L (C p q)
        return F.linear(x.to(self.dtype), self.patch_embedding.weight.flatten(1), self.patch_embedding.bias)

    def _unpatch(self, x: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """B L (p q C) to B C T H W. Wan puts channels last in a patch here, first in `_patches`."""
        _, p, q = self.config.patch_size
        x = x.unflatten(2, (p, q, -1)).unflatten(1, grid)  # B T h w p q C
        return x.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)

    def reset_parameters(self) -> None:
        """Initialize for training from scratch.

        The output starts at zero and so does the influence of time, while self-attention and the
        feed-forward layer start half open: small models learn much faster than from gates of about zero.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embedding.weight.view(self.config.hidden_size, -1))
        nn.init.zeros_(self.patch_embedding.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.time_projection[1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.head.head.weight)
        residual_std = 0.02 / math.sqrt(2 * self.config.depth)
        for block in self.blocks:
            for last in (block.self_attn.o, block.cross_attn.o, block.ffn[2]):
                nn.init.normal_(last.weight, std=residual_std)
            with torch.no_grad():
                block.modulation.zero_()
                block.modulation[:, [2, 5]] = 0.5


class Block(nn.Module):
    """Transformer block: self-attention, cross-attention to the text, feed-forward; adaLN on the first and last."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.eps = config.eps
        self.modulation = nn.Parameter(torch.empty(1, 6, width))
        self.self_attn = SelfAttention(config)
        self.norm3 = nn.LayerNorm(width, eps=config.eps)
        self.cross_attn = CrossAttention(config)
        self.ffn = nn.Sequential(
            nn.Linear(width, config.ffn_size), GELU(approximate="tanh"), nn.Linear(config.ffn_size, width)
        )

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        text: tuple[Tensor, Tensor],
        text_mask: Tensor | None,
        rotary: Tensor,
    ) -> Tensor:
        """x: B L D; modulation: N F 6 D. Returns N L D: where N > B, each clip is repeated for its N / B texts."""
        dtype, clips = self.norm3.weight.dtype, len(x)
        # Each N F D: one row for every latent frame, or a single one for all of them.
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + modulation).unbind(2)
        h = modulate(layer_norm(x, self.eps), shift1[:clips], scale1[:clips])
        x = x + gate(self.self_attn(h.to(dtype), rotary), gate1[:clips])
        if clips < len(modulation):
            x = x.repeat(len(modulation) // clips, 1, 1)
        h = F.layer_norm(x, x.shape[-1:], self.norm3.weight.float(), self.norm3.bias.float(), self.eps)
        x = x + self.cross_attn(h.to(dtype), text, text_mask)
        h = modulate(layer_norm(x, self.eps), shift2, scale2)
        return x + gate(self.ffn(h.to(dtype)), gate2)


class Attention(nn.Module):
    """The layers of multi-head attention with RMS-normed queries and keys."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_heads
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.o = nn.Linear(width, width)
        self.norm_q = RMSNorm(width, config.eps)
        self.norm_k = RMSNorm(width, config.eps)


class SelfAttention(Attention):
    """Full self-attention over the tokens of a clip, with RMS-normed, rotary-embedded queries and keys."""

    def forward(self, x: Tensor, rotary: Tensor) -> Tensor:
        heads = (self.num_heads, -1)
        v = self.v(x).unflatten(-1, heads)  # B L H D
        q = rotate(self.norm_q(self.q(x)).unflatten(-1, heads), rotary).to(v.dtype)
        k = rotate(self.norm_k(self.k(x)).unflatten(-1, heads), rotary).to(v.dtype)
        return self.o(attention(q, k, v).flatten(2))


class CrossAttention(Attention):
    """Cross-attention from video tokens to text, with RMS-normed queries and keys."""

    def keys_values(self, text: Tensor) -> tuple[Tensor, Tensor]:
        heads = (self.num_heads, -1)
        v = self.v(text).unflatten(-1, heads)  # B S H D
        return self.norm_k(self.k(text)).unflatten(-1, heads).to(v.dtype), v

    def forward(self, x: Tensor, text: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        k, v = text
        batch = len(x)
        x = x.unflatten(1, (len(k) // batch, -1)).flatten(0, 1)  # where each frame has its text: (B T) L/T D
        q = self.norm_q(self.q(x)).unflatten(-1, (self.num_heads, -1)).to(v.dtype)  # B L H D
        x = self.o(attention(q, k, v, mask).flatten(2))
        return x.unflatten(0, (batch, -1)).flatten(1, 2)


class Head(nn.Module):
    """Modulated output projection: tokens to patches of velocity."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.head = nn.Linear(config.hidden_size, math.prod(config.patch_size) * config.latent_channels)
        self.modulation = nn.Parameter(torch.randn(1, 2, config.hidden_size) / config.hidden_size**0.5)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = (self.modulation.float() + time.float()[:, :, None]).unbind(2)  # B F D each
        return self.head(modulate(layer_norm(x, self.eps), shift, scale).to(self.head.weight.dtype))


class GELU(nn.GELU):
    """GELU's tanh form. Compiled, as x times the logistic function of 2u where the form has tanh(u).

    The two are equal, and an exponential takes a third of a hyperbolic tangent's time on a CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            return super().forward(x)
        y = x.float()
        u = math.sqrt(2 / math.pi) * (y + 0.044715 * y * y * y)
        return (y * torch.sigmoid(2 * u)).to(x.dtype)


class RMSNorm(nn.Module):
    """Root-mean-square norm over the full width (all heads together), computed and returned in fp32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        mean_square = (x * x).mean(-1, keepdim=True)  # square() would be several times slower on CPU
        return x * torch.rsqrt(mean_square + self.eps) * self.weight.float()


def layer_norm(x: Tensor, eps: float) -> Tensor:
    """Layer norm over the last axis without weights."""
    return F.layer_norm(x, x.shape[-1:], eps=eps)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """adaLN shift and scale, x: B L D; shift, scale: B F D, where L is F frames of equally many tokens."""
    frames = x.unflatten(1, (shift.shape[1], -1))  # B F S D
    return torch.addcmul(shift[:, :, None], frames, 1 + scale[:, :, None]).flatten(1, 2)


def gate(x: Tensor, amount: Tensor) -> Tensor:
    """adaLN gate, x: B L D times amount: B F D, frame by frame."""
    return (x.unflatten(1, (amount.shape[1], -1)) * amount[:, :, None]).flatten(1, 2)


def rotate(x: Tensor, rotary: Tensor) -> Tensor:
    """Apply rotary position embeddings: fp32 x (B L H D), angles per token (L 1 D/2 2: cos and sin)."""
    pairs = x.unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling() and x.device.type != "cpu":  # real numbers fuse with what is around them
        sign = 2 * torch.arange(2, device=x.device) - 1  # (-1, 1); a stack of both would be written to memory
        return (pairs * rotary[..., :1] + pairs.flip(-1) * (rotary[..., 1:] * sign)).flatten(-2)
    # Op by op, a complex product is one pass over memory: on CPU ten times as fast.
    return torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(rotary)).flatten(-2)


def rotary_table(grid: tuple[int, int, int], head_size: int, device: torch.device) -> Tensor:
    """3-D rotary angles as cos and sin (L 1 head_size/2 2) for a grid of frames x height x width tokens.

    Height and width take 2 * (head_size // 6) numbers of each head, time takes the rest.
    """
    if torch.compiler.is_compiling():
        return _rotary_table(grid, head_size, device)
    return _cached_rotary_table(grid, head_size, device)


def _rotary_table(grid: tuple[int, int, int], head_size: int, device: torch.device) -> Tensor:
    frames, height, width = grid
    space_size = 2 * (head_size // 6)

    def angles(count: int, size: int) -> Tensor:
        exponents = torch.arange(0, size, 2, dtype=torch.float64, device=device) / size
        return torch.outer(torch.arange(count, dtype=torch.float64, device=device), ROPE_THETA**-exponents)

    axes = [
        angles(frames, head_size - 2 * space_size)[:, None, None].expand(-1, height, width, -1),
        angles(height, space_size)[None, :, None].expand(frames, -1, width, -1),
        angles(width, space_size)[None, None].expand(frames, height, -1, -1),
    ]
    table = torch.cat(axes, dim=-1).flatten(0, 2)[:, None]  # L 1 D/2
    return torch.stack([table.cos(), table.sin()], dim=-1).float()


@lru_cache(maxsize=32)
def _cached_rotary_table(grid: tuple[int, int, int], head_size: int, device: torch.device) -> Tensor:
    # A table made under inference mode could not be used in training.
    with torch.inference_mode(False), torch.no_grad():
        return _rotary_table(grid, head_size, torch.device("cpu")).to(device)  # not every device has float64
