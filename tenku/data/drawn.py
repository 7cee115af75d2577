"""Clips of the world straight to latents: drawn, encoded and forgotten, by several processes.

What comes out is what `tenku world` and `tenku encode` give, without the files in between. The manifest is written
anew as shards come, so that training can begin with the first ones and meets the others at its checkpoints.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch

from tenku.data.files import write_json, write_tensors
from tenku.data.latents import bucket_name, describe, describe_encoding, encode_frames, folder_digest, write_manifest
from tenku.data.source import Sample
from tenku.model.autoencoder import Autoencoder, load_autoencoder
from tenku.world.dataset import made
from tenku.world.scene import FPS, SAMPLES

SHARD = 16  # clips
MANIFEST_SECONDS = 12.0


@dataclass(frozen=True)
class Drawing:
    """A shard to be drawn: consecutive seeds in one size, (width, height)."""

    name: str
    size: tuple[int, int]
    seeds: range


@cache
def encoder(folder: Path, device: str) -> Autoencoder:
    """One for each process."""
    return load_autoencoder(folder).to(device)


def draw_shard(
    drawing: Drawing, autoencoder: Path, identity: str, out: Path, num_frames: int, samples: int, device: str
) -> str:
    """Draw, encode and write a shard, its note last; returns its name."""
    from tenku.world.clip import make_clip

    network = encoder(autoencoder, device)
    latents, entries = [], []
    for seed in drawing.seeds:
        frames, truth = make_clip(seed, drawing.size, num_frames, "train", samples, device)
        latents.append(encode_frames(network, frames[None], True, device))
        entries += describe(Sample(out, truth), mirror=True)
    write_tensors(out / f"{drawing.name}.safetensors", {"latents": torch.cat(latents).to(torch.bfloat16)})
    settings = describe_encoding(network, identity, True, torch.bfloat16)
    write_json(out / f"{drawing.name}.json", {**settings, "seeds": list(drawing.seeds), "clips": entries}, indent=None)
    return drawing.name


def plan_drawings(buckets: Sequence[tuple[tuple[int, int], int]], frames: int, seed: int) -> list[Drawing]:
    """Shards of all sizes, taking turns, so that some of each come early; no seed comes twice."""
    planned: list[tuple[float, Drawing]] = []
    for (width, height), count in buckets:
        name = bucket_name(frames // 4, height // 8, width // 8)
        for first in range(0, count, SHARD):
            seeds = range(seed + first, seed + min(first + SHARD, count))
            planned.append(((first + SHARD / 2) / count, Drawing(f"{name}-{seeds.start:08d}", (width, height), seeds)))
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
    workers: int = 1,
    device: str = "cpu",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Fill OUT with the latents of so many clips of each size; returns the manifest's path.

    buckets: ((width, height), clips). Shards that are there already stay. ValueError when a size does not fit, or OUT
    holds latents of another autoencoder.
    """
    out, folder = Path(out), Path(autoencoder)
    out.mkdir(parents=True, exist_ok=True)
    network, identity = encoder(folder, device), folder_digest(folder)
    space = 2 * network.spatial_compression
    for (width, height), _ in buckets:
        if width % space or height % space:
            raise ValueError(f"clips of {width}x{height} cannot be encoded: both sides must be multiples of {space}")
    drawings = plan_drawings(buckets, num_frames, seed)
    settings = describe_encoding(network, identity, True, torch.bfloat16)
    complete = [drawing.name for drawing in drawings if (out / f"{drawing.name}.json").is_file()]
    missing = [drawing for drawing in drawings if drawing.name not in set(complete)]
    total, done = sum(count for _, count in buckets), sum(count for _, count in buckets)
    done -= sum(len(drawing.seeds) for drawing in missing)
    lengths = {drawing.name: len(drawing.seeds) for drawing in drawings}
    on_progress(done, total)
    work = partial(
        draw_shard,
        autoencoder=folder,
        identity=identity,
        out=out,
        num_frames=num_frames,
        samples=samples,
        device=device,
    )
    written = time.monotonic()
    for name in made(missing, work, workers, device):
        complete.append(name)
        done += lengths[name]
        on_progress(done, total)
        if time.monotonic() - written > MANIFEST_SECONDS:
            write_manifest(out, sorted(complete), settings, FPS)
            written = time.monotonic()
    return write_manifest(out, sorted(complete), settings, FPS)
