"""Wan's own video autoencoders, of diffusers, behind the interface of ours.

They are causal: the first latent frame is one picture, each one after it 4 frames. Decoding streams, a latent frame
at a time, with what the decoder's convolutions remember as the state; with tiles, large pictures are decoded in
overlapping parts that remember each for itself. Both give what diffusers gives for the whole.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tenku.model.weights import load_into, part_folder, read_config_file

Memory = list[Tensor | None]  # of one tile: what each convolution of the decoder remembers of the frames before
State = list[Memory]  # of a stream: for every tile


class WanAutoencoder(nn.Module):
    """Video B 3 T H W in [-1, 1] <-> latents B C 1+T/4 H/c W/c of about unit variance, c = 8 (Wan 2.1) or 16 (5B)."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, vae: Any, tiled: bool = False) -> None:
        """vae: diffusers' AutoencoderKLWan."""
        super().__init__()
        self.vae = vae
        self.tiled = tiled  # decode pictures larger than a tile in tiles: less memory, some 1.7 times the work
        config = vae.config
        self.latent_channels: int = config.z_dim
        self.spatial_compression: int = config.scale_factor_spatial
        self.temporal_compression: int = config.scale_factor_temporal
        self.register_buffer("latent_mean", torch.tensor(config.latents_mean).view(-1, 1, 1, 1), persistent=False)
        self.register_buffer("latent_std", torch.tensor(config.latents_std).view(-1, 1, 1, 1), persistent=False)

    def latent_frames(self, num_frames: int) -> int:
        """Latent frames of a video: the first frame has one of its own, each group of 4 after it another."""
        return 1 - (1 - num_frames) // self.temporal_compression

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
        latents = self.vae.encode(video.to(self.dtype)).latent_dist.mode()
        return (latents.float() - self.latent_mean) / self.latent_std

    def decode(self, latents: Tensor) -> Tensor:
        """Latents B C 1+k h w to video B 3 1+4k ch cw."""
        return self.decode_next(latents)[0]

    def decode_next(self, latents: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Decode the next latent frames of a stream; state None at the start, else what the call before returned.

        Piece by piece this gives what `decode` gives at once. ValueError for a wrong shape.
        """
        if latents.ndim != 5 or latents.shape[1] != self.latent_channels or not latents.shape[2]:
            raise ValueError(
                f"latents must be B {self.latent_channels} T h w with T above 0, got {tuple(latents.shape)}"
            )
        z = (latents.float() * self.latent_std + self.latent_mean).to(self.dtype)
        rows, columns = self._tiles(z.shape[3]), self._tiles(z.shape[4])
        started = state is not None
        memories: State = (
            [list(memory) for memory in state]
            if state is not None
            else [[None] * self._convolutions for _ in range(len(rows) * len(columns))]
        )
        frames = []
        for k in range(z.shape[2]):
            parts = [z[:, :, k : k + 1, row, column] for row in rows for column in columns]
            decoded = [
                self._decode_frame(part, memory, first=k == 0 and not started)
                for part, memory in zip(parts, memories, strict=True)
            ]
            frames.append(self._join(decoded, len(columns), z.shape[3], z.shape[4]))
        return torch.cat(frames, dim=2), memories

    @property
    def _convolutions(self) -> int:
        from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

        return sum(isinstance(module, WanCausalConv3d) for module in self.vae.decoder.modules())

    def _decode_frame(self, z: Tensor, memory: Memory, first: bool) -> Tensor:
        """One latent frame of a tile; `memory` goes on to the next."""
        x = self.vae.post_quant_conv(z)
        return self.vae.decoder(x, feat_cache=memory, feat_idx=[0], first_chunk=first)

    def _tiles(self, side: int) -> list[slice]:
        """Where tiles of a side of latents lie: one that holds it all, or overlapping ones as in diffusers."""
        size = self.vae.tile_sample_min_height // self.spatial_compression
        stride = self.vae.tile_sample_stride_height // self.spatial_compression
        if not self.tiled or side <= size:
            return [slice(0, side)]
        return [slice(start, start + size) for start in range(0, side, stride)]

    def _join(self, parts: list[Tensor], columns: int, height: int, width: int) -> Tensor:
        """Decoded tiles, row by row, to one picture: each fades into the ones above and left of it."""
        from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

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
        picture = torch.cat(lines, dim=-2)[..., : height * scale, : width * scale]
        return (unpatchify(picture, patch) if patch > 1 else picture).clamp(-1, 1)


def load_wan_autoencoder(
    folder: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> WanAutoencoder:
    """The autoencoder of a model folder in diffusers' layout (FOLDER/vae) or of the folder itself.

    ValueError names the file or tensor that is missing or wrong; ModuleNotFoundError without diffusers.
    """
    from diffusers import AutoencoderKLWan

    folder = part_folder(folder, "vae")
    config = read_config_file(folder)
    if config.get("_class_name") != "AutoencoderKLWan":
        raise ValueError(f"{folder / 'config.json'}: {config.get('_class_name')!r} is not Wan's AutoencoderKLWan")
    with torch.device("meta"):
        vae = AutoencoderKLWan.from_config(config)
    load_into(vae, folder, dtype=dtype, device=device)
    return WanAutoencoder(vae.eval().requires_grad_(False)).to(device)
