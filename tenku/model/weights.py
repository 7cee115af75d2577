"""Weights on disk: a folder with config.json and safetensors, written all at once and read with suspicion.

A folder is written under another name, flushed to the disk and renamed, so that under its own name it is
always complete. Large models are cut into shards of at most 16 MiB, small enough for any source host.
Nothing here ever unpickles.
"""

import json
import math
import os
import re
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tenku.model.transformer import Transformer, TransformerConfig

MiB = 2**20
SHARD_SIZE = 16 * MiB
MAX_HEADER = 16 * MiB
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

Config = TypeVar("Config")


# ----------------------------------------------------------------------------------------------------------
# writing


def save_module(module: nn.Module, config: Any, folder: str | Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a module and its config dataclass as a complete folder, replacing what was there.

    Parameters are stored in `dtype`, buffers in their own. Raises OSError when the disk is full or not
    writable; the former content is then untouched.
    """
    with new_folder(folder) as new:
        write_module(module, config, new, dtype)


@contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """A new empty folder to write into, which takes the given name when the block ends without an error."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        yield new
        for path in [*sorted(new.rglob("*")), new]:
            _flush(path)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        _flush(folder.parent)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_module(module: nn.Module, config: Any, folder: Path, dtype: torch.dtype) -> None:
    """Write the files of `save_module` into an existing folder."""
    buffers = {name for name, _ in module.named_buffers()}
    state = {
        name: (tensor if name in buffers else tensor.to(dtype)).detach().cpu().contiguous()
        for name, tensor in module.state_dict().items()
    }
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8")
    shards = _cut_into_shards(state)
    if len(shards) == 1:
        save_file(state, folder / SINGLE)
        return
    weight_map = {}
    for k, names in enumerate(shards):
        shard = f"model-{k + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file({name: state[name] for name in names}, folder / shard)
        weight_map.update(dict.fromkeys(names, shard))
    total = sum(tensor.nbytes for tensor in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _cut_into_shards(state: dict[str, Tensor]) -> list[list[str]]:
    """Names in order, a new shard whenever the next tensor would make it larger than SHARD_SIZE."""
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


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ----------------------------------------------------------------------------------------------------------
# reading


def load_transformer(
    folder: str | Path, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> Transformer:
    """A transformer from FOLDER/transformer or from the folder itself.

    dtype None keeps the one on disk. Raises ValueError, naming file or tensor, when anything is missing or
    wrong.
    """
    folder = part_folder(folder, "transformer")
    config = load_config(folder, TransformerConfig)
    with torch.device("meta"):  # no memory and no initialisation for weights about to be replaced
        transformer = Transformer(config)
    load_into(transformer, folder)
    return transformer.to(device=device, dtype=dtype)


def load_into(module: nn.Module, folder: str | Path) -> None:
    """Put the tensors of a folder into a module.

    A module on the meta device takes the tensors themselves (no second copy), in the dtype on disk; any
    other keeps its own dtype and memory format. Raises ValueError when a tensor is missing, left over or of
    another shape.
    """
    state = load_state(folder)
    expected = module.state_dict()
    for name, tensor in expected.items():
        if name not in state:
            raise ValueError(f"{folder}: tensor {name} of shape {list(tensor.shape)} is missing")
        if state[name].shape != tensor.shape:
            raise ValueError(
                f"{folder}: tensor {name} has shape {list(state[name].shape)}, "
                f"config.json asks for {list(tensor.shape)}"
            )
    for name in state:
        if name not in expected:
            raise ValueError(f"{folder}: tensor {name} of shape {list(state[name].shape)} is not part of this model")
    module.load_state_dict(state, strict=True, assign=any(tensor.is_meta for tensor in expected.values()))


def load_state(folder: str | Path) -> dict[str, Tensor]:
    """Every tensor of a weights folder by name, on the CPU. ValueError: anything but whole safetensors."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder with weights")
    if (folder / INDEX).is_file():
        return _load_shards(folder)
    if (folder / SINGLE).is_file():
        return _load_file(folder / SINGLE)
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise ValueError(f"{folder} holds {pickles[0]}, a pickle, which can run code; only safetensors are loaded")
    raise ValueError(f"{folder} has no {SINGLE} and no {INDEX}")


def _load_shards(folder: Path) -> dict[str, Tensor]:
    weight_map = _read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{folder / INDEX} has no weight_map")
    state: dict[str, Tensor] = {}
    for shard in sorted(set(weight_map.values()), key=str):
        if not isinstance(shard, str) or not re.fullmatch(r"[\w.-]+\.safetensors", shard):
            raise ValueError(f"{folder / INDEX} names {shard!r}, which is not a safetensors file beside it")
        for name, tensor in _load_file(folder / shard).items():
            if weight_map.get(name) != shard:
                raise ValueError(f"{folder / shard}: tensor {name} should not be in this file, says {INDEX}")
            state[name] = tensor
    for name, shard in weight_map.items():
        if name not in state:
            raise ValueError(f"{folder / shard}: tensor {name} is missing")
    return state


def _load_file(path: Path) -> dict[str, Tensor]:
    check_safetensors(path)
    try:
        return load_file(path)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not valid safetensors: {error}") from None


def check_safetensors(path: str | Path) -> None:
    """Refuse a file that is missing, a pickle, truncated or has an absurd header, before parsing it."""
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
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            whole = 8 + header_size + max(ends, default=0)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            raise ValueError(f"{path} is not safetensors: its header cannot be read") from None
    if whole > size:
        raise ValueError(f"{path} is truncated: {size} bytes of {whole}")


def load_config(folder: str | Path, config: type[Config]) -> Config:
    """config.json of a folder as the given dataclass. Raises ValueError for unknown or unusable keys."""
    path = Path(folder) / "config.json"
    values = _read_json(path)
    known = [field.name for field in fields(config)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(known)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return config(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def part_folder(folder: str | Path, part: str) -> Path:
    """FOLDER/part where that exists, else the folder itself."""
    inner = Path(folder) / part
    return inner if inner.is_dir() else Path(folder)


def count_parameters(module: nn.Module) -> int:
    return sum(math.prod(parameter.shape) for parameter in module.parameters())


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} should hold a JSON object")
    return values
