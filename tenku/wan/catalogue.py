"""The catalogue of open weights that `tenku pull` downloads, and the cache folder of models.

Sizes, lengths and sampling defaults are those of the official repositories' configs (github.com/Wan-Video).
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from tenku.model import presets
from tenku.model.settings import ModelSettings, SamplingParams
from tenku.model.transformer import Transformer
from tenku.model.weights import count_parameters

NUM_TRAIN_TIMESTEPS = 1000
TEXT_PARAMETERS = 5_680_910_336  # of UMT5-XXL's encoder
AUTOENCODER_PARAMETERS = {16: 126_892_531, 48: 704_688_668}  # by latent channels


@dataclass(frozen=True)
class OpenWeights:
    """Published weights: repository on the hub, preset of the transformer, model.json settings, number of experts."""

    name: str
    repository: str
    preset: str
    settings: ModelSettings
    experts: int = 1
    licence: str = "Apache-2.0"


# Default negative prompt: bad exposure, no motion, writing, compression artefacts, malformed hands, faces and limbs,
# crowds, walking backwards.
NEGATIVE = (
    "静止的画面，没有动作，过曝，颜色过于鲜艳，灰蒙蒙，细节模糊，质量很差，压缩痕迹，字幕，水印，绘画风格，丑陋，残缺，"
    "多出来的手指，粘连的手指，画坏的手，画坏的脸，毁容，畸形的身体，变形的四肢，多出来的腿，杂乱的背景，背景里人很多，倒着走"
)
SD, HD = ((832, 480), (480, 832)), ((1280, 720), (720, 1280))  # width, height
HD_32 = ((1280, 704), (704, 1280))  # multiples of 32: 16x16 compression, then 2x2 patches


def _sampling(guidance: float, shift: float, steps: int = 50, low_noise: float | None = None) -> SamplingParams:
    """low_noise: guidance scale of the low-noise expert, None for the same."""
    return SamplingParams(steps, guidance, shift, "unipc", 0.0, NUM_TRAIN_TIMESTEPS, low_noise)


def _wan(
    name: str,
    repository: str,
    sizes: tuple[tuple[int, int], ...],
    sampling: SamplingParams,
    *,
    fps: float = 16,
    max_frames: int = 81,
    known: str = "none",
    experts: int = 1,
) -> OpenWeights:
    settings = ModelSettings(name, fps, sizes, max_frames, sampling, known, NEGATIVE)
    return OpenWeights(name, f"Wan-AI/{repository}-Diffusers", name, settings, experts)


OPEN_WEIGHTS = {
    each.name: each
    for each in (
        _wan("wan2.1-1.3b", "Wan2.1-T2V-1.3B", SD, _sampling(5.0, 3.0)),
        _wan("wan2.1-14b", "Wan2.1-T2V-14B", HD + SD, _sampling(5.0, 5.0)),
        _wan("wan2.2-5b", "Wan2.2-TI2V-5B", HD_32, _sampling(5.0, 5.0), fps=24, max_frames=121, known="first"),
        _wan("wan2.2-a14b", "Wan2.2-T2V-A14B", HD + SD, _sampling(4.0, 12.0, 40, low_noise=3.0), experts=2),
        _wan("wan2.2-i2v-a14b", "Wan2.2-I2V-A14B", HD + SD, _sampling(3.5, 5.0, 40), experts=2),
    )
}


def parameters_of(entry: OpenWeights) -> dict[str, int]:
    """Number of parameters of each part, the transformers counted on the meta device."""
    config = presets.get(entry.preset).transformer
    with torch.device("meta"):
        transformer = count_parameters(Transformer(config))
    return {
        "text": TEXT_PARAMETERS,
        "transformer": entry.experts * transformer,
        "autoencoder": AUTOENCODER_PARAMETERS[config.latent_channels],
    }


def models_folder() -> Path:
    """Folder of pulled models: $TENKU_MODELS, else tenku/models in $XDG_CACHE_HOME or ~/.cache, on macOS too.

    A user without a home folder (in a container) has it in the folder for temporary files.
    """
    if chosen := os.environ.get("TENKU_MODELS"):
        return Path(chosen)
    if not (cache := os.environ.get("XDG_CACHE_HOME")):
        home = os.path.expanduser("~")
        cache = os.path.join(tempfile.gettempdir() if home == "~" else home, ".cache")
    return Path(cache) / "tenku" / "models"


def is_complete(folder: Path) -> bool:
    """Whether a folder holds a model in our layout or in diffusers'."""
    return (folder / "model.json").is_file() or (folder / "model_index.json").is_file()
