"""Training of the recogniser: a few minutes on two CPU cores for some thousand clips of 64x64.

The clips stay in memory, shrunk. Pictures are mirrored, shifted, softened and made noisy, so that the network
does not lean on detail that a generated clip cannot have.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track
from torch import Tensor

from tenku.evaluate.recogniser import (
    Frames,
    LabelledClip,
    Recogniser,
    RecogniserConfig,
    RecogniserNetwork,
    evenly,
    labels_of,
    read_clip_folder,
    shrink,
)
from tenku.model.precision import autocast
from tenku.system.device import choose_device
from tenku.train.optim import Optimizer

UNKNOWN = -100  # the class number of a label that a clip does not have: the loss skips it
WARMUP = 0.03  # share of the run
MUON_LR, ADAMW_LR = 5e-3, 2e-3
WEIGHTS = {"color": 2.0}  # the slowest to learn: the subject is a few pixels of the picture


def blur(video: Tensor, factor: float) -> Tensor:
    """B T 3 H W made as soft as `factor` times fewer pixels are: what an autoencoder does to detail."""
    flat = video.flatten(0, 1)
    small = F.interpolate(flat, scale_factor=1 / factor, mode="bilinear", antialias=True, align_corners=False)
    flat = F.interpolate(small, size=flat.shape[2:], mode="bilinear", align_corners=False)
    return flat.unflatten(0, video.shape[:2])


def augment(video: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror, brightness, contrast, a shift of some pixels, blur and noise: B T 3 H W in [0, 1], same shape.

    Every label survives all of these; hue is left alone because colours are labels.
    """

    def uniform(low: float, high: float, count: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    batch = len(video)
    mirrored = (torch.rand(batch, generator=generator) < 0.5)[:, None, None, None, None]
    video = torch.where(mirrored, video.flip(-1), video)
    down, across = (int(uniform(-3, 4).floor()) for _ in range(2))
    video = F.pad(video.flatten(0, 1), (3, 3, 3, 3), mode="replicate").unflatten(0, video.shape[:2])
    height, width = (length - 6 for length in video.shape[-2:])
    video = video[..., 3 + down : 3 + down + height, 3 + across : 3 + across + width]
    soft = batch // 2  # the batch is in random order
    video = torch.cat([blur(video[:soft], float(uniform(1.2, 2.6))), video[soft:]]) if soft else video
    gain, offset = uniform(0.85, 1.15, batch), uniform(-0.04, 0.04, batch)
    noise = uniform(0, 0.03, batch)[:, None, None, None, None] * torch.randn(video.shape, generator=generator)
    video = video * gain[:, None, None, None, None] + offset[:, None, None, None, None] + noise
    return video.clamp_(0, 1)


@dataclass
class Prepared:
    """Clips of one picture shape held in memory: uint8 N T 3 h w and, per label, N class numbers."""

    videos: Tensor
    targets: dict[str, Tensor]


def prepare(
    clips: Iterable[LabelledClip], config: RecogniserConfig, degrade: Callable[[Frames], Frames] | None
) -> list[Prepared]:
    """Shrink the clips and group them by shape. Every second one passes `degrade`."""
    groups: dict[tuple[int, ...], tuple[list[Tensor], list[dict[str, int]]]] = {}
    stored_frames = config.num_frames * 4 // 3  # more than are read at a time, so that training can jitter
    for i, (frames, description) in enumerate(clips):
        if degrade is not None and i % 2:
            frames = degrade(frames)
        video = shrink(evenly(frames, stored_frames), config.side)
        truth = labels_of(description)
        target = {
            name: UNKNOWN if truth[name] is None else classes.index(truth[name])  # type: ignore[arg-type]
            for name, classes in config.labels.items()
        }
        videos, targets = groups.setdefault(tuple(video.shape), ([], []))
        videos.append(video)
        targets.append(target)
    return [
        Prepared(torch.stack(videos), {name: torch.tensor([t[name] for t in targets]) for name in config.labels})
        for videos, targets in groups.values()
    ]


def draw_batch(
    groups: Sequence[Prepared], batch_size: int, num_frames: int, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """A random batch of one shape: B T 3 h w in [0, 1], and its targets.

    Half of the clips are shown whole, the others from their start to anywhere past 40 %: generated ones may
    be shorter than real ones. Frames are jittered in time.
    """
    sizes = torch.tensor([len(group.videos) for group in groups], dtype=torch.float)
    group = groups[int(torch.multinomial(sizes, 1, generator=generator))]
    chosen = torch.randint(len(group.videos), (batch_size,), generator=generator)
    stored = group.videos.shape[1]
    length = (0.4 + 1.2 * torch.rand((batch_size, 1), generator=generator)).clamp(max=1)
    grid = torch.linspace(0, stored - 1, num_frames) * length
    jitter = torch.rand((batch_size, num_frames), generator=generator) - 0.5
    moments = (grid + 0.9 * jitter).round().clamp(0, stored - 1).long()
    video = group.videos[chosen[:, None], moments].float() / 255
    return video, {name: target[chosen] for name, target in group.targets.items()}


def train_recogniser(
    clips: Iterable[LabelledClip] | str | Path,
    out: str | Path,
    minutes: float = 5.5,
    *,
    config: RecogniserConfig | None = None,
    degrade: Callable[[Frames], Frames] | None = None,
    batch_size: int = 32,
    max_steps: int | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Recogniser:
    """Train on (frames, description) pairs, or a clip folder's first `limit`, for `minutes` after reading.

    The weights are saved to `out`. `degrade` is an optional round trip through the autoencoder for half of
    the clips, so that its softness does not count against generated ones. With `max_steps` the run has that
    length whatever the clock says, and is repeatable. ValueError without clips.
    """
    if isinstance(clips, (str, Path)):
        clips = ((frames, truth["description"]) for frames, truth in read_clip_folder(clips, limit))
    config = config or RecogniserConfig()
    groups = prepare(track(clips, description="reading clips", console=Console(stderr=True)), config, degrade)
    if not groups:
        raise ValueError("train_recogniser got no clips")
    network = fit(groups, config, minutes, batch_size, max_steps, seed)
    recogniser = Recogniser(network, config)
    recogniser.save(out)
    return recogniser


def fit(
    groups: Sequence[Prepared],
    config: RecogniserConfig,
    minutes: float,
    batch_size: int,
    max_steps: int | None,
    seed: int,
) -> RecogniserNetwork:
    """Train a network from scratch; the rate rises, then falls to zero as the time (or the steps) run out."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = RecogniserNetwork(config)
    device = choose_device()
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = Optimizer(
        network, muon_lr=MUON_LR, adamw_lr=ADAMW_LR, hidden=lambda name, p: p.ndim == 4 and "stages.0" not in name
    )
    columns = (TextColumn("training recogniser"), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
    started, step = time.monotonic(), 0
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("train", total=1.0, note="")
        while True:
            elapsed = (time.monotonic() - started) / (60 * minutes)
            done = elapsed if max_steps is None else step / max_steps
            if done >= 1:
                break
            video, targets = draw_batch(groups, batch_size, config.num_frames, generator)
            video = augment(video, generator).to(device)
            targets = {name: target.to(device) for name, target in targets.items()}
            with autocast(device):
                logits = network(video)
            losses = {
                name: F.cross_entropy(row, targets[name], ignore_index=UNKNOWN, label_smoothing=0.05)
                for name, row in logits.items()
                if bool((targets[name] != UNKNOWN).any())
            }
            optimizer.zero_grad()
            weighted = [WEIGHTS.get(name, 1.0) * loss for name, loss in losses.items()]
            torch.stack(weighted).sum().backward()
            optimizer.step(min(1.0, done / WARMUP + 0.02) * (1 - done))
            step += 1
            if step % 10 == 0:
                note = " ".join(f"{name} {loss.item():.2f}" for name, loss in losses.items())
                progress.update(bar, completed=done, note=f"step {step} {note}")
        progress.update(bar, completed=1.0)
    return network.cpu().eval()
