"""The open Wan weights as a Pipeline: a folder in diffusers' layout, as `tenku pull` fetches it.

model_index.json   which experts, where their boundary lies
transformer/       transformer_2/ too when there are two experts
vae/               text_encoder/   tokenizer/   scheduler/
"""

from dataclasses import replace
from pathlib import Path

import torch

from tenku.model import presets
from tenku.model.catalogue import OPEN_WEIGHTS, OpenWeights
from tenku.model.experts import Experts
from tenku.model.precision import fastest_dtype
from tenku.model.transformer import Transformer
from tenku.model.umt5 import UMT5
from tenku.model.wan_autoencoder import load_wan_autoencoder
from tenku.model.weights import load_transformer, read_json, read_transformer_config
from tenku.sample.pipeline import Pipeline
from tenku.types import ModelSettings


def load_open_weights(
    folder: str | Path, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Pipeline:
    """The pipeline of a folder in diffusers' layout. ValueError names the file or tensor that is wrong.

    dtype: of transformer and text encoder, None for the device's fastest; the autoencoder stays in float32.
    """
    folder = Path(folder)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or fastest_dtype(device)
    index = read_json(folder / "model_index.json")
    entry = recognise(folder)
    high = load_transformer(folder / "transformer", dtype=dtype, device=device)
    transformer: Transformer | Experts = high
    if (folder / "transformer_2").is_dir():
        low = load_transformer(folder / "transformer_2", dtype=dtype, device=device)
        boundary = index.get("boundary_ratio")
        if not isinstance(boundary, float):
            raise ValueError(f"{folder / 'model_index.json'} has two transformers, but no boundary_ratio between them")
        transformer = Experts(high, low, boundary, entry.low_guidance if entry else None)
    return Pipeline(
        open_settings(folder),
        load_wan_autoencoder(folder / "vae", device=device),
        UMT5(folder, dtype=dtype, device=device),
        transformer,
    )


def recognise(folder: Path) -> OpenWeights | None:
    """Which of the known open weights have the sizes of the transformers in a folder; None: others."""
    config, _ = read_transformer_config(folder / "transformer")
    experts = 2 if (folder / "transformer_2").is_dir() else 1
    for entry in OPEN_WEIGHTS.values():
        if entry.experts == experts and presets.get(entry.preset).transformer == config:
            return entry
    return None


def open_settings(folder: Path) -> ModelSettings:
    """model.json where somebody wrote one, else what is known of such weights, with the shift of their scheduler."""
    if (folder / "model.json").is_file():
        return ModelSettings.load(folder)
    entry = recognise(folder)
    settings = entry.settings if entry else replace(OPEN_WEIGHTS["wan2.1-1.3b"].settings, name=folder.name)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    shift = read_json(scheduler).get("flow_shift") if scheduler.is_file() else None
    if shift is None:
        return settings
    return replace(settings, defaults=replace(settings.defaults, shift=float(shift)))
