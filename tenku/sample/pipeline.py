"""The pipeline: a loaded model that a prompt goes into and a video comes out of. A facade over engine and windows."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

import tenku
from tenku.loading import Components, find, is_open_weights, load_components
from tenku.media.clip import Clip, Stream
from tenku.media.resize import cut
from tenku.media.sound import Sound
from tenku.model.autoencoder import Autoencoder
from tenku.model.settings import ModelSettings
from tenku.model.text import TextEncoder
from tenku.model.transformer import Transformer
from tenku.model.vocabulary import Vocabulary
from tenku.sample.engine import Engine
from tenku.sample.memory import plan_for
from tenku.sample.request import GenerateOptions, Request, make_request
from tenku.sample.user_frames import UserFrames
from tenku.sample.windows import FramesFn, wants_user_frames, windows_for
from tenku.system.machine import keep_freed_memory
from tenku.wan.experts import Experts
from tenku.wan.lora import Lora
from tenku.wan.memory_plan import MemoryPlan
from tenku.wan.umt5 import UMT5
from tenku.wan.vae import WanAutoencoder


class Pipeline:
    """A loaded model: a prompt becomes a Clip."""

    def __init__(self, components: Components) -> None:
        """ValueError when the parts do not fit together."""
        self.engine = Engine(components)
        self.windows = windows_for(self.engine)
        self.loras, self.notes = components.loras, components.notes

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
        """Load a model folder in our layout (model.json) or in diffusers' (open weights).

        device None takes a GPU where there is one. plan: how open weights are held, None for the fastest way that
        fits; the small models have no use for one. loras: merged into the transformer's weights, also as `Lora.parse`
        reads them. Raises ValueError naming the file or tensor that is wrong.
        """
        folder = Path(folder)
        keep_freed_memory()
        if plan is None and is_open_weights(folder):
            plan = plan_for(folder, device=device)
        files = [each if isinstance(each, Lora) else Lora.parse(str(each)) for each in loras]
        return cls(load_components(folder, device=device, dtype=dtype, plan=plan, loras=files))

    @property
    def settings(self) -> ModelSettings:
        return self.engine.settings

    @property
    def autoencoder(self) -> Autoencoder | WanAutoencoder:
        return self.engine.autoencoder

    @property
    def text_encoder(self) -> TextEncoder | UMT5:
        return self.engine.text_encoder

    @property
    def transformer(self) -> Transformer | Experts:
        return self.engine.transformer

    @property
    def device(self) -> torch.device:
        return self.engine.device

    @property
    def timings(self) -> dict[str, float]:
        """Seconds that each stage took since `run` was last called."""
        return self.engine.timings

    def compile(self) -> None:
        """Compile the network: steps take less time from now on, but for the first one of every new kind.

        Another kind are steps with given frames, without guidance, of stills. ValueError: no compiler is there, or
        blocks are offloaded.
        """
        self.engine.compile()

    def generate(self, prompt: str, **options: Unpack[GenerateOptions]) -> Clip:
        """Make a clip of what the prompt says; what is left out of the options comes from the model's own defaults.

        Raises ValueError for what the model cannot make. The same seed and settings give the same frames on the same
        kind of machine.
        """
        return self.stream(prompt, **options).clip()

    def stream(self, prompt: str, **options: Unpack[GenerateOptions]) -> Stream:
        """Make the same video frame by frame: `for frame in pipeline.stream("…", seconds=60)`, each when decoded."""
        return self.run(self.request(prompt, **options))

    def request(self, prompt: str, **options: Unpack[GenerateOptions]) -> Request:
        """Check the options of `generate` without doing the work. Raises ValueError as that would."""
        return make_request(self.settings, self.engine.size_multiple, prompt, **options)

    def run(self, request: Request) -> Stream:
        """The video of a checked request, made while it is read.

        What is longer than the model makes at once is made window by window, in memory that stays the same.
        """
        self.timings.clear()
        if self.autoencoder.latent_frames(request.num_frames) > self.windows.size:
            return self.fill(request)
        self._check_user_frames(())
        return self.video(request, self.engine.frames(request), request.num_frames)

    def fill(
        self,
        request: Request,
        user_frames: Sequence[UserFrames] = (),
        *,
        frames_fn: FramesFn | None = None,
        sound: Sound | None = None,
        **metadata: Any,
    ) -> Stream:
        """The video in which user frames stand at their places and all others are made; see `Windows.fill`."""
        self._check_user_frames(user_frames)
        frames = self.windows.fill(request, user_frames, frames_fn=frames_fn)
        return self.video(request, frames, request.num_frames, sound=sound, **metadata)

    def _check_user_frames(self, user_frames: Sequence[UserFrames]) -> None:
        if self.transformer.config.concat_channels and not any(len(frames) for _, frames in user_frames):
            raise ValueError(wants_user_frames(self.settings.name))

    def video(
        self,
        request: Request,
        frames: Iterable[np.ndarray],
        num_frames: int,
        *,
        sound: Sound | None = None,
        **metadata: Any,
    ) -> Stream:
        """The video of frames (uint8, k H W 3) as they come, cut to the size and length that were asked for.

        sound: of the whole video. metadata: what it remembers beside the request, its task for example.
        """
        shown = cut(frames, num_frames, request.crop)
        width, height = request.size
        shape = {"width": width, "height": height, "num_frames": num_frames, "fps": self.settings.fps}
        told = self.metadata(request) | shape | metadata
        return Stream(shown, self.settings.fps, num_frames, request.size, told, sound)

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
    """Load the pipeline of a shipped or pulled model by name, or of a model folder; see `Pipeline.load`."""
    return Pipeline.load(find(model), device=device, plan=plan, loras=loras)
