"""The words the rooms share: a clip, what a generation is conditioned on, and how it is sampled."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from tenku.sheet import contact_sheet
from tenku.video import read_video, write_gif, write_png, write_video, write_webp

SOLVERS = ("euler", "multistep", "heun", "unipc")
KNOWN = ("any", "first", "none")  # which frames a model can be given
WEIGHTS = ("bf16", "int8", "fp8")  # how a transformer's weights may be held; float32 where bf16 is only emulated


@dataclass
class Clip:
    """A video in memory. frames: uint8, T H W 3, full-range RGB; fps: frames a second."""

    frames: np.ndarray
    fps: float
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frames = self.frames
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
            raise ValueError(f"frames must be uint8 of shape (T, H, W, 3), got {frames.dtype} {frames.shape}")
        try:
            self.fps = float(self.fps)
        except (TypeError, ValueError):
            raise ValueError(f"fps must be a number, got {self.fps!r}") from None
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps must be above 0, got {self.fps}")

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.fps

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.frames.shape[2], self.frames.shape[1]

    def save(self, path: str | Path) -> None:
        """Write .mp4 (with the metadata in it), .gif, .webp or .png (contact sheet of a video).

        Raises ValueError for another ending and OSError when the place cannot be written.
        """
        ending = check_ending(path)
        if ending == ".mp4":
            write_video(path, self.frames, self.fps, metadata=as_text(self.metadata))
        elif ending == ".gif":
            write_gif(path, self.frames, self.fps)
        elif ending == ".webp":
            write_webp(path, self.frames, self.fps)
        else:
            picture = self.frames[0] if len(self.frames) == 1 else contact_sheet([self.frames])
            write_png(path, picture)

    @classmethod
    def load(cls, path: str | Path, *, longest_side: int | None = None) -> "Clip":
        """Read a video or picture file, larger frames made as small as `longest_side` pixels.

        Raises ValueError when it is not one.
        """
        frames, fps, metadata = read_video(Path(path), longest_side=longest_side)
        return cls(frames, fps, dict(metadata))


@dataclass
class Stream:
    """A video as it is made: each frame comes as soon as it is decoded, and memory holds only a few of them.

    pieces: uint8 k H W 3, made while they are read, once. num_frames, size: of all of it, (width, height) in pixels.
    """

    pieces: Iterator[np.ndarray]
    fps: float
    num_frames: int
    size: tuple[int, int]
    metadata: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames H W 3, one by one."""
        for piece in self.pieces:
            yield from piece

    def clip(self) -> Clip:
        """All of it, in memory. ValueError when it has been read before."""
        pieces = list(self.pieces)
        if not pieces:
            raise ValueError("this video has been read already: frames of a stream come once")
        return Clip(np.concatenate(pieces), self.fps, self.metadata)

    def save(self, path: str | Path) -> None:
        """As `Clip.save`; an .mp4 is written frame by frame."""
        if check_ending(path) == ".mp4":
            write_video(path, self.pieces, self.fps, metadata=as_text(self.metadata))
        else:
            self.clip().save(path)


def check_ending(path: str | Path) -> str:
    """The ending of a file that can be written. ValueError for another one, before any work."""
    ending = Path(path).suffix.lower()
    if ending not in (".mp4", ".gif", ".webp", ".png"):
        raise ValueError(f"cannot write {Path(path).name}: the name should end in .mp4, .gif, .webp or .png")
    return ending


def as_text(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Metadata for a file: strings as they are, everything else as JSON, NumPy's numbers as numbers."""

    def told(value: Any) -> str:
        return (
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=lambda each: each.item())
        )

    return {key: told(value) for key, value in metadata.items()}


@dataclass(frozen=True)
class Conditioning:
    """What a generation must agree with: a text, one to stay away from, and known latent frames.

    text_embeds, negative_embeds: B S D with bool masks B S (the lengths S may differ); the prompt's may be B T S D, a
    text for each latent frame. known_latents: B C T H W of which the frames marked True in known_mask (B T bool) are
    given; known_t: the noise level that they are shown to the network with (one, or T): 0 for none, and never more than
    all others have, so that 1 is for networks that were never shown frames without noise. start_latents: what the clip
    is made out of instead of noise alone, noised to the level `strength` (one, or B T); the places True in keep
    (broadcastable to B C T H W) stay as they are there. cyclic: time is a circle, the last frame leads to the first.
    concat_latents: B G T H W, what networks with `concat_channels` read beside the latents.
    """

    text_embeds: Tensor
    text_mask: Tensor | None
    negative_embeds: Tensor
    negative_mask: Tensor | None
    known_latents: Tensor | None = None
    known_mask: Tensor | None = None
    known_t: Tensor | float = 0.0
    start_latents: Tensor | None = None
    strength: float | Tensor = 1.0
    keep: Tensor | None = None
    cyclic: bool = False
    concat_latents: Tensor | None = None


@dataclass(frozen=True)
class SamplingParams:
    """How noise becomes latents. Guidance applies where its interval (low, high) holds t.

    low_guidance: that of the second of two experts, None for the same. guidance_rescale: how far it leaves contrast as
    it is without guidance, from 0 to 1 (`sample.guidance.rescaled`).
    levels: how many noise levels the weights know, None for any (flow.schedule, flow.to_level).
    """

    num_steps: int = 8
    guidance_scale: float = 3.0
    shift: float = 3.0
    solver: str = "multistep"
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_rescale: float = 0.0
    levels: int | None = None
    low_guidance: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.num_steps <= 1000:
            raise ValueError(f"steps must be between 1 and 1000, got {self.num_steps}")
        for scale in (self.guidance_scale, self.low_guidance or 0):
            if not 0 <= scale <= 50:
                raise ValueError(f"guidance must be between 0 and 50, got {scale}")
        if not 0.01 <= self.shift <= 100:
            raise ValueError(f"shift must be between 0.01 and 100, got {self.shift}")
        if self.solver not in SOLVERS:
            raise ValueError(f"unknown solver {self.solver!r}; choose one of {', '.join(SOLVERS)}")
        low, high = self.guidance_interval
        if not 0 <= low <= high <= 1:
            raise ValueError(f"guidance_interval must lie within 0 and 1, got ({low}, {high})")
        if not 0 <= self.guidance_rescale <= 1:
            raise ValueError(f"guidance_rescale must be between 0 and 1, got {self.guidance_rescale}")


@dataclass(frozen=True)
class Plan:
    """How the parts of large weights are held, from most memory and speed to least.

    weights: bf16, int8 or fp8, of the transformer's blocks. apart: text encoder, transformer and autoencoder take turns
    on the device. tiled: large pictures are decoded in tiles. one_by_one: prompt and negative prompt run one after the
    other. stream: the blocks lie in main memory and come to the GPU one at a time; the text encoder stays there.
    """

    weights: str = "bf16"
    apart: bool = False
    tiled: bool = False
    one_by_one: bool = False
    stream: bool = False

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights are held as {', '.join(WEIGHTS)}, not {self.weights!r}")
        if self.stream and self.weights != "bf16":
            raise ValueError(f"streamed blocks are held as bf16, not {self.weights}")

    def __str__(self) -> str:
        told = {
            "parts take turns": self.apart,
            "decode in tiles": self.tiled,
            "texts one by one": self.one_by_one,
            "blocks streamed": self.stream,
        }
        return ", ".join([self.weights, *(words for words, yes in told.items() if yes)])


@dataclass(frozen=True)
class ModelSettings:
    """model.json of a model folder: what the weights make.

    sizes: (width, height) trained on. known: which frames it can be shown without noise: "any", the "first" or "none".
    negative: the negative prompt where none is given.
    """

    name: str
    fps: float = 16
    sizes: tuple[tuple[int, int], ...] = ((128, 128),)
    max_frames: int = 48
    defaults: SamplingParams = SamplingParams()
    known: str = "any"
    negative: str = ""

    def save(self, folder: str | Path) -> None:
        values = {
            "name": self.name,
            "fps": self.fps,
            "sizes": [list(size) for size in self.sizes],
            "max_frames": self.max_frames,
            "known": self.known,
            "negative": self.negative,
            "defaults": {
                "steps": self.defaults.num_steps,
                "guidance": self.defaults.guidance_scale,
                "rescale": self.defaults.guidance_rescale,
                "shift": self.defaults.shift,
                "solver": self.defaults.solver,
                "levels": self.defaults.levels,
                "low_guidance": self.defaults.low_guidance,
            },
        }
        (Path(folder) / "model.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "ModelSettings":
        """Read model.json of a folder. Raises ValueError when it is missing or says something else."""
        path = Path(folder) / "model.json"
        if not path.is_file():
            raise ValueError(f"{folder} is not a model folder: it has no model.json")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            asked = values["defaults"]
            defaults = SamplingParams(
                num_steps=int(asked["steps"]),
                guidance_scale=float(asked["guidance"]),
                guidance_rescale=float(asked.get("rescale", 0)),
                shift=float(asked["shift"]),
                solver=str(asked.get("solver", SamplingParams.solver)),
                levels=None if asked.get("levels") is None else int(asked["levels"]),
                low_guidance=None if asked.get("low_guidance") is None else float(asked["low_guidance"]),
            )
            sizes = tuple((int(width), int(height)) for width, height in values["sizes"])
            known, negative = str(values.get("known", "any")), str(values.get("negative", ""))
            frames = int(values["max_frames"])
            settings = cls(str(values["name"]), float(values["fps"]), sizes, frames, defaults, known, negative)
        except (KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not as it should be: {type(error).__name__} {error}") from None
        if not sizes or settings.fps <= 0 or settings.max_frames < 1:
            raise ValueError(f"{path} must name at least one size, fps above 0 and max_frames of at least 1")
        if settings.known not in KNOWN:
            raise ValueError(f"{path}: known must be one of {', '.join(KNOWN)}, got {settings.known!r}")
        return settings
