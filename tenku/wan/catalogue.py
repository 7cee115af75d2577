"""The open weights that `tenku pull` knows, and where models lie on this machine.

Sizes, lengths and sampling defaults are those of the official repositories' configs (github.com/Wan-Video).
"""

import os
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
    """One set of published weights: where it is, which preset it fits, and how it wants to be sampled."""

    name: str
    repository: str
    preset: str
    settings: ModelSettings
    experts: int = 1
    licence: str = "Apache-2.0"


def _wan(guidance: float, shift: float, steps: int = 50, guidance_scale_2: float | None = None) -> SamplingParams:
    return SamplingParams(
        steps,
        guidance,
        shift,
        solver="unipc",
        num_train_timesteps=NUM_TRAIN_TIMESTEPS,
        guidance_scale_2=guidance_scale_2,
    )


# What the Wan models are usually kept away from: much of what they saw was like this. Bad exposure, no motion, writing,
# remains of compression, hands, faces and limbs gone wrong, crowds, walking backwards.
NEGATIVE = (
    "静止的画面，没有动作，过曝，颜色过于鲜艳，灰蒙蒙，细节模糊，质量很差，压缩痕迹，字幕，水印，绘画风格，丑陋，残缺，"
    "多出来的手指，粘连的手指，画坏的手，画坏的脸，毁容，畸形的身体，变形的四肢，多出来的腿，杂乱的背景，背景里人很多，倒着走"
)
SD, HD = ((832, 480), (480, 832)), ((1280, 720), (720, 1280))

OPEN_WEIGHTS = {
    each.name: each
    for each in (
        OpenWeights(
            "wan2.1-1.3b",
            "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
            "wan2.1-1.3b",
            ModelSettings("wan2.1-1.3b", 16, SD, 81, _wan(5.0, 3.0), known="none", negative=NEGATIVE),
        ),
        OpenWeights(
            "wan2.1-14b",
            "Wan-AI/Wan2.1-T2V-14B-Diffusers",
            "wan2.1-14b",
            ModelSettings("wan2.1-14b", 16, HD + SD, 81, _wan(5.0, 5.0), known="none", negative=NEGATIVE),
        ),
        OpenWeights(
            "wan2.2-5b",
            "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
            "wan2.2-5b",
            ModelSettings(
                "wan2.2-5b", 24, ((1280, 704), (704, 1280)), 121, _wan(5.0, 5.0), known="first", negative=NEGATIVE
            ),
        ),
        OpenWeights(
            "wan2.2-a14b",
            "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
            "wan2.2-a14b",
            ModelSettings(
                "wan2.2-a14b",
                16,
                HD + SD,
                81,
                _wan(4.0, 12.0, 40, guidance_scale_2=3.0),
                known="none",
                negative=NEGATIVE,
            ),
            experts=2,
        ),
        OpenWeights(
            "wan2.2-i2v-a14b",
            "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
            "wan2.2-i2v-a14b",
            ModelSettings(
                "wan2.2-i2v-a14b", 16, HD + SD, 81, _wan(3.5, 5.0, steps=40), known="none", negative=NEGATIVE
            ),
            experts=2,
        ),
    )
}


def parameters_of(entry: OpenWeights) -> dict[str, int]:
    """How many parameters each part of open weights has; the transformers counted without allocating them."""
    config = presets.get(entry.preset).transformer
    with torch.device("meta"):
        transformer = count_parameters(Transformer(config))
    return {
        "text": TEXT_PARAMETERS,
        "transformer": entry.experts * transformer,
        "autoencoder": AUTOENCODER_PARAMETERS[config.latent_channels],
    }


def models_folder() -> Path:
    """Where pulled models lie: $TENKU_MODELS, else tenku/models in the user's cache folder."""
    chosen = os.environ.get("TENKU_MODELS")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenku" / "models"


def is_complete(folder: Path) -> bool:
    """Whether a folder holds a model that can be loaded, in our layout or in diffusers'."""
    return (folder / "model.json").is_file() or (folder / "model_index.json").is_file()
