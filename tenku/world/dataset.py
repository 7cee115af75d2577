"""Write folders of clips: {seed}.mp4 with its truth in {seed}.json, by several processes, resumed where it stopped."""

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tenku.media.writer import write_clip
from tenku.world.clip import check_clip, make_clip
from tenku.world.scene import FPS, SAMPLES, WORLD
from tenku.world.workers import make_all


def clip_path(out: Path, seed: int) -> Path:
    return out / f"{seed:010d}.mp4"


def write_clip_of(seed: int, out: Path, **how: Any) -> int:
    """Make and write the clip of a seed (`how`: as `make_clip`). The mp4 comes last: with it the clip is complete."""
    frames, truth = make_clip(seed, **how)
    path = clip_path(out, seed)
    half_written = path.with_suffix(f".{os.getpid()}.tmp")
    half_written.write_text(json.dumps(truth, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    os.replace(half_written, path.with_suffix(".json"))
    write_clip(path, frames, FPS)
    return seed


def write_clips(
    out: str | Path,
    clips: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (128, 128),
    num_frames: int = 48,
    workers: int = 1,
    split: str = "train",
    samples: int = SAMPLES,
    device: str = "cpu",
    events: Sequence[str] = (),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Fill the folder with the clips of the seeds `seed` ... `seed + clips - 1`; returns how many were missing.

    Each clip depends on its own seed alone: the number of workers and an interruption change nothing. A folder holds
    clips of one world, size, length, split, number of samples and choice of events: ValueError otherwise.
    """
    check_clip(size, num_frames, split, device, events)
    if seed < 0:
        raise ValueError(f"seeds count from 0, got {seed}")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    how: dict[str, Any] = {"size": size, "num_frames": num_frames, "split": split, "samples": samples}
    recipe: dict[str, object] = {"world": WORLD, **how, "size": list(size)}
    if events:
        recipe["events"] = sorted(set(events))
    _check_recipe(out / "world.json", recipe)
    missing = [s for s in range(seed, seed + clips) if not clip_path(out, s).exists()]
    done = clips - len(missing)
    on_progress(done, clips)
    make = partial(write_clip_of, out=out, device=device, events=events, **how)
    for _ in make_all(missing, make, workers, device):
        done += 1
        on_progress(done, clips)
    return len(missing)


def _check_recipe(path: Path, recipe: dict[str, object]) -> None:
    if not path.exists():
        path.write_text(json.dumps(recipe))
    found = json.loads(path.read_text())
    if found.get("world") != recipe["world"]:
        raise ValueError(f"{path.parent} holds clips of another version of the world: choose another folder")
    if found != recipe:
        differ = [key for key in dict.fromkeys([*found, *recipe]) if found.get(key) != recipe.get(key)]
        told = ", ".join(f"{key} {found.get(key)} and not {recipe.get(key)}" for key in differ)
        raise ValueError(f"{path.parent} holds clips of {told}: choose another folder")
