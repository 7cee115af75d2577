"""Atomic writes of files and folders: written beside their place, synced to the disk (fsync), then renamed.

So what has its name is complete, whenever the process or the machine stopped.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk (fsync)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A path to write to; the file there replaces `path` when the block ends without an error."""
    partial = path.with_name(f".{path.name}.partial")
    yield partial
    sync(partial)
    os.replace(partial, path)


@contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """An empty folder to write into; it replaces `folder` when the block ends, and is removed after an error."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        yield new
        for path in [*sorted(new.rglob("*")), new]:
            sync(path)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write a value as JSON, atomically."""
    with new_file(path) as new:
        new.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def save_tensors(tensors: Mapping[str, "Tensor"], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write safetensors readable to whom the umask says, as any other file; safetensors' own would be 0600."""
    from safetensors.torch import save_file  # loads torch

    path.touch()
    mode = path.stat().st_mode
    save_file(dict(tensors), str(path), metadata=metadata)
    path.chmod(mode)


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"], metadata: dict[str, str] | None = None) -> None:
    """Write safetensors, atomically; views, shared memory and tensors on a GPU are copied out first."""
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    with new_file(path) as new:
        save_tensors(plain, new, metadata)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. ValueError: it is missing, not JSON, or no object."""
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} should hold a JSON object")
    return values
