"""Merge LoRA files (arXiv 2106.09685) into transformer weights, in every layout published for Wan.

A layer's weight W becomes W + strength · alpha / rank · up @ down. Layouts: diffusers and PEFT, the original names
(`diffusion_model.`), DiffSynth-Studio (`pipe.dit.`), musubi-tuner and LyCORIS, which write names without dots
(`lora_unet_`, `lycoris_`), and lightx2v's step-distillation LoRAs, which also add whole tensors to weights, biases,
norms and modulation (`diff`, `diff_b`, `diff_m`).
"""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tenku.model.transformer import Transformer
from tenku.model.weights import check_safetensors
from tenku.system.files import read_json
from tenku.wan.names import to_diffusers

EXPERTS = ("high", "low")
# What names begin with, one after the other; what has no dots (`lora_unet__`) ends in one sign of underscore or two.
PREFIXES = re.compile(
    r"^(base_model\.model\.)?(pipe\.)?(model\.)?(diffusion_model\.|transformer_2\.|transformer\.|dit\.|unet\.)?"
    r"((lora_unet|lora_transformer|lora_dit|lycoris)__?)?"
)
# Suffix of a tensor's name -> its role in a layer.
ENDINGS = {
    ".lora_A.weight": "down",
    ".lora_A.default.weight": "down",
    ".lora_down.weight": "down",
    ".lora_B.weight": "up",
    ".lora_B.default.weight": "up",
    ".lora_up.weight": "up",
    ".lora_B.bias": "up's bias",
    ".alpha": "alpha",
    ".diff": "weight",
    ".diff_b": "bias",
    ".diff_m": "modulation",
}
# Roles that are added as they are -> the parameter they are added to.
WHOLE = {"weight": "weight", "bias": "bias", "modulation": "modulation", "up's bias": "bias"}
# Image cross-attention (CLIP) of Wan 2.1's image-to-video network. LoRAs published for 2.2 too still hold it, and every
# other program skips it.
OF_CLIP = re.compile(
    r"(^|[._])(img_emb|image_embedder)\b|[._](k_img|v_img|norm_k_img|add_k_proj|add_v_proj|norm_added_k)$"
)
FILES = ("adapter_model.safetensors", "pytorch_lora_weights.safetensors")  # PEFT's and diffusers' in a folder
Addition = dict[str, str]  # of one layer: role ("down", "up", "alpha", "bias", …) -> name of the tensor in the file


@dataclass(frozen=True)
class Lora:
    """A LoRA file (or PEFT's folder), its strength, and which of two experts it is for ("high", "low"; None: both)."""

    path: Path
    strength: float = 1.0
    expert: str | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.strength):
            raise ValueError(f"the strength of a LoRA must be a finite number, got {self.strength}")
        if self.expert not in (None, *EXPERTS):
            raise ValueError(f"a LoRA is for the expert high or low, not {self.expert!r}")

    @classmethod
    def parse(cls, text: str) -> "Lora":
        """Parse "FILE", "FILE:0.8", "high=FILE" or "low=FILE:0.8". ValueError: something else."""
        expert, path = None, text
        if match := re.match(r"(high|low)=", text):
            expert, path = match[1], text[match.end() :]
        strength = 1.0
        path = os.path.expanduser(path)  # which leaves ~ as it is where there is no home
        if (match := re.search(r":\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*$", path)) and not Path(path).exists():
            path, strength = path[: match.start()], float(match[1])
        wrong = re.search(r"\.safetensors:.*$", path)
        if not path or (wrong and not Path(path).exists()):
            raise ValueError(f"--lora {text!r} should name a .safetensors file, as in FILE, FILE:0.8 or high=FILE")
        return cls(Path(path), strength, expert)

    def __str__(self) -> str:
        """As `parse` reads it, without the folder."""
        expert = "" if self.expert is None else f"{self.expert}="
        return f"{expert}{self.path.name}" + ("" if self.strength == 1 else f":{self.strength:g}")

    @property
    def file(self) -> Path:
        """The file, which in a folder has one of two names."""
        inside = (self.path / name for name in FILES)
        return next((file for file in inside if file.is_file()), self.path)


def check(loras: Iterable[Lora], transformer: Transformer, experts: int = 1) -> list[str]:
    """Check LoRA files against a transformer, which may be on the meta device; returns warnings.

    experts: how many networks there are. ValueError names the file and what is wrong in it.
    """
    notes = []
    for lora in loras:
        if lora.expert is not None and experts == 1:
            raise ValueError(f"{lora} is for one of two experts, which this model has not: leave out {lora.expert}=")
        for expert in EXPERTS if experts == 2 else (None,):
            if lora.expert in (None, expert):
                *_, passed_over = read(lora, transformer, expert)
        if passed_over:
            notes.append(f"{lora} holds {passed_over} tensors for CLIP's part in Wan 2.1, which are passed over")
    return notes


def merge_into(transformer: Transformer, loras: Iterable[Lora], expert: str | None = None) -> None:
    """Merge all LoRAs that are for this transformer; expert: which of two it is, None where there is one."""
    for lora in loras:
        if lora.expert in (None, expert):
            merge(transformer, lora, expert)


@torch.no_grad()
def merge(transformer: Transformer, lora: Lora, expert: str | None = None) -> None:
    """Merge a LoRA into the weights of a transformer, in place; computed in float32, the weights keep their dtype.

    expert: which of two this one is. To be called before quantization and offloading. ValueError names the file and
    what is wrong in it, before any weight is changed unless the merged values are not finite.
    """
    parameters = dict(transformer.named_parameters())
    layers, usual, _ = read(lora, transformer, expert)
    with opened(lora.file) as file:
        for layer, parts in layers.items():
            tensors = {part: file.get_tensor(name).to(transformer.device) for part, name in parts.items()}
            for name, change in _changes(tensors, usual):
                parameter = parameters[f"{layer}.{name}"]
                value = parameter.float() + lora.strength * change.reshape(parameter.shape)
                if not bool(value.to(parameter.dtype).isfinite().all()):
                    raise ValueError(f"{lora.file}: what it adds to {layer} is not finite")
                parameter.copy_(value)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file. ValueError: it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is not valid safetensors: {error}") from None


def read(lora: Lora, transformer: Transformer, expert: str | None) -> tuple[dict[str, Addition], float | None, int]:
    """The tensors of a file by layer, the default alpha (None: the rank), and how many tensors were skipped.

    ValueError as in `check`.
    """
    path = lora.file
    if path.is_dir():
        raise ValueError(f"{path} is a folder without {' or '.join(FILES)}")
    shapes = check_safetensors(path)
    parameters = dict(transformer.named_parameters())
    layers, passed_over = additions(path, list(shapes), parameters, expert)
    for layer, parts in layers.items():
        _check(path, layer, parts, shapes, parameters)
    with opened(path) as file:
        usual = _alpha(path, file.metadata() or {})
    return layers, usual, passed_over


def additions(
    path: Path, names: Sequence[str], parameters: dict[str, torch.nn.Parameter], expert: str | None
) -> tuple[dict[str, Addition], int]:
    """As `read`, from the names alone and without alpha. ValueError: a tensor of another adapter type or model."""
    known = named_layers(parameters)
    networks = {name.split(".")[0] for name in names} & {"transformer", "transformer_2"}
    if "transformer_2" in networks:  # a file for two experts
        if expert is None:
            raise ValueError(f"{path} is for two experts, and this model has one network")
        mine = "transformer_2." if expert == "low" else "transformer."
        names = [name for name in names if name.startswith(mine)]
    found: dict[str, Addition] = {}
    passed_over = 0
    for name in names:
        ending = next((ending for ending in ENDINGS if name.endswith(ending)), None)
        inner = PREFIXES.sub("", name.removesuffix(ending or ""))
        if OF_CLIP.search(inner):
            passed_over += 1
            continue
        if ending is None:
            raise ValueError(
                f"{path}: {name} is not a LoRA's: pairs of lora_A and lora_B (or lora_down and lora_up) are read, "
                "no LoHa, LoKr or DoRA"
            )
        layer = known.get(inner)
        if layer is None:
            raise ValueError(f"{path} {why_unknown(name, inner, known)}")
        parts = found.setdefault(layer, {})
        if ENDINGS[ending] in parts:
            raise ValueError(f"{path} says twice what is added to {layer}: {parts[ENDINGS[ending]]} and {name}")
        parts[ENDINGS[ending]] = name
    if not found and not (networks and expert):
        raise ValueError(f"{path} holds no LoRA for this model")
    return found, passed_over


def named_layers(parameters: Iterable[str]) -> dict[str, str]:
    """Our layers by every name that they have in files: the original one and diffusers', each with and without dots."""
    known = {}
    for layer in {name.rpartition(".")[0] for name in parameters}:
        for name in (layer, to_diffusers(layer + ".").removesuffix(".")):
            known[name] = known[name.replace(".", "_")] = layer
    return known


def why_unknown(name: str, inner: str, known: dict[str, str]) -> str:
    """What is wrong with a tensor's name: what comes before a layer of this model, or the layer itself."""
    if layer := max((each for each in known if inner.endswith((f".{each}", f"_{each}"))), key=len, default=None):
        return (
            f"has an unknown naming: {name} ends as {layer} of this model does, but begins with "
            f"{name[: name.rindex(layer)]!r}; known are diffusion_model., transformer., pipe.dit., lora_unet_, lycoris_"
        )
    return f"adds to {inner}, which this model does not have: it was made for another one"


def _check(
    path: Path, layer: str, parts: Addition, shapes: dict[str, list[int]], parameters: dict[str, torch.nn.Parameter]
) -> None:
    """Check the shapes of one layer. ValueError: half of a pair is missing, or shapes do not fit the layer."""
    of = {part: shapes[name] for part, name in parts.items()}
    if ("down" in of) != ("up" in of):
        there, missing = ("down", "up") if "down" in of else ("up", "down")
        raise ValueError(f"{path}: {parts[there]} has no counterpart: the {missing} half of {layer} is missing")
    if math.prod(of.get("alpha", [])) != 1:
        raise ValueError(f"{path}: {parts['alpha']} should be one number, its shape is {of['alpha']}")
    added = [(name, of[part]) for part, name in WHOLE.items() if part in of]
    if "down" in of:
        down, up = of["down"], of["up"]
        if not down or down[0] < 1 or up[1:2] != down[:1] or math.prod(up[2:]) != 1:
            raise ValueError(f"{path}: the halves {up} and {down} of {layer} do not fit together")
        added.append(("weight", [up[0], *down[1:]]))
    for name, shape in added:
        parameter = parameters.get(f"{layer}.{name}")
        if parameter is None or math.prod(shape) != parameter.numel() or shape[0] != parameter.shape[0]:
            asked = "none" if parameter is None else list(parameter.shape)
            raise ValueError(
                f"{path} adds {shape} to {layer}.{name}, where this model has {asked}: it was made for another one"
            )


def _changes(tensors: dict[str, Tensor], usual: float | None) -> Iterator[tuple[str, Tensor]]:
    """The update of each parameter of a layer, float32. usual: alpha where a layer has none; None: its rank."""
    scale = 1.0
    if "down" in tensors:
        down, up = tensors["down"].float().flatten(1), tensors["up"].float().flatten(1)
        alpha = float(tensors["alpha"]) if "alpha" in tensors else usual
        scale = 1.0 if alpha is None else alpha / len(down)
        yield "weight", scale * (up @ down)
    for part, name in WHOLE.items():
        if part in tensors:
            yield name, tensors[part].float() * (scale if part == "up's bias" else 1.0)


def _alpha(path: Path, metadata: dict[str, str]) -> float | None:
    """The alpha in PEFT's metadata: the safetensors header, or adapter_config.json beside the file; None: none."""
    values: dict[str, Any] = {}
    if "lora_adapter_metadata" in metadata:
        try:
            values = json.loads(metadata["lora_adapter_metadata"])
        except ValueError:
            raise ValueError(f"{path}: its lora_adapter_metadata is not JSON") from None
    elif (path.parent / "adapter_config.json").is_file():
        values = read_json(path.parent / "adapter_config.json")
    if not isinstance(values, dict):
        raise ValueError(f"{path}: its lora_adapter_metadata should be a JSON object")
    for key, value in values.items():
        if value and key.rpartition(".")[2] in ("use_rslora", "use_dora", "alpha_pattern"):
            raise ValueError(f"{path} was made with {key}, which is not supported: only plain LoRA is")
    alphas = [value for key, value in values.items() if key.rpartition(".")[2] == "lora_alpha" and value is not None]
    if any(not isinstance(alpha, int | float) or alpha != alphas[0] for alpha in alphas):
        raise ValueError(f"{path}: lora_alpha should be one number, its settings say {', '.join(map(str, alphas))}")
    return float(alphas.pop()) if alphas else None
