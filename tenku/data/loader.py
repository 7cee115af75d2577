"""Load latent shards into memory, and draw batches of latents with captions from them.

A batch has one latent shape. First a bucket is drawn (by its number of clips), then a length in latent
frames, then the clips. A shorter batch holds more clips, so that every batch costs about the same.
Captions tell of an event from its beginning, so most shorter pieces start at the first frame.

All chance comes from one CPU generator: with its state, a resumed run draws what the interrupted one
would have.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tenku.data.latents import read_manifest

VALIDATION_SHARE = 0.02
MAX_VALIDATION = 64


@dataclass
class Bucket:
    """All clips of one latent shape."""

    name: str
    latents: Tensor  # N C T H W in the dtype on disk
    captions: list[dict[str, list[str]]]  # of each clip, by language

    @property
    def num_frames(self) -> int:
        return self.latents.shape[2]

    def select(self, indices: Sequence[int]) -> "Bucket":
        return Bucket(self.name, self.latents[list(indices)], [self.captions[i] for i in indices])


@dataclass(frozen=True)
class Batch:
    latents: Tensor  # B C T H W float32
    captions: list[str]


@dataclass(frozen=True)
class Lengths:
    """How often a batch is full length, shorter, or a still (one latent frame); the shares add up to 1."""

    full: float = 0.45
    shorter: float = 0.40
    still: float = 0.15
    from_start: float = 0.75  # of the pieces shorter than their clip

    def __post_init__(self) -> None:
        total = self.full + self.shorter + self.still
        if min(self.full, self.shorter, self.still) < 0 or abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of full, shorter and still must add up to 1, not {total:g}")


LENGTHS = Lengths()


def load_buckets(folder: str | Path) -> tuple[list[Bucket], list[Bucket]]:
    """(training, validation) clips of a latents folder.

    Validation are the clips whose split is not "train"; where there are none, 2 % (at most 64) of the seeds,
    with their mirrored selves, are held out: none of fewer than 25 clips. ValueError when a
    shard is missing or does not match the manifest.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    entries = [clip for bucket in manifest["buckets"] for shard in bucket["shards"] for clip in shard["clips"]]
    held_out = held_out_seeds(entries)
    training, validation = [], []
    for description in manifest["buckets"]:
        bucket, clips = load_bucket(folder, description, manifest["latent_channels"])
        known = [i for i, clip in enumerate(clips) if clip["split"] == "train" and clip["seed"] not in held_out]
        unseen = [i for i, clip in enumerate(clips) if clip["split"] == "validation" or clip["seed"] in held_out]
        if known:
            training.append(bucket.select(known))
        if unseen:
            validation.append(bucket.select(unseen))
    if not training:
        raise ValueError(f"{folder} holds no clips of the split 'train'")
    return training, validation


def held_out_seeds(clips: Sequence[dict[str, Any]]) -> set[int]:
    """Seeds of training clips to keep for validation, when no clip belongs to that split already.

    Those with the lowest checksums: some of every size, and hardly one that was trained on before others were added.
    """
    seeds = {clip["seed"] for clip in clips if clip["split"] == "train"}
    if any(clip["split"] == "validation" for clip in clips):
        return set()
    count = min(MAX_VALIDATION, int(VALIDATION_SHARE * len(seeds) + 0.5))
    return set(sorted(seeds, key=lambda seed: zlib.crc32(str(seed).encode()))[:count])


def load_bucket(folder: Path, description: dict[str, Any], channels: int) -> tuple[Bucket, list[dict[str, Any]]]:
    """One bucket of the manifest with all its shards, and the manifest's entries of its clips."""
    shards, clips = [], []
    for shard in description["shards"]:
        path = folder / shard["file"]
        try:
            latents = load_file(str(path))["latents"]
        except Exception as error:  # safetensors has its own exception types
            raise ValueError(f"{path} cannot be read: {error}") from error
        expected = (len(shard["clips"]), channels, *description["shape"])
        if tuple(latents.shape) != expected:
            raise ValueError(f"{path} holds latents of shape {tuple(latents.shape)}, the manifest says {expected}")
        shards.append(latents)
        clips.extend(shard["clips"])
    return Bucket(description["name"], torch.cat(shards), [clip["captions"] for clip in clips]), clips


class Loader:
    """An endless source of batches."""

    def __init__(
        self, buckets: Sequence[Bucket], batch_size: int, seed: int = 0, device: torch.device | str = "cpu"
    ) -> None:
        """batch_size counts clips of the largest shape; other batches hold about as many latent numbers."""
        if not buckets:
            raise ValueError("there are no clips to draw batches from")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size, self.device = batch_size, torch.device(device)
        self.generator = torch.Generator().manual_seed(seed)
        self.hold(buckets)

    def hold(self, buckets: Sequence[Bucket]) -> None:
        """Draw from these buckets from now on, kept on the GPU when they take less than half of its free memory."""
        self.buckets: list[Bucket] = []
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # what was held before makes room
        self.buckets = list(buckets)
        self.budget = self.batch_size * max(bucket.latents[0].numel() for bucket in buckets)
        self.weights = torch.tensor([float(len(bucket.captions)) for bucket in buckets])
        if self.device.type != "cuda":
            return
        size = sum(bucket.latents.nbytes for bucket in self.buckets)
        if size < torch.cuda.mem_get_info(self.device)[0] / 2:
            for bucket in self.buckets:
                bucket.latents = bucket.latents.to(self.device)

    def next(self, lengths: Lengths = LENGTHS) -> Batch:
        bucket = self.buckets[int(torch.multinomial(self.weights, 1, generator=self.generator))]
        frames = self._length(bucket.num_frames, lengths)
        clip_size = bucket.latents[0].numel() // bucket.num_frames * frames
        # Stills are small; with more than four times the clips a batch would see too few different gradients.
        count = min(4 * self.batch_size, max(1, round(self.budget / clip_size)))
        clips = torch.randint(len(bucket.captions), (count,), generator=self.generator)
        starts = self._starts(count, bucket.num_frames, frames, lengths)
        chances = torch.rand(count, 2, generator=self.generator).tolist()
        captions = [choose_caption(bucket.captions[i], *two) for i, two in zip(clips.tolist(), chances, strict=True)]
        frame_indices = starts[:, None] + torch.arange(frames)  # B T
        device = bucket.latents.device
        latents = bucket.latents[upload(clips, device)[:, None], :, upload(frame_indices, device)]  # B T C H W
        return Batch(latents.transpose(1, 2).float().contiguous(), captions)

    def _length(self, full: int, lengths: Lengths) -> int:
        kind = float(torch.rand((), generator=self.generator))
        shorter = int(torch.randint(1, full, (), generator=self.generator)) if full > 1 else 1
        if kind < lengths.still:
            return 1
        return shorter if kind < lengths.still + lengths.shorter else full

    def _starts(self, count: int, full: int, frames: int, lengths: Lengths) -> Tensor:
        anywhere = torch.randint(full - frames + 1, (count,), generator=self.generator)
        at_start = torch.rand(count, generator=self.generator) < lengths.from_start
        return torch.where(at_start, 0, anywhere)


def choose_caption(by_language: dict[str, list[str]], language: float, number: float) -> str:
    """A clip's caption by two chances in [0, 1)."""
    languages = sorted(by_language)
    captions = by_language[languages[int(language * len(languages))]]
    return captions[int(number * len(captions))]


def upload(x: Tensor, device: torch.device) -> Tensor:
    """A small tensor on its way to the device: from pinned memory, so that nobody waits for the GPU."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x


def all_captions(buckets: Sequence[Bucket], language: str | None = None) -> list[str]:
    """Every different caption in order, of one language or of all, for tokenizer and vocabulary."""
    seen: dict[str, None] = {}
    for bucket in buckets:
        for by_language in bucket.captions:
            for told in sorted(by_language) if language is None else [language]:
                seen.update(dict.fromkeys(by_language.get(told, [])))
    return list(seen)
