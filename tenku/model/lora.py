"""LoRA files: what somebody trained to add to a transformer's weights (arXiv 2106.09685), merged into them.

A layer's weight W becomes W + strength · alpha / rank · up @ down. Files are read as they are published for Wan: by
diffusers and PEFT, with the original names (`diffusion_model.`), and by musubi-tuner (`lora_unet_`). lightx2v's, with
which four steps are enough, also add to biases, norms and modulation as a whole (`diff`, `diff_b`, `diff_m`).
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from tenku.model import wan
from tenku.model.transformer import Transformer
from tenku.model.weights import check_safetensors, read_json

EXPERTS = ("high", "low")
PREFIXES = ("base_model.model.", "diffusion_model.", "transformer_2.", "transformer.", "lora_unet_")
# What a tensor's name ends with, and what that is of a layer.
ENDINGS = {
    ".lora_A.weight": "down",
    ".lora_A.default.weight": "down",
    ".lora_down.weight": "down",
    ".lora_B.weight": "up",
    ".lora_B.default.weight": "up",
    ".lora_up.weight": "up",
    ".lora_B.bias": "bias",
    ".alpha": "alpha",
    ".diff": "weight",
    ".diff_b": "bias",
    ".diff_m": "modulation",
}
Addition = dict[str, str]  # of one layer: the tensor in the file that is its "down", "up", "alpha", "bias", …


@dataclass(frozen=True)
class Lora:
    """A LoRA file, how much of it is wanted, and for which of two experts ("high", "low"; None: for both)."""

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
        """ "FILE", "FILE:0.8", "high=FILE" or "low=FILE:0.8"."""
        expert, path = None, text
        if match := re.match(r"(high|low)=", text):
            expert, path = match[1], text[match.end() :]
        strength = 1.0
        if (match := re.search(r":(-?\d+(?:\.\d*)?|-?\.\d+)$", path)) and not Path(path).exists():
            path, strength = path[: match.start()], float(match[1])
        if not path:
            raise ValueError(f"--lora {text!r} should name a .safetensors file, as in FILE, FILE:0.8 or high=FILE")
        return cls(Path(path), strength, expert)

    def __str__(self) -> str:
        """As `parse` takes it, without the folder."""
        expert = "" if self.expert is None else f"{self.expert}="
        return f"{expert}{self.path.name}" + ("" if self.strength == 1 else f":{self.strength:g}")


def merge_into(transformer: Transformer, loras: Iterable[Lora], expert: str | None = None) -> None:
    """Merge all LoRAs that are for a transformer; expert: which of two it is, None where it works alone.

    ValueError as in `merge`, and for one of two experts' where there is but one network.
    """
    for lora in loras:
        if lora.expert is not None and expert is None:
            raise ValueError(f"{lora} is for one of two experts, which this model has not: leave out {lora.expert}=")
        if lora.expert in (None, expert):
            merge(transformer, lora, expert)


@torch.no_grad()
def merge(transformer: Transformer, lora: Lora, expert: str | None = None) -> None:
    """Add a LoRA to the weights of a transformer, in place; they keep their dtype.

    expert: which of two this one is. Call it before the weights are held in 8 bits or streamed. ValueError names the
    file and what is wrong in it, before any weight is changed.
    """
    parameters = dict(transformer.named_parameters())
    shapes = check_safetensors(lora.path)
    layers = additions(lora.path, list(shapes), parameters, expert)
    for layer, parts in layers.items():
        _check(lora.path, layer, parts, shapes, parameters)
    with safe_open(lora.path, framework="pt") as file:
        usual = _alpha(lora.path, file.metadata() or {})
        for layer, parts in layers.items():
            read = {part: file.get_tensor(name) for part, name in parts.items()}
            for name, change in _changes(read, usual):
                parameter = parameters[f"{layer}.{name}"]
                change = change.to(parameter.device).reshape(parameter.shape)
                parameter.copy_(parameter.float() + lora.strength * change)


def additions(path: Path, names: list[str], parameters: dict[str, Any], expert: str | None) -> dict[str, Addition]:
    """The tensors of a file by the layer that they add to. ValueError: one of them is of another kind or model."""
    layers = {name.rpartition(".")[0] for name in parameters}
    flat = {layer.replace(".", "_"): layer for layer in layers}  # musubi-tuner has no dots in its names
    mine = "transformer_2." if expert == "low" else "transformer."
    both = {name.split(".")[0] for name in names} >= {"transformer", "transformer_2"}  # a file for two experts
    found: dict[str, Addition] = {}
    for name in names:
        if both and not name.startswith(mine):
            continue
        ending = next((ending for ending in ENDINGS if name.endswith(ending)), None)
        if ending is None:
            raise ValueError(
                f"{path}: {name} is not a LoRA's: pairs of lora_A and lora_B (or lora_down and lora_up) are read, "
                "no LoHa, LoKr or DoRA"
            )
        inner = name.removesuffix(ending)
        for prefix in PREFIXES:
            inner = inner.removeprefix(prefix)
        layer = flat.get(inner) or wan.from_diffusers(inner + ".").removesuffix(".")
        if layer not in layers:
            raise ValueError(f"{path} adds to {inner}, which this model does not have: it was made for another one")
        found.setdefault(layer, {})[ENDINGS[ending]] = name
    if not found:
        raise ValueError(f"{path} holds no LoRA for this model")
    return found


def _check(
    path: Path, layer: str, parts: Addition, shapes: dict[str, list[int]], parameters: dict[str, torch.nn.Parameter]
) -> None:
    """ValueError: half of a pair is missing, or shapes do not fit the layer."""
    if ("down" in parts) != ("up" in parts):
        there, missing = ("down", "up") if "down" in parts else ("up", "down")
        raise ValueError(f"{path}: {parts[there]} has no counterpart: the {missing} half of {layer} is missing")
    of = {part: shapes[name] for part, name in parts.items()}
    if "down" in of:
        rank = of["down"][0] if of["down"] else 0
        if of["up"][1:2] != [rank] or rank < 1:
            raise ValueError(f"{path}: the halves {of['up']} and {of['down']} of {layer} do not fit together")
        of["weight"] = [of["up"][0], *of["down"][1:]]
    for name in ("weight", "bias", "modulation"):
        if name not in of:
            continue
        parameter = parameters.get(f"{layer}.{name}")
        if parameter is None or math.prod(of[name]) != parameter.numel() or of[name][0] != parameter.shape[0]:
            asked = "none" if parameter is None else list(parameter.shape)
            raise ValueError(
                f"{path} adds {of[name]} to {layer}.{name}, where this model has {asked}: it was made for another one"
            )


def _changes(read: dict[str, Tensor], usual: float | None) -> Iterator[tuple[str, Tensor]]:
    """What is added to which parameter of a layer, float32. usual: alpha where a layer has none; None: its rank."""
    if "down" in read:
        down, up = read["down"].float().flatten(1), read["up"].float().flatten(1)
        alpha = float(read["alpha"]) if "alpha" in read else usual
        yield "weight", (1.0 if alpha is None else alpha / len(down)) * (up @ down)
    for name in ("weight", "bias", "modulation"):
        if name in read:
            yield name, read[name].float()


def _alpha(path: Path, metadata: dict[str, str]) -> float | None:
    """The alpha that PEFT keeps outside of the tensors: in the file's header, or in adapter_config.json beside it."""
    values: dict[str, Any] = {}
    if "lora_adapter_metadata" in metadata:
        try:
            values = json.loads(metadata["lora_adapter_metadata"])
        except ValueError:
            raise ValueError(f"{path}: its lora_adapter_metadata is not JSON") from None
    elif path.name == "adapter_model.safetensors" and (path.parent / "adapter_config.json").is_file():
        values = read_json(path.parent / "adapter_config.json")
    if not isinstance(values, dict):
        raise ValueError(f"{path}: its lora_adapter_metadata should be a JSON object")
    for key, value in values.items():
        if value and key.rpartition(".")[2] in ("use_rslora", "use_dora", "alpha_pattern"):
            raise ValueError(f"{path} was made with {key}, which is not supported: only plain LoRA is")
    alphas = {value for key, value in values.items() if key.rpartition(".")[2] == "lora_alpha" and value is not None}
    if len(alphas) > 1 or not all(isinstance(alpha, int | float) for alpha in alphas):
        raise ValueError(f"{path}: lora_alpha should be one number, its settings say {', '.join(map(str, alphas))}")
    return float(alphas.pop()) if alphas else None
