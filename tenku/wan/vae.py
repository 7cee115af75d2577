"""Wan's causal video VAE (diffusers' AutoencoderKLWan) with the interface of our autoencoder: streaming and tiling.

The first latent frame is one picture, each one after it 4 frames. Decoding streams, a latent frame at a time, with the
feature cache of the decoder's causal convolutions as the state. That cache is large, so where it does not fit,
overlapping tiles are decoded from first to last frame, one after the other; encoding is tiled then too. Both give
what diffusers gives.
"""

import logging
import os
import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tenku.model.weights import load_into, part_folder, read_config_file

ENCODING = threading.Lock()  # diffusers' encoder keeps its feature cache in itself
State = list[Tensor | None]  # of a stream: the feature cache of each causal convolution of the decoder


class WanAutoencoder(nn.Module):
    """Video B 3 T H W in [-1, 1] <-> latents B C 1+T/4 H/c W/c of about unit variance, c = 8 (Wan 2.1) or 16 (5B)."""

    latent_mean: Tensor
    latent_std: Tensor
    causal = True  # a latent frame depends on those before it
    looks_ahead = False  # decoding a piece needs nothing that follows it
    encode_frames: int | None = None  # all frames are encoded at once

    def __init__(self, vae: Any, tiled: bool = False) -> None:
        """vae: diffusers' AutoencoderKLWan."""
        super().__init__()
        self.vae = vae
        self.tiled = tiled  # pictures larger than a tile go through in tiles: less memory, more work
        config = vae.config
        self.latent_channels: int = config.z_dim
        self.spatial_compression: int = config.scale_factor_spatial
        self.temporal_compression: int = config.scale_factor_temporal
        self.register_buffer("latent_mean", torch.tensor(config.latents_mean).view(-1, 1, 1, 1), persistent=False)
        self.register_buffer("latent_std", torch.tensor(config.latents_std).view(-1, 1, 1, 1), persistent=False)

    def latent_frames(self, num_frames: int) -> int:
        """Latent frames of a video: the first frame has one of its own, each group of 4 after it another."""
        return 1 - (1 - num_frames) // self.temporal_compression

    def num_frames(self, latent_frames: int) -> int:
        """The most frames that so many latent frames hold."""
        return 1 + (latent_frames - 1) * self.temporal_compression

    @property
    def dtype(self) -> torch.dtype:
        return self.vae.dtype

    def encode(self, video: Tensor) -> Tensor:
        """B 3 T H W, T = 1 + 4k, to latents B C 1+k H/c W/c. ValueError for other lengths and sides."""
        _, channels, frames, height, width = video.shape
        if channels != 3 or frames % self.temporal_compression != 1:
            raise ValueError(f"video must be B 3 T H W with T one more than a multiple of 4, got {tuple(video.shape)}")
        if height % self.spatial_compression or width % self.spatial_compression:
            raise ValueError(f"width and height must be multiples of {self.spatial_compression}, got {width}x{height}")
        with ENCODING:
            self.vae.use_tiling = self.tiled
            latents = self.vae.encode(video.to(self.dtype)).latent_dist.mode()
        return (latents.float() - self.latent_mean) / self.latent_std

    @property
    def streams(self) -> bool:
        """Whether it decodes piece by piece: tiles are decoded from first to last frame, one after the other."""
        return not self.tiled

    def decode(self, latents: Tensor) -> Tensor:
        """Latents B C 1+k h w to video B 3 1+4k ch cw."""
        if not self.tiled:
            return self.decode_next(latents)[0]
        z = self._raw(latents)
        rows, columns = self.tiles(z.shape[3]), self.tiles(z.shape[4])
        tiles = [self.stream(z[..., row, column], self.nothing())[0] for row in rows for column in columns]
        return self.finish(self.join(tiles, len(columns), z.shape[3], z.shape[4]))

    def decode_next(
        self,
        latents: Tensor,
        state: State | None = None,
        following: Tensor | None = None,
        is_user_frame: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Decode the next latent frames of a stream; state None at the start, else what the call before returned.

        following and is_user_frame are ignored: this decoder is causal. Piece by piece this gives what `decode` gives
        at once; with tiling there is only one piece. ValueError for a wrong shape.
        """
        if self.tiled:
            if state is not None:
                raise ValueError("in tiles a clip is decoded at once: it has no next piece")
            return self.decode(latents), []
        pixels, memory = self.stream(self._raw(latents), self.nothing() if state is None else list(state))
        return self.finish(pixels), memory

    def _raw(self, latents: Tensor) -> Tensor:
        """Unnormalized latents in the dtype of the decoder."""
        if latents.ndim != 5 or latents.shape[1] != self.latent_channels or not latents.shape[2]:
            raise ValueError(
                f"latents must be B {self.latent_channels} T h w with T above 0, got {tuple(latents.shape)}"
            )
        return (latents.float() * self.latent_std + self.latent_mean).to(self.dtype)

    def nothing(self) -> State:
        """The empty feature cache of a stream before its first frame."""
        wan = diffusers().models.autoencoders.autoencoder_kl_wan
        return [None] * sum(isinstance(module, wan.WanCausalConv3d) for module in self.vae.decoder.modules())

    def stream(self, z: Tensor, memory: State) -> tuple[Tensor, State]:
        """Decode unnormalized latents frame by frame; returns pixels and the updated feature cache."""
        first = all(remembered is None for remembered in memory)
        frames = []
        for k, frame in enumerate(z.split(1, dim=2)):
            x = self.vae.post_quant_conv(frame)
            frames.append(self.vae.decoder(x, feat_cache=memory, feat_idx=[0], first_chunk=first and k == 0))
        return torch.cat(frames, dim=2), memory

    def tiles(self, side: int) -> list[slice]:
        """Slices of the tiles along a side of the latents: one for all, or overlapping ones as in diffusers."""
        size = self.vae.tile_sample_min_height // self.spatial_compression
        stride = self.vae.tile_sample_stride_height // self.spatial_compression
        return [slice(start, start + size) for start in range(0, side, stride)] if side > size else [slice(0, side)]

    def join(self, parts: list[Tensor], columns: int, height: int, width: int) -> Tensor:
        """Blend decoded tiles, row by row, into whole frames: each fades into the ones above and left of it."""
        patch = self.vae.config.patch_size or 1
        scale = self.spatial_compression // patch
        stride = self.vae.tile_sample_stride_height // patch
        overlap = self.vae.tile_sample_min_height // patch - stride
        rows = [parts[start : start + columns] for start in range(0, len(parts), columns)]
        lines = []
        for i, row in enumerate(rows):
            line = []
            for j, tile in enumerate(row):
                if i:
                    tile = self.vae.blend_v(rows[i - 1][j], tile, overlap)
                if j:
                    tile = self.vae.blend_h(row[j - 1], tile, overlap)
                line.append(tile[..., : stride if len(rows) > 1 else None, : stride if columns > 1 else None])
            lines.append(torch.cat(line, dim=-1))
        return torch.cat(lines, dim=-2)[..., : height * scale, : width * scale]

    def finish(self, pixels: Tensor) -> Tensor:
        """Unpatchify the decoder's output and clamp it to [-1, 1]."""
        wan = diffusers().models.autoencoders.autoencoder_kl_wan
        patch = self.vae.config.patch_size or 1
        return (wan.unpatchify(pixels, patch) if patch > 1 else pixels).clamp(-1, 1)


def diffusers() -> Any:
    """Import diffusers, without its log messages about optional packages."""
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    for talkative in ("torchao", "torch.utils._pytree"):
        logging.getLogger(talkative).setLevel(logging.ERROR)
    import diffusers

    return diffusers


def load_wan_autoencoder(
    folder: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> WanAutoencoder:
    """Load Wan's VAE of a model folder in diffusers' layout (FOLDER/vae) or of the folder itself.

    ValueError names the file or tensor that is missing or wrong; ModuleNotFoundError without diffusers.
    """
    folder = part_folder(folder, "vae")
    config = read_config_file(folder)
    if config.get("_class_name") != "AutoencoderKLWan":
        raise ValueError(f"{folder / 'config.json'}: {config.get('_class_name')!r} is not Wan's AutoencoderKLWan")
    try:
        with torch.device("meta"):
            vae = diffusers().AutoencoderKLWan.from_config(config)
    except (TypeError, ValueError, RuntimeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{folder / 'config.json'} is none of a Wan autoencoder: {error}") from None
    load_into(vae, folder, dtype=dtype, device=device)
    return WanAutoencoder(vae.eval().requires_grad_(False)).to(device)


# What the published autoencoders' config.json says beside diffusers' defaults, by latent channels.
PUBLISHED: dict[int, dict[str, Any]] = {
    16: {},
    48: {
        "z_dim": 48,
        "base_dim": 160,
        "decoder_base_dim": 256,
        "is_residual": True,
        "patch_size": 2,
        "in_channels": 12,
        "out_channels": 12,
        "scale_factor_spatial": 16,
        "latents_mean": [0.0] * 48,  # not the published numbers: this is for counting alone
        "latents_std": [1.0] * 48,
    },
}


def published_autoencoder(latent_channels: int) -> WanAutoencoder:
    """Wan's VAE in its published size on the meta device, without weights: for counting parameters and memory."""
    with torch.device("meta"):
        return WanAutoencoder(diffusers().AutoencoderKLWan(**PUBLISHED[latent_channels]).eval().requires_grad_(False))
