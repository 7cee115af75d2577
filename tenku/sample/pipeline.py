"""The pipeline: the one place that puts text encoder, transformer and autoencoder together.

prompt -> text encoder -> denoise (guidance -> transformer) -> autoencoder -> frames
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import tenku
from tenku.loading import find, is_open_weights, load_components
from tenku.media.clip import Clip, Stream
from tenku.media.resize import cut
from tenku.model.autoencoder import Autoencoder, to_frames, to_video
from tenku.model.compiled import compile_blocks
from tenku.model.settings import ModelSettings
from tenku.model.text import TextEncoder, Vocabulary
from tenku.model.transformer import Transformer
from tenku.sample import conditioning
from tenku.sample.conditioning import Conditioning
from tenku.sample.denoise import denoise
from tenku.sample.memory import plan_for
from tenku.sample.request import Request, make_request
from tenku.sample.stopwatch import stopwatch
from tenku.sample.user_frames import Given, placed
from tenku.sample.windows import latent, pixel
from tenku.system.machine import keep_freed_memory
from tenku.wan.experts import Experts, move
from tenku.wan.lora import Lora
from tenku.wan.memory_plan import MemoryPlan
from tenku.wan.umt5 import UMT5
from tenku.wan.vae import WanAutoencoder

# Called as on_progress(stage, done, total) with stage "text", "denoise" or "decode"; an exception raised in
# it ends the generation, which is how to cancel one.
OnProgress = Callable[[str, int, int], None]

# Latent frames decoded at a time: memory stays the same for a long video, and the first frames come early.
DECODE_FRAMES = 2
ENCODE_FRAMES = 64  # frames at a time: a long clip needs no more memory than a short one


class Pipeline:
    """A loaded model: a prompt becomes a Clip. It changes nothing in its parts, which may be in training."""

    def __init__(
        self,
        settings: ModelSettings,
        autoencoder: Autoencoder | WanAutoencoder,
        text_encoder: TextEncoder | UMT5,
        transformer: Transformer | Experts,
        *,
        device: torch.device | None = None,
        plan: MemoryPlan | None = None,
        loras: Sequence[Lora] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """device: where the work is done, None for where the transformer is. plan: how the parts share the memory.

        loras: those that are part of the transformer's weights already, for a clip's metadata. notes: what whoever
        loaded it should be told.
        """
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
        self.settings = settings
        self.autoencoder = autoencoder
        self.text_encoder = text_encoder
        self.transformer = transformer
        self.plan = plan or MemoryPlan()
        self.loras, self.notes = tuple(loras), tuple(notes)
        self._device = device
        # Seconds that each stage took, added up; `run` begins anew.
        self.timings: dict[str, float] = {}

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        plan: MemoryPlan | None = None,
        loras: Sequence[Lora | str | Path] = (),
    ) -> "Pipeline":
        """A model folder: model.json with the parts autoencoder, text and transformer beside it, or open weights.

        device None takes a GPU where there is one. plan: how open weights are held, None for the fastest way that
        fits; the small models have no use for one. loras: merged into the transformer's weights, also as `Lora.parse`
        reads them. Raises ValueError naming the file or tensor that is wrong.
        """
        folder, files = Path(folder), [each if isinstance(each, Lora) else Lora.parse(str(each)) for each in loras]
        keep_freed_memory()
        if plan is None and is_open_weights(folder):
            plan = plan_for(folder, device=device)
        parts = load_components(folder, device=device, dtype=dtype, plan=plan, loras=files)
        return cls(
            parts.settings,
            parts.autoencoder,
            parts.text_encoder,
            parts.transformer,
            device=parts.device,
            plan=parts.plan,
            loras=parts.loras,
            notes=parts.notes,
        )

    @property
    def device(self) -> torch.device:
        return self._device or self.networks[0].device

    @property
    def networks(self) -> tuple[Transformer, ...]:
        """The transformer, or both experts."""
        return self.transformer.parts() if isinstance(self.transformer, Experts) else (self.transformer,)

    @contextmanager
    def at_work(self, *parts: nn.Module) -> Iterator[None]:
        """Parts that take turns come to the device, the first of them at once, and all go back to main memory after."""
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

    def compile(self) -> None:
        """From now on the network works compiled: steps take less time, but for the first one of every new kind.

        Another kind are steps with known frames, without guidance, of stills. ValueError: no compiler is there, or
        blocks are streamed.
        """
        for network in self.networks:
            compile_blocks(network)

    @property
    def size_multiple(self) -> int:
        """Width and height of a video are multiples of this many pixels."""
        return self.autoencoder.spatial_compression * self.transformer.config.patch_size[-1]

    def generate(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        seconds: float | None = None,
        size: tuple[int, int] | None = None,
        seed: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        rescale: float | None = None,
        shift: float | None = None,
        solver: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Clip:
        """A clip of what the prompt says.

        size: (width, height) in pixels; seconds: 0 for a still picture; seed None draws one, kept in the
        metadata; rescale: how far guidance leaves contrast as it is, 0 to 1. What is left None comes from the
        model's own defaults. Raises ValueError for what the model cannot make. The same seed and settings give the
        same frames on the same kind of machine.
        """
        request = self.request(
            prompt,
            negative_prompt=negative_prompt,
            seconds=seconds,
            size=size,
            seed=seed,
            steps=steps,
            guidance=guidance,
            rescale=rescale,
            shift=shift,
            solver=solver,
        )
        return self.run(request, on_progress=on_progress).clip()

    def stream(self, prompt: str, *, on_progress: OnProgress | None = None, **options: Any) -> Stream:
        """The same video frame by frame: `for frame in pipeline.stream("…", seconds=60)`, each as soon as it is there.

        The options are those of `generate`, and so are the errors.
        """
        return self.run(self.request(prompt, **options), on_progress=on_progress)

    def request(self, prompt: str, **options: Any) -> Request:
        """Check the options of `generate` without doing the work. Raises ValueError as that would."""
        return make_request(self.settings, self.size_multiple, prompt, **options)

    def run(self, request: Request, *, on_progress: OnProgress | None = None) -> Stream:
        """The video of a checked request, made while it is read.

        What is longer than the model makes at once is made window by window, in memory that stays the same.
        """
        self.timings.clear()
        return self.filled(request, on_progress=on_progress)

    def filled(
        self,
        request: Request,
        given: Sequence[Given] = (),
        *,
        also: Callable[[slice], latent.Change] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Stream:
        """The video in which given frames stand at their places, all others made; `also`: see `latent.onwards`."""
        if self.transformer.config.concat_channels and not any(len(frames) for _, frames in given):
            raise ValueError(pixel.wants_something_given(self.settings.name))
        if self.autoencoder.causal:
            frames = pixel.onwards(self, request, given, also=also, on_progress=on_progress)
        else:
            latents, known = placed(self, request, given)
            pieces = latent.onwards(self, request, latents, known, also=also, on_progress=on_progress)
            frames = self.decode(pieces, request.num_frames, given=known, on_progress=on_progress)
        return self.video(request, frames, request.num_frames)

    def video(self, request: Request, frames: Iterable[np.ndarray], num_frames: int) -> Stream:
        """The video of frames (uint8, k H W 3) as they come, cut to the size and length that were asked for."""
        shown = cut(frames, num_frames, request.crop)
        return Stream(shown, self.settings.fps, num_frames, request.size, self.metadata(request))

    @torch.inference_mode()
    def encode(self, frames: np.ndarray | Tensor) -> Tensor:
        """Latents 1 C T h w of uint8 T H W 3: whole groups of frames or one, and one more where they are causal.

        Video 1 3 T H W in [-1, 1] will do as well.
        """
        with self.at_work(self.autoencoder), stopwatch(self.timings, "encode"):
            if isinstance(frames, Tensor):
                return self.autoencoder.encode(frames).float()
            size = len(frames) if self.autoencoder.causal else ENCODE_FRAMES
            parts = [to_video(frames[start : start + size], self.device) for start in range(0, len(frames), size)]
            return torch.cat([self.autoencoder.encode(part).float() for part in parts], dim=2)

    @torch.inference_mode()
    def latents(
        self,
        request: Request,
        *,
        change: Callable[[Conditioning], Conditioning] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Tensor:
        """Latents 1 C T H W of a request. `change` may add to its conditioning: known frames, for example."""
        report = on_progress or (lambda stage, done, total: None)
        with stopwatch(self.timings, "text"):
            report("text", 0, 1)
            condition = conditioning.from_text(self.text_encoder, [request.prompt], request.negative_prompt)
            if change is not None:
                condition = change(condition)
            report("text", 1, 1)
        with stopwatch(self.timings, "denoise"):
            report("denoise", 0, request.params.num_steps)
            # Streamed blocks have no turn: they are never there as a whole.
            with nullcontext() if self.plan.block_offload else self.at_work(*self.networks):
                return denoise(
                    self.transformer,
                    self.noise(request),
                    condition,
                    request.params,
                    on_step=lambda done, total: report("denoise", done, total),
                    sequential_cfg=self.plan.sequential_cfg,
                )

    def noise(self, request: Request) -> Tensor:
        """Where a request starts. Drawn on the CPU, so that a seed means the same noise on every device."""
        generator = torch.Generator("cpu").manual_seed(request.seed)
        return torch.randn(self.latent_shape(request), generator=generator).to(self.device)

    def nothing_known(self, request: Request) -> tuple[Tensor, Tensor]:
        """Zeros in the shape of a request's latents, which take no memory, and a mask of its frames, all False."""
        shape = self.latent_shape(request)
        return torch.zeros((), device=self.device).expand(shape), torch.zeros(shape[2], dtype=torch.bool)

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

    def decode(
        self,
        latents: Tensor | Iterable[Tensor],
        num_frames: int,
        *,
        on_progress: OnProgress | None = None,
        state: Any = None,
        following: Tensor | None = None,
        given: Tensor | None = None,
        skip: int = 0,
    ) -> Iterator[np.ndarray]:
        """Frames (uint8, k H W 3) of latents 1 C T H W, whole or as they come, piece by piece with constant memory.

        num_frames: of all of it. state: what the autoencoder remembers of frames before the first, None for nothing.
        following: the latent frame 1 C 1 H W after the last, None where the video ends. given: bool, which latent
        frames are somebody's own, the one that `state` comes from first and `following` last; None: none. skip: frames
        at the beginning that are left out.
        """
        total, done, earlier = self.autoencoder.latent_frames(num_frames), 0, int(state is not None)
        pieces = [latents] if isinstance(latents, Tensor) else latents
        size = DECODE_FRAMES if self.autoencoder.streams else total
        report = on_progress or (lambda stage, done, total: None)
        with_next: Iterable[tuple[Tensor, Tensor | None]]
        with_next = ((piece, None) for piece in pieces) if self.autoencoder.causal else one_late(pieces, following)
        for piece, after in with_next:
            parts = piece.split(size, dim=2)
            firsts = [part[:, :, :1] for part in parts[1:]]
            with self.at_work(self.autoencoder):
                report("decode", min(done, total), total)
                for part, next_frame in zip(parts, [*firsts, after], strict=True):
                    # Not around the yield: the mode would leak into the caller.
                    with stopwatch(self.timings, "decode"), torch.inference_mode():
                        seen = slice(done + earlier - int(state is not None), done + earlier + part.shape[2] + 1)
                        own = None if given is None else given[seen]
                        pixels, state = self.autoencoder.decode_next(part, state, next_frame, own)
                        frames = to_frames(pixels)
                    if skip < len(frames):
                        yield frames[skip:]
                    skip = max(0, skip - len(frames))
                    done += part.shape[2]
                    report("decode", min(done, total), total)

    def metadata(self, request: Request) -> dict[str, Any]:
        """What a clip remembers of how it was made: enough to make it again."""
        return {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "steps": request.params.num_steps,
            "guidance": request.params.guidance_scale,
            "rescale": request.params.guidance_rescale,
            "shift": request.params.shift,
            "solver": request.params.solver,
            "model": self.settings.name,
            **({} if request.params.guidance_scale_2 is None else {"low_guidance": request.params.guidance_scale_2}),
            **({"loras": [str(lora) for lora in self.loras]} if self.loras else {}),
            "tenku": tenku.__version__,
        }

    @property
    def vocabulary(self) -> Vocabulary:
        """The words seen in training captions."""
        return self.text_encoder.vocabulary

    def unknown_words(self, prompt: str) -> list[str]:
        """Content words of the prompt that this model never saw in a caption."""
        return self.text_encoder.unknown_words(prompt)

    def is_cut(self, prompt: str) -> bool:
        """Whether the prompt has more tokens than the text encoder reads."""
        return self.text_encoder.is_cut(prompt)


def load(
    model: str | Path = "embedded",
    *,
    device: str | torch.device | None = None,
    plan: MemoryPlan | None = None,
    loras: Sequence[Lora | str | Path] = (),
) -> Pipeline:
    """The pipeline of a shipped or pulled model by name, or of a model folder; see `Pipeline.load`."""
    return Pipeline.load(find(model), device=device, plan=plan, loras=loras)


def one_late(pieces: Iterable[Tensor], following: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The same latents 1 C T H W, each piece with the frame after it: its own last one, which then begins the next.

    following: the frame after all of them, None at the end of a video.
    """
    held: Tensor | None = None
    for piece in pieces:
        piece = piece if held is None else torch.cat([held, piece], dim=2)
        held = piece[:, :, -1:]
        if piece.shape[2] > 1:
            yield piece[:, :, :-1], held
    if held is not None:
        yield held, following
