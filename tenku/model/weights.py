"""Save and load weights: a folder with config.json and (sharded) safetensors, validated before it is read.

Folders are written atomically. Shards hold at most 16 MiB, small enough for any source host (a larger tensor has one
of its own), cut in order; `huggingface_hub.split_torch_state_dict_into_shards` cuts another way where a tensor is
larger, and the core package does not depend on it.
Nothing here ever unpickles.
"""

import json
import math
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tenku.system.files import new_folder, read_json, save_tensors

MiB = 2**20
SHARD_SIZE = 16 * MiB
MAX_HEADER = 16 * MiB
SINGLE = "model.safetensors"
SINGLES = (SINGLE, "diffusion_pytorch_model.safetensors")  # ours and what Wan's and diffusers' folders call it
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

Config = TypeVar("Config")


# ----------------------------------------------------------------------------------------------------------
# writing


def save_module(module: nn.Module, config: Any, folder: str | Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Save a module and its config dataclass as a folder, atomically, replacing what was there.

    Parameters are stored in `dtype`, buffers in their own. Raises OSError when the disk is full or not
    writable; the former content is then untouched.
    """
    with new_folder(folder) as new:
        write_module(module, config, new, dtype)


def write_module(module: nn.Module, config: Any, folder: Path, dtype: torch.dtype) -> None:
    """Write the files of `save_module` into an existing folder."""
    write_state(stored(module, dtype), asdict(config), folder, SINGLE)


def stored(module: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """The state dict to save, on the CPU: parameters in `dtype`, buffers in their own."""
    buffers = {name for name, _ in module.named_buffers()}
    return {
        name: (tensor if name in buffers else tensor.to(dtype)).detach().cpu().contiguous()
        for name, tensor in module.state_dict().items()
    }


def write_state(state: dict[str, Tensor], config: dict[str, Any], folder: Path, single: str) -> None:
    """Write config.json and a state dict: as one file named `single`, or as shards with an index beside them."""
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shards = _cut_into_shards(state)
    if len(shards) == 1:
        save_tensors(state, folder / single)
        return
    weight_map = {}
    for k, names in enumerate(shards):
        shard = f"{single.removesuffix('.safetensors')}-{k + 1:05d}-of-{len(shards):05d}.safetensors"
        save_tensors({name: state[name] for name in names}, folder / shard)
        weight_map.update(dict.fromkeys(names, shard))
    total = sum(tensor.nbytes for tensor in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / f"{single}.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _cut_into_shards(state: dict[str, Tensor]) -> list[list[str]]:
    """Names in order, greedily: a new shard whenever the next tensor would make it larger than SHARD_SIZE."""
    shards: list[list[str]] = [[]]
    room = SHARD_SIZE - 64 * 1024  # for the header
    size = 0
    for name, tensor in state.items():
        if shards[-1] and size + tensor.nbytes > room:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.nbytes
    return shards


# ----------------------------------------------------------------------------------------------------------
# reading


def load_into(
    module: nn.Module,
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    rename: Callable[[str], str] | None = None,
) -> None:
    """Load the tensors of a folder into a module, one by one.

    A module on the meta device takes the tensors themselves, as `dtype` (None: the one on disk) on `device`; any
    other keeps its own dtype, device and memory format. `rename` gives the module's name of a tensor on disk.
    ValueError, before any tensor is read: one is missing, unexpected or of another shape.
    """
    files = tensor_files(folder)
    names = {(rename(name) if rename else name): name for name in files}
    expected = module.state_dict()
    for name, tensor in expected.items():
        if name not in names:
            raise ValueError(f"{folder}: tensor {name} of shape {list(tensor.shape)} is missing")
        shape = files[names[name]][1]
        if shape != list(tensor.shape):
            raise ValueError(f"{folder}: tensor {name} has shape {shape}, config.json asks for {list(tensor.shape)}")
    for name, on_disk in names.items():
        if name not in expected:
            raise ValueError(f"{folder}: tensor {name} of shape {files[on_disk][1]} is not part of this model")
    on_meta = any(tensor.is_meta for tensor in expected.values())
    for on_disk, tensor in read_tensors(files):
        name = rename(on_disk) if rename else on_disk
        if on_meta:
            tensor = tensor.to(device, dtype if tensor.is_floating_point() else None)
        module.load_state_dict({name: tensor}, strict=False, assign=on_meta)


TensorFiles = dict[str, tuple[Path, list[int]]]  # file and shape of every tensor


def tensor_files(folder: str | Path) -> TensorFiles:
    """File and shape of every tensor in a weights folder, from the headers alone. ValueError: not whole safetensors."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder with weights")
    for single in SINGLES:
        index = folder / f"{single}.index.json"
        if index.is_file():
            return _sharded_files(index)
        if (folder / single).is_file():
            return {name: (folder / single, shape) for name, shape in check_safetensors(folder / single).items()}
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise ValueError(f"{folder} holds {pickles[0]}, a pickle, which can run code; only safetensors are loaded")
    raise ValueError(f"{folder} has no {SINGLES[0]} and no {SINGLES[0]}.index.json")


def _sharded_files(index: Path) -> TensorFiles:
    """As `tensor_files`, by the weight_map of an index file."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index} has no weight_map")
    files: TensorFiles = {}
    for shard in sorted(set(weight_map.values()), key=str):
        if not isinstance(shard, str) or not re.fullmatch(r"[\w.-]+\.safetensors", shard):
            raise ValueError(f"{index} names {shard!r}, which is not a safetensors file beside it")
        for name, shape in check_safetensors(index.parent / shard).items():
            if weight_map.get(name) != shard:
                raise ValueError(f"{index.parent / shard}: tensor {name} should not be in this file, says {index.name}")
            files[name] = index.parent / shard, shape
    for name, shard in weight_map.items():
        if name not in files:
            raise ValueError(f"{index.parent / shard}: tensor {name} is missing")
    return files


def read_tensors(files: TensorFiles) -> Iterator[tuple[str, Tensor]]:
    """Iterate over names and tensors (on the CPU), file by file, each read when it is asked for."""
    for path in dict.fromkeys(path for path, _ in files.values()):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (it is no dictionary)
                    yield name, file.get_tensor(name)
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"{path} is not valid safetensors: {error}") from None


def check_safetensors(path: str | Path) -> dict[str, list[int]]:
    """Names and shapes of a safetensors file from its header. ValueError: missing, a pickle, truncated or malformed."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")):
            raise ValueError(f"{path} is a pickle, which can run code; only safetensors are loaded")
        if len(start) < 8:
            raise ValueError(f"{path} is truncated: {size} bytes, too few for safetensors")
        header_size = struct.unpack("<Q", start)[0]
        if header_size > MAX_HEADER:
            raise ValueError(f"{path} is not safetensors: its header would have {header_size} bytes, over {MAX_HEADER}")
        if 8 + header_size > size:
            raise ValueError(f"{path} is truncated: {size} bytes, its header alone needs {8 + header_size}")
        try:
            header = json.loads(file.read(header_size))
            header.pop("__metadata__", None)
            shapes = {name: [int(side) for side in entry["shape"]] for name, entry in header.items()}
            whole = 8 + header_size + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            raise ValueError(f"{path} is not safetensors: its header cannot be read") from None
    if whole > size:
        raise ValueError(f"{path} is truncated: {size} bytes of {whole}")
    return shapes


def load_config(folder: str | Path, config: type[Config]) -> Config:
    """Read config.json of a folder as a dataclass. ValueError: an unknown key or an unusable value."""
    path = Path(folder) / "config.json"
    values = read_json(path)
    known = [field.name for field in fields(config)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(known)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return config(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def read_config_file(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Read a config file of diffusers or transformers. ValueError: it is missing, not JSON, or names code to run."""
    values = read_json(folder / name)
    for key in ("auto_map", "custom_pipelines", "trust_remote_code"):
        if key in values:
            raise ValueError(f"{folder / name} has {key!r}, which names code to run: it is not loaded")
    return values


def part_folder(folder: str | Path, part: str) -> Path:
    """FOLDER/part where that exists, else the folder itself."""
    inner = Path(folder) / part
    return inner if inner.is_dir() else Path(folder)


def count_parameters(module: nn.Module) -> int:
    """Number of parameters, on the meta device too."""
    return sum(math.prod(parameter.shape) for parameter in module.parameters())
