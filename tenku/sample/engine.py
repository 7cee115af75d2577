"""The engine: the parts of a model and where they are. Encode frames, sample latents, decode them.

prompt ─ text encoder ─ Conditioning ─ denoise (guidance → transformer) ─ autoencoder ─ frames
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tenku.loading import Components
from tenku.media.resize import fit
from tenku.model.autoencoder import to_frames, to_video
from tenku.model.compiled import compile_blocks
from tenku.model.transformer import Transformer
from tenku.sample.conditioning import ConditioningFn, from_text
from tenku.sample.denoise import denoise
from tenku.sample.request import OnProgress, Request, say_nothing
from tenku.sample.stopwatch import stopwatch
from tenku.wan.experts import Experts, move

# Latent frames decoded at a time: memory stays the same for a long video, and the first frames come early.
DECODE_FRAMES = 2


class Engine:
    """A loaded model at work. It changes nothing in its parts, which may be in training."""

    def __init__(self, components: Components) -> None:
        """ValueError when the parts do not fit together."""
        transformer, autoencoder, text_encoder = (
            components.transformer,
            components.autoencoder,
            components.text_encoder,
        )
        if transformer.config.latent_channels != autoencoder.latent_channels:
            raise ValueError(
                f"the transformer makes {transformer.config.latent_channels} latent channels, "
                f"the autoencoder takes {autoencoder.latent_channels}"
            )
        if transformer.config.text_size != text_encoder.hidden_size:
            raise ValueError(
                f"the transformer reads text {transformer.config.text_size} wide, "
                f"the text encoder gives {text_encoder.hidden_size}"
            )
        self.settings, self.plan = components.settings, components.plan
        self.transformer, self.autoencoder, self.text_encoder = transformer, autoencoder, text_encoder
        self._device = components.device
        self.timings: dict[str, float] = {}  # seconds that each stage took, added up

    @property
    def device(self) -> torch.device:
        return self._device or self.networks[0].device

    @property
    def networks(self) -> tuple[Transformer, ...]:
        """The transformer, or both experts."""
        return self.transformer.parts() if isinstance(self.transformer, Experts) else (self.transformer,)

    @property
    def size_multiple(self) -> int:
        """Width and height of a video are multiples of this many pixels."""
        return self.autoencoder.spatial_compression * self.transformer.config.patch_size[-1]

    def compile(self) -> None:
        """Compile the network, block by block; see `Pipeline.compile`."""
        for network in self.networks:
            compile_blocks(network)

    @contextmanager
    def at_work(self, *parts: nn.Module) -> Iterator[None]:
        """Bring parts that take turns to the device, the first of them at once, and all back to main memory after."""
        turns = self.plan.model_offload and self.device.type != "cpu"
        if turns:
            move(parts[0], self.device)
        try:
            yield
        finally:
            if turns:
                for part in parts:
                    move(part, torch.device("cpu"))
                torch.cuda.empty_cache()

    def latent_shape(self, request: Request) -> tuple[int, int, int, int, int]:
        """1 C T h w of a request's latents."""
        compression = self.autoencoder.spatial_compression
        return (
            1,
            self.autoencoder.latent_channels,
            self.autoencoder.latent_frames(request.num_frames),
            request.height // compression,
            request.width // compression,
        )

    def noise(self, request: Request) -> Tensor:
        """Draw the noise a request starts from, on the CPU, so that a seed means the same on every device."""
        generator = torch.Generator("cpu").manual_seed(request.seed)
        return torch.randn(self.latent_shape(request), generator=generator).to(self.device)

    @torch.inference_mode()
    def encode(self, frames: np.ndarray | Tensor) -> Tensor:
        """Encode uint8 T H W 3 to latents 1 C T h w: whole groups of frames or one, and one more where they are causal.

        Video 1 3 T H W in [-1, 1] will do as well.
        """
        with self.at_work(self.autoencoder), stopwatch(self.timings, "encode"):
            if isinstance(frames, Tensor):
                return self.autoencoder.encode(frames).float()
            size = self.autoencoder.encode_frames or max(1, len(frames))
            parts = [to_video(frames[start : start + size], self.device) for start in range(0, len(frames), size)]
            return torch.cat([self.autoencoder.encode(part).float() for part in parts], dim=2)

    @torch.inference_mode()
    def sample(self, request: Request, *, conditioning_fn: ConditioningFn | None = None) -> Tensor:
        """Sample latents 1 C T h w of a request. `conditioning_fn` may add to its text: given frames, for example."""
        report = request.on_progress
        with stopwatch(self.timings, "text"):
            report("text", 0, 1)
            conditioning = from_text(self.text_encoder, [request.prompt], request.negative_prompt)
            if conditioning_fn is not None:
                conditioning = conditioning_fn(conditioning)
            report("text", 1, 1)
        with stopwatch(self.timings, "denoise"):
            report("denoise", 0, request.params.num_steps)
            # Offloaded blocks have no turn: they are never there as a whole.
            with nullcontext() if self.plan.block_offload else self.at_work(*self.networks):
                return denoise(
                    self.transformer,
                    self.noise(request),
                    conditioning,
                    request.params,
                    on_step=lambda done, total: report("denoise", done, total),
                    sequential_cfg=self.plan.sequential_cfg,
                )

    def decode(
        self,
        latents: Tensor | Iterable[Tensor],
        num_frames: int,
        *,
        on_progress: OnProgress = say_nothing,
        state: Any = None,
        following: Tensor | None = None,
        is_user_frame: Tensor | None = None,
        skip: int = 0,
    ) -> Iterator[np.ndarray]:
        """Decode latents 1 C T H W, whole or as they come, to frames uint8 k H W 3, in memory that stays the same.

        num_frames: of all of it. state: what the autoencoder remembers of frames before the first, None for nothing.
        following: the latent frame 1 C 1 H W after the last, None where the video ends. is_user_frame: bool, which
        latent frames are somebody's own, the one that `state` comes from first and `following` last; None: none. skip:
        frames at the beginning that are left out.
        """
        total, done, earlier = self.autoencoder.latent_frames(num_frames), 0, int(state is not None)
        pieces = [latents] if isinstance(latents, Tensor) else latents
        size = DECODE_FRAMES if self.autoencoder.streams else total
        for piece, after in with_next(pieces, following, self.autoencoder.looks_ahead):
            parts = piece.split(size, dim=2)
            firsts = [part[:, :, :1] for part in parts[1:]]
            with self.at_work(self.autoencoder):
                on_progress("decode", min(done, total), total)
                for part, next_frame in zip(parts, [*firsts, after], strict=True):
                    # Not around the yield: the mode would leak into the caller.
                    with stopwatch(self.timings, "decode"), torch.inference_mode():
                        seen = slice(done + earlier - int(state is not None), done + earlier + part.shape[2] + 1)
                        own = None if is_user_frame is None else is_user_frame[seen]
                        pixels, state = self.autoencoder.decode_next(part, state, next_frame, own)
                        frames = to_frames(pixels)
                    if skip < len(frames):
                        yield frames[skip:]
                    skip = max(0, skip - len(frames))
                    done += part.shape[2]
                    on_progress("decode", min(done, total), total)

    def likeness(self, picture: np.ndarray) -> float:
        """How well the autoencoder gives a picture (uint8 1 H W 3) back, in dB: the PSNR of its round trip."""
        frames = fit(picture, self.settings.sizes[0]).repeat(self.autoencoder.temporal_compression, axis=0)
        back = np.concatenate(list(self.decode(self.encode(frames), len(frames))))
        error = float(np.mean((back.astype(np.float32) - frames) ** 2))
        return 10 * math.log10(255**2 / max(error, 1e-6))

    def frames(self, request: Request) -> Iterator[np.ndarray]:
        """The frames uint8 k H W 3 of a request that is text alone and no longer than the model makes at once."""
        latents = self.sample(request)
        yield from self.decode(latents, request.num_frames, on_progress=request.on_progress)


def with_next(
    pieces: Iterable[Tensor], following: Tensor | None, looks_ahead: bool
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The same latents 1 C T H W, each piece with the frame after it: its own last one, which then begins the next.

    following: the frame after all of them, None at the end of a video. An autoencoder that does not look ahead gets
    each piece at once.
    """
    held: Tensor | None = None
    for piece in pieces:
        if not looks_ahead:
            yield piece, None
            continue
        piece = piece if held is None else torch.cat([held, piece], dim=2)
        held = piece[:, :, -1:]
        if piece.shape[2] > 1:
            yield piece[:, :, :-1], held
    if held is not None:
        yield held, following
