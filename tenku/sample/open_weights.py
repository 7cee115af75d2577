"""The open Wan weights as a Pipeline: a folder in diffusers' layout, as `tenku pull` fetches it.

model_index.json   which experts, where their boundary lies
transformer/       transformer_2/ too when there are two experts
vae/               text_encoder/   tokenizer/   scheduler/
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tenku.model import presets
from tenku.model.catalogue import OPEN_WEIGHTS, OpenWeights
from tenku.model.experts import Experts
from tenku.model.lora import EXPERTS, Lora, check, merge_into
from tenku.model.precision import fastest_dtype
from tenku.model.quantize import quantize
from tenku.model.stream import stream_blocks
from tenku.model.transformer import Transformer
from tenku.model.umt5 import UMT5
from tenku.model.wan_autoencoder import load_wan_autoencoder
from tenku.model.weights import load_transformer, read_config_file, read_transformer_config
from tenku.sample.memory import choose_plan, free_memory
from tenku.sample.pipeline import Pipeline
from tenku.types import ModelSettings, Plan


def load_open_weights(
    folder: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    plan: Plan | None = None,
    loras: Sequence[Lora] = (),
) -> Pipeline:
    """The pipeline of a folder in diffusers' layout. ValueError names the file or tensor that is wrong.

    dtype: of transformer and text encoder, None for the device's fastest; the autoencoder stays in float32. plan: how
    the parts share the memory, None for the fastest way in which the model's own size and length fit. loras: merged
    into the transformers' weights, whatever these are held as afterwards.
    """
    folder = Path(folder)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or fastest_dtype(device)
    read_config_file(folder, "model_index.json")
    settings = open_settings(folder)
    names = ("transformer", "transformer_2") if (folder / "transformer_2").is_dir() else ("transformer",)
    notes: list[str] = []
    if loras:  # compared before gigabytes are read
        with torch.device("meta"):
            notes = check(loras, Transformer(read_transformer_config(folder / "transformer")[0]), len(names))
    plan = plan or plan_for(folder, device=device)
    resting = torch.device("cpu") if plan.apart or plan.stream else device  # where parts wait for their turn

    networks = []
    for name, expert in zip(names, EXPERTS, strict=False):
        network = load_transformer(folder / name, dtype=dtype, device=resting)
        merge_into(network, loras, expert if len(names) == 2 else None)
        quantize(network, plan.weights)
        networks.append(stream_blocks(network, device) if plan.stream else network)
    autoencoder = load_wan_autoencoder(folder / "vae", device=resting)
    autoencoder.tiled = plan.tiled
    text_device = torch.device("cpu") if plan.stream else device
    return Pipeline(
        settings,
        autoencoder,
        UMT5(folder, dtype=dtype, device=text_device, wanted_on=device, keep=not plan.apart),
        networks[0] if len(networks) == 1 else experts(folder, networks, plan),
        device=device,
        plan=plan,
        loras=loras,
        notes=notes,
    )


def plan_for(
    folder: Path,
    size: tuple[int, int] | None = None,
    seconds: float | None = None,
    device: str | torch.device | None = None,
) -> Plan:
    """The fastest plan in which a clip fits into the memory that is free; size and length default to the model's own.

    What is longer than that is made window by window, each as large as one clip. ValueError when no plan does. Weights
    that are not one of the known sets are held the plain way.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    settings, entry = open_settings(folder), recognise(folder)
    if entry is None:
        return Plan()
    frames = settings.max_frames if seconds is None else clip_frames(settings, seconds)
    return choose_plan(entry, size or settings.sizes[0], frames, free_memory(device), device.type)[0]


def clip_frames(settings: ModelSettings, seconds: float) -> int:
    """Frames that are made at once of so many seconds."""
    return min(max(1, round(seconds * settings.fps)), settings.max_frames)


def experts(folder: Path, networks: list[Transformer], plan: Plan) -> Experts:
    """Two networks with the boundary that model_index.json names."""
    boundary = read_config_file(folder, "model_index.json").get("boundary_ratio")
    if isinstance(boundary, bool) or not isinstance(boundary, int | float):
        raise ValueError(f"{folder / 'model_index.json'} has two transformers, but no boundary_ratio between them")
    high, low = networks
    apart = plan.apart and not plan.stream
    return Experts(high, low, float(boundary), apart=apart)


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
    shift = read_config_file(scheduler.parent, scheduler.name).get("flow_shift") if scheduler.is_file() else None
    if shift is None:
        return settings
    if isinstance(shift, bool) or not isinstance(shift, int | float):
        raise ValueError(f"{scheduler}: flow_shift should be a number, got {shift!r}")
    return replace(settings, defaults=replace(settings.defaults, shift=float(shift)))
