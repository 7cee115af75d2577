"""Load models from their folders: the one place that knows both layouts, ours and diffusers' of open weights.

    ours          model.json, with autoencoder/, text/ and transformer/ beside it
    diffusers'    model_index.json, with transformer/ (transformer_2/), vae/, text_encoder/, tokenizer/, scheduler/

Nothing here unpickles, and nothing is read before names and shapes have been compared from the headers alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from tenku.model import presets
from tenku.model.autoencoder import Autoencoder, load_autoencoder
from tenku.model.precision import fastest_dtype
from tenku.model.settings import ModelSettings
from tenku.model.text import TextEncoder, load_text_encoder
from tenku.model.transformer import Transformer, TransformerConfig
from tenku.model.weights import (
    SINGLES,
    load_config,
    load_into,
    part_folder,
    read_config_file,
    stored,
    tensor_files,
    write_state,
)
from tenku.system.device import choose_device
from tenku.system.files import new_folder
from tenku.wan import lora, names
from tenku.wan.catalogue import OPEN_WEIGHTS, OpenWeights, is_complete, models_folder, parameters_of
from tenku.wan.experts import Experts
from tenku.wan.lora import EXPERTS, Lora
from tenku.wan.memory_plan import MemoryPlan
from tenku.wan.offload import offload_blocks
from tenku.wan.quantize import quantize
from tenku.wan.umt5 import UMT5
from tenku.wan.vae import WanAutoencoder, load_wan_autoencoder

SHIPPED = Path(__file__).parent / "weights"
Layout = tuple[TransformerConfig, Callable[[str], str] | None]


@dataclass
class Components:
    """The parts of a model, ready to work.

    device: where the work is done, None for where the transformer is. plan: how the parts share the memory. loras:
    those that are part of the transformer's weights already. notes: what whoever loaded it should be told.
    """

    settings: ModelSettings
    autoencoder: Autoencoder | WanAutoencoder
    text_encoder: TextEncoder | UMT5
    transformer: Transformer | Experts
    device: torch.device | None = None
    plan: MemoryPlan = field(default_factory=MemoryPlan)
    loras: tuple[Lora, ...] = ()
    notes: tuple[str, ...] = ()


def find(model: str | Path) -> Path:
    """The folder of a model: shipped with tenku, pulled, or given as a path. ValueError says what there is."""
    shipped, pulled = SHIPPED / str(model), models_folder() / str(model)
    if isinstance(model, str) and model.isidentifier() and is_complete(shipped):
        return shipped
    if model in OPEN_WEIGHTS and not Path(model).is_dir():
        if not is_complete(pulled):
            raise ValueError(f"{model} is not on this machine: `tenku pull {model}` fetches it")
        return pulled
    if not Path(model).is_dir():
        shipped_names = sorted(path.parent.name for path in SHIPPED.glob("*/model.json"))
        raise ValueError(f"no model folder {model}; known by name: {', '.join([*shipped_names, *OPEN_WEIGHTS])}")
    return Path(model)


def list_models() -> list[dict[str, Any]]:
    """The models that tenku knows, shipped, then open: parameters of all parts, bytes on this disk or else in bf16."""
    rows = []
    for path in sorted(SHIPPED.glob("*/model.json")):
        shipped = [tensor_files(part) for part in path.parent.iterdir() if part.is_dir()]
        parameters = sum(math.prod(shape) for files in shipped for _, shape in files.values())
        rows.append(_row(path.parent.name, parameters, parameters, path.parent, "Apache-2.0"))
    for name, entry in OPEN_WEIGHTS.items():
        folder = models_folder() / name
        parts = parameters_of(entry)
        largest = max(parts["text"], parts["transformer"] // entry.experts, parts["autoencoder"])
        there = folder if is_complete(folder) else None
        rows.append(_row(name, sum(parts.values()), largest, there, entry.licence))
    return rows


def _row(name: str, parameters: int, largest: int, folder: Path | None, licence: str) -> dict[str, Any]:
    """largest: parameters of what must be in memory at the same time when the parts take turns."""
    size = 2 * parameters if folder is None else sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    return {
        "name": name,
        "parameters": parameters,
        "bytes": size,
        "memory_at_least": 2 * largest,
        "licence": licence,
        "folder": None if folder is None else str(folder),
    }


def is_open_weights(folder: Path) -> bool:
    """Whether a model folder is in diffusers' layout."""
    return (folder / "model_index.json").is_file()


def load_components(
    folder: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    plan: MemoryPlan | None = None,
    loras: Sequence[Lora] = (),
) -> Components:
    """Load the parts of a model folder in either layout, its LoRAs merged into the transformer's weights.

    device: None for a GPU where there is one. dtype: of the transformer (and UMT5), None for the device's fastest.
    plan: how open weights share the memory, None for the plain way; the small models have no use for one. ValueError
    names the file or tensor that is wrong.
    """
    folder, device = Path(folder), choose_device(device)
    dtype = dtype or fastest_dtype(device)
    if is_open_weights(folder):
        return _load_open_weights(folder, device, dtype, plan or MemoryPlan(), loras)
    settings = ModelSettings.load(folder)
    autoencoder = load_autoencoder(folder / "autoencoder").to(device, dtype)
    text_encoder = load_text_encoder(folder / "text").to(device)
    transformer = load_transformer(folder / "transformer", dtype=dtype, device=device)
    notes = lora.check(loras, transformer)
    lora.merge_into(transformer, loras)
    return Components(settings, autoencoder, text_encoder, transformer, loras=tuple(loras), notes=tuple(notes))


def _load_open_weights(
    folder: Path, device: torch.device, dtype: torch.dtype, plan: MemoryPlan, loras: Sequence[Lora]
) -> Components:
    """The autoencoder stays in float32. LoRAs are merged before weights are held in 8 bits or offloaded."""
    read_config_file(folder, "model_index.json")
    settings = open_weights_settings(folder)
    parts = ("transformer", "transformer_2") if (folder / "transformer_2").is_dir() else ("transformer",)
    notes: list[str] = []
    if loras:  # compared before gigabytes are read
        with torch.device("meta"):
            network = Transformer(read_transformer_config(folder / "transformer")[0])
        notes = lora.check(loras, network, len(parts))
    resting = (
        torch.device("cpu") if plan.model_offload or plan.block_offload else device
    )  # where parts wait for their turn
    networks = []
    for part, expert in zip(parts, EXPERTS, strict=False):
        network = load_transformer(folder / part, dtype=dtype, device=resting)
        lora.merge_into(network, loras, expert if len(parts) == 2 else None)
        quantize(network, plan.weight_dtype)
        networks.append(offload_blocks(network, device) if plan.block_offload else network)
    autoencoder = load_wan_autoencoder(folder / "vae", device=resting)
    autoencoder.tiled = plan.tiled
    text_device = torch.device("cpu") if plan.block_offload else device
    text_encoder = UMT5(folder, dtype=dtype, device=text_device, wanted_on=device, keep=not plan.model_offload)
    transformer = networks[0] if len(networks) == 1 else _experts(folder, networks, plan)
    return Components(settings, autoencoder, text_encoder, transformer, device, plan, tuple(loras), tuple(notes))


def _experts(folder: Path, networks: list[Transformer], plan: MemoryPlan) -> Experts:
    """Two networks with the boundary that model_index.json names."""
    boundary = read_config_file(folder, "model_index.json").get("boundary_ratio")
    if isinstance(boundary, bool) or not isinstance(boundary, int | float):
        raise ValueError(f"{folder / 'model_index.json'} has two transformers, but no boundary_ratio between them")
    high, low = networks
    return Experts(high, low, float(boundary), model_offload=plan.model_offload and not plan.block_offload)


def recognise(folder: Path) -> OpenWeights | None:
    """Which of the known open weights have the sizes of the transformers in a folder; None: others."""
    config, _ = read_transformer_config(folder / "transformer")
    experts = 2 if (folder / "transformer_2").is_dir() else 1
    for entry in OPEN_WEIGHTS.values():
        if entry.experts == experts and presets.get(entry.preset).transformer == config:
            return entry
    return None


def open_weights_settings(folder: Path) -> ModelSettings:
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


def settings_of(folder: Path) -> ModelSettings:
    """What a model folder in either layout makes, without reading its weights."""
    return open_weights_settings(folder) if is_open_weights(folder) else ModelSettings.load(folder)


# ----------------------------------------------------------------------------------------------------------
# the transformer, in three layouts: ours, diffusers', Wan's original


def load_transformer(
    folder: str | Path, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> Transformer:
    """Load a transformer from FOLDER/transformer or from the folder itself, in our layout, diffusers' or Wan's.

    dtype None keeps the one on disk. Tensors are converted one by one, so there is never a second copy of them all.
    Raises ValueError, naming file or tensor, when anything is missing or wrong.
    """
    folder = part_folder(folder, "transformer")
    config, rename = read_transformer_config(folder)
    with torch.device("meta"):  # no memory and no initialisation for weights about to be replaced
        transformer = Transformer(config)
    load_into(transformer, folder, dtype=dtype, device=device, rename=rename)
    return transformer


def read_transformer_config(folder: Path) -> Layout:
    """The sizes that config.json of any of the three layouts asks for, and how its tensors' names become ours."""
    values = read_config_file(folder)
    if not names.is_diffusers(values) and not names.is_original(values):
        return load_config(folder, TransformerConfig), None
    try:
        return names.read_config(values), names.from_diffusers if names.is_diffusers(values) else None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from None


def save_for_diffusers(transformer: Transformer, folder: str | Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a transformer with the names and the config by which diffusers' WanTransformer3DModel loads a folder."""
    state = {names.to_diffusers(name): tensor for name, tensor in stored(transformer, dtype).items()}
    with new_folder(folder) as new:
        write_state(state, names.diffusers_config(transformer.config), new, SINGLES[1])
