"""Checkpoints: tensors in safetensors, the rest in JSON, complete or not there at all.

    RUN/checkpoints/step-00001200/{GROUP}.safetensors  one file per named group of tensors
                                  state.json           everything that is not a tensor
                                  COMPLETE             written last, after all else is on the disk

A checkpoint is written to a hidden folder, synced, renamed, and only then marked. So a power cut or a
SIGKILL at any moment leaves either a complete checkpoint or one that `latest` passes over.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tenku.system.files import read_json, sync, write_json, write_tensors

_NAME = re.compile(r"step-(\d{8})$")


def lock(run: Path) -> IO[bytes]:
    """Hold a run's folder until the file that is returned is closed, or the process ends in whatever way.

    ValueError when another process, or another trainer in this one, holds it.
    """
    run.mkdir(parents=True, exist_ok=True)
    file = (run / ".lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ValueError(f"another process trains in {run}: wait for it, or choose another folder") from None
    except OSError:  # a file system without locks
        pass
    return file


def save(
    run: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any], keep: int = 2
) -> Path:
    """Write one, a file per group of `tensors` and `state` as JSON; keep the last few."""
    folder = run / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    final, partial = folder / f"step-{step:08d}", folder / f".step-{step:08d}.partial"
    if is_complete(final):
        return final
    for leftover in (partial, final):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    for group, members in tensors.items():
        write_tensors(partial / f"{group}.safetensors", members)
    write_json(partial / "state.json", {**state, "groups": sorted(tensors)})
    sync(partial)
    os.rename(partial, final)
    sync(folder)
    (final / "COMPLETE").touch()
    sync(final / "COMPLETE")
    sync(final)
    for old in completed(run)[:-keep]:
        (old / "COMPLETE").unlink()  # first: a kill in between must not leave a broken one that looks whole
        shutil.rmtree(old)
    return final


def is_complete(checkpoint: Path) -> bool:
    return (checkpoint / "COMPLETE").is_file()


def completed(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    folder = run / "checkpoints"
    found = sorted(folder.glob("step-*")) if folder.is_dir() else []
    return [path for path in found if _NAME.search(path.name) and is_complete(path)]


def latest(run: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    return next(reversed(completed(run)), None)


def load(checkpoint: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """(tensors by group, state) of a complete checkpoint. ValueError when it is incomplete or damaged."""
    if not is_complete(checkpoint):
        raise ValueError(f"{checkpoint} is not a complete checkpoint (no COMPLETE marker in it)")
    try:
        state = read_json(checkpoint / "state.json")
        groups = state.pop("groups")
        tensors = {group: load_file(str(checkpoint / f"{group}.safetensors")) for group in groups}
    except Exception as error:  # safetensors has its own exception types, JSON another
        raise ValueError(f"{checkpoint} is damaged: {error}") from error
    return tensors, state


def random_state(generators: Mapping[str, torch.Generator]) -> dict[str, Tensor]:
    """States of named generators as uint8 tensors, with torch's global ones."""
    states = {name: generator.get_state() for name, generator in generators.items()}
    states["torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        states["torch.cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_state(generators: Mapping[str, torch.Generator], states: Mapping[str, Tensor]) -> None:
    """Set the generators to saved states; ValueError names one that was not saved."""
    for name, generator in generators.items():
        if name not in states:
            raise ValueError(f"the checkpoint has no state for the random generator {name!r}")
        generator.set_state(states[name])
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and "torch.cuda" in states:
        torch.cuda.set_rng_state(states["torch.cuda"])
