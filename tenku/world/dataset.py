"""Folders of clips: {seed}.mp4 with its truth in {seed}.json, drawn by several processes, resumed where it stopped."""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from tenku.media.video import write_clip
from tenku.world.scene import FPS, SAMPLES, WORLD

Item = TypeVar("Item")
Result = TypeVar("Result")


def clip_path(out: Path, seed: int) -> Path:
    return out / f"{seed:010d}.mp4"


def write_clip_of(seed: int, out: Path, **how: Any) -> int:
    """Make the clip of a seed as `make_clip` is told how; the mp4 comes last, whole: an mp4 is a complete clip."""
    from tenku.world.clip import make_clip

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
    from tenku.world.clip import check_clip

    check_clip(size, num_frames, split, device, events)
    if seed < 0:
        raise ValueError(f"seeds count from 0, got {seed}")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    recipe: dict[str, object] = {
        "world": WORLD,
        "size": list(size),
        "num_frames": num_frames,
        "split": split,
        "samples": samples,
    }
    if events:
        recipe["events"] = sorted(set(events))
    _check_recipe(out / "world.json", recipe)
    missing = [s for s in range(seed, seed + clips) if not clip_path(out, s).exists()]
    done = clips - len(missing)
    on_progress(done, clips)
    make = partial(
        write_clip_of,
        out=out,
        size=size,
        num_frames=num_frames,
        split=split,
        samples=samples,
        device=device,
        events=events,
    )
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


def make_all(items: Sequence[Item], make: Callable[[Item], Result], workers: int, device: str) -> Iterator[Result]:
    """What `make` gives of each item, by several processes, in any order."""
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(make, items)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads of torch and of PyAV in any state
    with context.Pool(workers, _start_worker, (device,)) as pool:
        yield make(items[0])  # in this process: the ray tracer is compiled once, and the workers find it in the cache
        yield from pool.imap_unordered(make, items[1:])


def _start_worker(device: str) -> None:
    """Load what takes long while the first clip is made.

    Ctrl-C and a closed terminal are for the process that started the workers. Told to end, one lets go of what it holds
    before: the others, and the end of the pool, wait for the queue's lock.
    """
    for number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    import_module("tenku.world.clip")
    if device == "cuda":
        import_module("tenku.world.cuda")
