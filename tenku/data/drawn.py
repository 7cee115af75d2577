"""Render clips of the miniature world and encode them at once, in several processes, without writing videos.

What comes out is what `tenku world` and `tenku encode` give, without the files in between. The manifest is written
anew as shards come, so that training can begin with the first ones and meets the others at its checkpoints.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from tenku.data.latents import (
    OnClips,
    bucket_name,
    describe,
    describe_encoding,
    encode_frames,
    folder_digest,
    latent_shape,
    write_manifest,
    write_note,
)
from tenku.data.source import Sample
from tenku.model.autoencoder import Autoencoder, load_autoencoder
from tenku.system.files import read_json, write_tensors
from tenku.world.scene import FPS, SAMPLES, WORLD
from tenku.world.workers import make_all

SHARD = 16  # clips
FIRST = 1000  # clips in the first manifest, or all there are: tokenizer and sizes are made from them
MANIFEST_SECONDS = 12.0  # from one manifest to the next, at least


@dataclass(frozen=True)
class Drawing:
    """A shard to be drawn: consecutive seeds in one size, (width, height)."""

    name: str
    size: tuple[int, int]
    seeds: range


@dataclass(frozen=True)
class Recipe:
    """How the clips of a folder are drawn and encoded."""

    autoencoder: Path
    out: Path
    num_frames: int
    samples: int
    mirror: bool
    draw_on: str
    encode_on: str


@cache
def encoder(folder: Path, device: str) -> Autoencoder:
    """One for each process."""
    return load_autoencoder(folder).to(device)


def draw_shard(drawing: Drawing, recipe: Recipe, settings: dict[str, Any]) -> tuple[Drawing, list[dict[str, Any]]]:
    """Draw, encode and write a shard, its note last; returns it with the manifest's entries of its clips."""
    from tenku.world.clip import make_clip

    network = encoder(recipe.autoencoder, recipe.encode_on)
    latents, entries = [], []
    for seed in drawing.seeds:
        frames, truth = make_clip(seed, drawing.size, recipe.num_frames, "train", recipe.samples, recipe.draw_on)
        latents.append(encode_frames(network, frames[None], recipe.mirror, recipe.encode_on))
        entries += describe(Sample(recipe.out, truth), recipe.mirror)
    write_tensors(recipe.out / f"{drawing.name}.safetensors", {"latents": torch.cat(latents).to(torch.bfloat16)})
    note = {**settings, "seeds": list(drawing.seeds), "clips": entries}
    write_note(recipe.out, drawing.name, note)
    return drawing, entries


def plan_drawings(
    buckets: Sequence[tuple[tuple[int, int], int]],
    shape: Callable[[tuple[int, int]], tuple[int, int, int]],
    seed: int,
) -> list[Drawing]:
    """Shards of all sizes, taking turns, so that some of each come early; no seed comes twice.

    shape: from (width, height) to latent T H W.
    """
    planned: list[tuple[float, Drawing]] = []
    for size, count in buckets:
        for first in range(0, count, SHARD):
            seeds = range(seed + first, seed + min(first + SHARD, count))
            name = f"{bucket_name(*shape(size))}-{seeds.start:08d}"
            planned.append(((first + SHARD / 2) / count, Drawing(name, size, seeds)))
        seed += count
    return [drawing for _, drawing in sorted(planned, key=lambda entry: entry[0])]


def draw_latents(
    buckets: Sequence[tuple[tuple[int, int], int]],
    autoencoder: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    num_frames: int = 48,
    samples: int = SAMPLES,
    mirror: bool = True,
    workers: int = 1,
    draw_on: str = "cpu",
    encode_on: str = "cpu",
    on_progress: OnClips = lambda done, total: None,
) -> Path:
    """Fill OUT with the latents of so many clips of each size; returns the manifest's path.

    buckets: ((width, height), clips). draw_on, encode_on: "cpu" or "cuda". Shards that are there already stay.
    ValueError when a size or length does not fit, or OUT holds latents that were made otherwise.
    """
    recipe = Recipe(Path(autoencoder), Path(out), num_frames, samples, mirror, draw_on, encode_on)
    recipe.out.mkdir(parents=True, exist_ok=True)
    network = encoder(recipe.autoencoder, encode_on)
    group = network.temporal_compression
    if num_frames % group:
        raise ValueError(f"clips of {num_frames} frames cannot be encoded: it must be a multiple of {group}")
    settings = describe_encoding(network, folder_digest(recipe.autoencoder), mirror, torch.bfloat16)
    made_as = {**settings, "samples": samples, "world": WORLD}
    shape = partial(latent_shape, "a clip to be drawn", frames=num_frames, autoencoder=network)
    drawings = plan_drawings(buckets, shape, seed)
    notes = {drawing.name: read_note(recipe.out, drawing, made_as) for drawing in drawings}
    complete = {name: note["clips"] for name, note in notes.items() if note is not None}
    missing = [drawing for drawing in drawings if drawing.name not in complete]
    total = sum(count for _, count in buckets)
    done = total - sum(len(drawing.seeds) for drawing in missing)
    on_progress(done, total)
    next_manifest = time.monotonic() + MANIFEST_SECONDS
    work = partial(draw_shard, recipe=recipe, settings=made_as)
    for drawing, entries in make_all(missing, work, workers, draw_on):
        complete[drawing.name] = entries
        done += len(drawing.seeds)
        on_progress(done, total)
        begun = time.monotonic()
        if begun > next_manifest and done >= FIRST:
            write_manifest(recipe.out, complete, settings, FPS)
            # The list grows: no more than a twentieth of the time goes into writing it.
            next_manifest = begun + max(MANIFEST_SECONDS, 20 * (time.monotonic() - begun))
    return write_manifest(recipe.out, complete, settings, FPS)


def read_note(out: Path, drawing: Drawing, made_as: dict[str, Any]) -> dict[str, Any] | None:
    """What a shard of a former call holds, None when it lacks clips. ValueError when it was made otherwise."""
    path = out / f"{drawing.name}.json"
    if not path.is_file() or not path.with_suffix(".safetensors").is_file():
        return None
    note = read_json(path)
    for key, value in made_as.items():
        if note.get(key) != value:
            raise ValueError(f"{out} holds latents with {key} {note.get(key)}, not {value}: choose another folder")
    return note if note["seeds"] == list(drawing.seeds) else None
