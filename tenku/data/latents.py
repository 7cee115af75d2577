"""Encode clips to latent shards, once: training then reads only these.

    OUT/t12-h16-w16-00000.safetensors   "latents" N C T H W, the clips of one latent shape
    OUT/t12-h16-w16-00000.json          what they show: seeds, captions, descriptions, split, mirrored or not
    OUT/manifest.json                     written last: buckets, their shards and all clips

A shard whose clips are all asked for again is kept, wherever in the list they are now; the others make new ones. So
a run that was killed goes on at the first shard that is missing, and clips that are added cost only themselves. Shards
that no manifest lists stay, for the day their clips are asked for again. Every clip can also be encoded flipped left
to right, with captions written anew for the flipped description: twice the data for the price of encoding.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tenku.data.readers import read_ahead, start_readers
from tenku.data.source import Sample, clips
from tenku.model.autoencoder import load_autoencoder
from tenku.model.precision import autocast
from tenku.system.files import read_json, write_json, write_tensors
from tenku.world import captions

FORMAT = 1
FileKey = tuple[int, int]  # see `file_key`
OnClips = Callable[[int, int], None]  # called with the clips that are there and all, first with those from before


class Encoder(Protocol):
    """What encoding needs of an autoencoder."""

    spatial_compression: int
    temporal_compression: int

    @property
    def latent_channels(self) -> int: ...

    def encode(self, video: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Shard:
    """The clips that go into one file; `name` is its name without an ending."""

    bucket: str
    shape: tuple[int, int, int]  # latent T H W
    name: str
    samples: list[Sample]


def encode_clips(
    clip_folder: str | Path | Sequence[str | Path],
    autoencoder_folder: str | Path,
    out: str | Path,
    *,
    device: str = "cpu",
    **options: Any,
) -> Path:
    """Encode every clip of a folder, or of several, with an autoencoder; returns the manifest's path.

    Frames are cut to a multiple of the autoencoder's temporal compression. options: of `encode_samples`. ValueError
    when a folder is missing, a clip is damaged, or a size does not fit the autoencoder.
    """
    folders = [clip_folder] if isinstance(clip_folder, str | Path) else clip_folder
    samples = [sample for folder in folders for sample in clips(folder)]
    autoencoder = load_autoencoder(autoencoder_folder).float().to(device).eval()
    identity = folder_digest(Path(autoencoder_folder))
    return encode_samples(samples, autoencoder, identity, Path(out), device=device, **options)


def encode_samples(
    samples: Sequence[Sample],
    autoencoder: Encoder,
    identity: str,
    out: Path,
    *,
    mirror: bool = True,
    batch_size: int = 2,
    shard_size: int = 64,
    dtype: torch.dtype = torch.bfloat16,
    device: str = "cpu",
    on_progress: OnClips = lambda done, total: None,
) -> Path:
    """`encode_clips` with clips and autoencoder at hand. `identity` tells its weights from others'.

    mirror: each clip also flipped left to right. batch_size, shard_size: clips at a time, and in a file.
    """
    out.mkdir(parents=True, exist_ok=True)
    settings = describe_encoding(autoencoder, identity, mirror, dtype)
    kept, missing = plan_shards(samples, autoencoder, shard_size, former_shards(out, settings))
    notes: dict[str, dict[str, Any]] = {}
    for shard in kept + missing:
        entries = [entry for sample in shard.samples for entry in describe(sample, mirror)]
        notes[shard.name] = {**settings, "files": [file_key(each) for each in shard.samples], "clips": entries}
    done = sum(len(shard.samples) for shard in kept)
    on_progress(done, len(samples))
    for shard in kept:
        write_note(out, shard.name, notes[shard.name])  # again, since captions may have been edited
    with start_readers(device) as readers:
        for shard in missing:
            batches = read_batches(shard.samples, batch_size, autoencoder.temporal_compression, readers)
            encoded = [encode_frames(autoencoder, frames, mirror, device) for frames in batches]
            (out / f"{shard.name}.json").unlink(missing_ok=True)  # of other settings
            write_tensors(out / f"{shard.name}.safetensors", {"latents": torch.cat(encoded).to(dtype)})
            write_note(out, shard.name, notes[shard.name])
            done += len(shard.samples)
            on_progress(done, len(samples))
    entries_of = {name: note["clips"] for name, note in notes.items()}
    return write_manifest(out, entries_of, settings, samples[0].truth.get("fps", 16))


def plan_shards(
    samples: Sequence[Sample], autoencoder: Encoder, shard_size: int, former: Mapping[str, list[FileKey]]
) -> tuple[list[Shard], list[Shard]]:
    """The shards that can stay as they are, and new ones of `shard_size` for the other clips, by latent shape."""
    by_shape: dict[tuple[int, int, int], list[Sample]] = {}
    for sample in samples:
        shape = latent_shape(str(sample.path), sample.size, sample.num_frames, autoencoder)
        by_shape.setdefault(shape, []).append(sample)
    kept, new = [], []
    for shape, members in sorted(by_shape.items()):
        bucket = bucket_name(*shape)
        waiting: dict[FileKey, list[Sample]] = {}  # those of one key are taken in turn
        for sample in members:
            waiting.setdefault(file_key(sample), []).append(sample)
        for name, files in former.items():
            there = all(len(waiting.get(key, ())) >= times for key, times in Counter(files).items())
            if there and name.rpartition("-")[0] == bucket:
                kept.append(Shard(bucket, shape, name, [waiting[key].pop(0) for key in files]))
        names = (name for k in count() if (name := f"{bucket}-{k:05d}") not in former)
        rest = [sample for alike in waiting.values() for sample in alike]
        new += [
            Shard(bucket, shape, next(names), rest[start : start + shard_size])
            for start in range(0, len(rest), shard_size)
        ]
    return kept, new


def latent_shape(what: str, size: tuple[int, int], frames: int, autoencoder: Encoder) -> tuple[int, int, int]:
    """Latent T H W of a clip of (width, height). ValueError, naming `what` it is, when a side does not fit."""
    (width, height), space = size, autoencoder.spatial_compression
    if width % (2 * space) or height % (2 * space):
        raise ValueError(f"{what} is {width}x{height}; both sides must be multiples of {2 * space}")
    return max(1, frames // autoencoder.temporal_compression), height // space, width // space


def read_batches(
    samples: Sequence[Sample], batch_size: int, temporal_compression: int, readers: Executor
) -> Iterator[np.ndarray]:
    """Batches B T H W 3, cut to whole groups of frames; two more are read while one is encoded."""
    # clips of one latent shape may differ by a few frames that fill no group
    whole = samples[0].num_frames // temporal_compression * temporal_compression or 1
    batch: list[np.ndarray] = []
    for _, frames in read_ahead(readers, Sample.frames, samples, 2 * batch_size):
        batch.append(frames.result()[:whole])
        if len(batch) == batch_size:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


@torch.no_grad()
def encode_frames(autoencoder: Encoder, frames: np.ndarray, mirror: bool, device: str) -> Tensor:
    """uint8 B T H W 3 to latents N C T H W on the CPU; `mirror` puts each clip's mirrored self after it."""
    video = torch.from_numpy(frames).to(device).permute(0, 4, 1, 2, 3).float() / 127.5 - 1  # B 3 T H W
    if mirror:
        video = torch.stack([video, video.flip(-1)], dim=1).flatten(0, 1)
    with autocast(device):
        return autoencoder.encode(video).float().cpu()


def describe(sample: Sample, mirror: bool) -> list[dict[str, Any]]:
    """The manifest's entries of a clip, in the order of its latents."""
    truth = sample.truth
    entry = {
        "seed": sample.seed,
        "split": truth.get("split", "train"),
        "mirrored": False,
        "captions": truth["captions"],
        "description": truth.get("description"),
    }
    if not mirror:
        return [entry]
    flipped = captions.mirror(truth["description"])
    rng = np.random.default_rng([sample.seed, 1])
    return [
        entry,
        {**entry, "mirrored": True, "description": flipped, "captions": captions.write_all(flipped, rng)},
    ]


def former_shards(out: Path, settings: Mapping[str, Any]) -> dict[str, list[FileKey]]:
    """The clips of the whole shards that former runs with the same settings left, by the shards' names."""
    found = {}
    for path in sorted(out.glob("t*-h*-w*-*.json")):
        note = read_json(path)
        same = all(note.get(key) == settings[key] for key in ("autoencoder", "mirror", "dtype"))
        if same and "files" in note and path.with_suffix(".safetensors").is_file():
            found[path.stem] = [(seed, size) for seed, size in note["files"]]
    return found


def file_key(sample: Sample) -> FileKey:
    """What tells a clip from others: its seed, and the size of its file, which differs once it is drawn anew."""
    return sample.seed, sample.path.stat().st_size


def write_note(out: Path, name: str, note: dict[str, Any]) -> None:
    """What a shard shows, written after its latents: the sign that it is whole."""
    write_json(out / f"{name}.json", note, indent=None)


def sizes_of(manifest: dict[str, Any]) -> list[tuple[int, int]]:
    """(width, height) of all buckets of a manifest, that of most clips first."""
    counts: Counter[tuple[int, int]] = Counter()
    for bucket in manifest["buckets"]:
        width, height = bucket["size"]
        counts[width, height] += sum(len(shard["clips"]) for shard in bucket["shards"])
    return [size for size, _ in counts.most_common()]


def describe_encoding(autoencoder: Encoder, identity: str, mirror: bool, dtype: torch.dtype) -> dict[str, Any]:
    """What all shards of a folder have in common."""
    return {
        "latent_channels": autoencoder.latent_channels,
        "spatial_compression": autoencoder.spatial_compression,
        "temporal_compression": autoencoder.temporal_compression,
        "autoencoder": identity,
        "mirror": mirror,
        "dtype": str(dtype).removeprefix("torch."),
    }


def bucket_name(frames: int, height: int, width: int) -> str:
    return f"t{frames}-h{height}-w{width}"


def write_manifest(out: Path, shards: Mapping[str, list[dict[str, Any]]], settings: dict[str, Any], fps: float) -> Path:
    """OUT/manifest.json of the entries of each shard's clips, by the shard's name."""
    buckets: dict[str, dict[str, Any]] = {}
    space = settings["spatial_compression"]
    for name in sorted(shards):
        bucket_of, _ = name.rsplit("-", 1)
        shape = [int(part[1:]) for part in bucket_of.split("-")]  # T H W
        size = [shape[2] * space, shape[1] * space]
        bucket = buckets.setdefault(bucket_of, {"name": bucket_of, "shape": shape, "size": size, "shards": []})
        bucket["shards"].append({"file": f"{name}.safetensors", "clips": shards[name]})
    manifest = {"format": FORMAT, "fps": fps, **settings, "buckets": list(buckets.values())}
    path = out / "manifest.json"
    write_json(path, manifest, indent=None)
    return path


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """manifest.json of a latents folder. ValueError when it is missing or of another format."""
    path = Path(folder) / "manifest.json"
    if not path.is_file():
        raise ValueError(f"{folder} has no manifest.json; `tenku encode CLIPS --out {folder}` writes one when done")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{path} is not a manifest of format {FORMAT}")
    return manifest


def listed_clips(latents: Path) -> set[tuple[str, int]]:
    """(bucket, seed) of the clips that a latents folder lists; none where it has no manifest that can be read."""
    try:
        buckets = read_manifest(latents)["buckets"]
    except ValueError:
        return set()
    return {
        (bucket["name"], clip["seed"]) for bucket in buckets for shard in bucket["shards"] for clip in shard["clips"]
    }


def manifest_time(latents: Path) -> int | None:
    """When the list of encoded clips was written, in nanoseconds; None when there is none."""
    try:
        return (latents / "manifest.json").stat().st_mtime_ns
    except OSError:
        return None


def folder_digest(folder: Path) -> str:
    """A short name for the bytes of a weights folder, to tell one autoencoder's latents from another's."""
    digest = hashlib.sha256()
    inner = folder / "autoencoder"
    for path in sorted((inner if inner.is_dir() else folder).glob("*")):
        if path.suffix in (".json", ".safetensors"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
