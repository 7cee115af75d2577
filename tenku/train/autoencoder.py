"""Training of the video autoencoder on clips.

    RUN/log.jsonl       loss and its parts, PSNR on held-out clips
    RUN/checkpoints/    the last two, each complete; a run that is started again goes on from there
    RUN/autoencoder/    the averaged weights, with the mean and deviation of their latents, at the end
    RUN/sheet.png       clips above what came back

The loss is L1 + MSE + differences of neighbouring pixels at several scales (edges stay sharp) + local structure
(SSIM) + differences of neighbouring frames (no flicker); where something moves each counts several times. Two more
parts make latents that diffusion learns easily: a little KL, and that halved latents decode to the halved video (scale
equivariance, arXiv 2502.14831).
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tenku.media.sheet import contact_sheet
from tenku.media.video import read_video, write_png
from tenku.model.autoencoder import PRESETS, Autoencoder, AutoencoderConfig, to_video
from tenku.model.precision import autocast
from tenku.model.weights import load_into, part_folder, save_module
from tenku.system.device import choose_device
from tenku.system.files import read_json, write_json
from tenku.train import checkpoint
from tenku.train.crops import ClipCache, cut_to_fit, draw_crops
from tenku.train.ema import Average
from tenku.train.interrupt import interruptible
from tenku.train.measure import Log, shown, speed
from tenku.train.optim import build_optimizer
from tenku.train.reconstruction import halve, loss_parts
from tenku.train.sdedit_latents import Maker

SHEET_CLIPS = 12
MEASURED_CLIPS = 48
LARGE = 40 * 2**30  # bytes of a GPU that holds many clips and whole batches of pictures


@dataclass(frozen=True)
class AutoencoderTraining:
    """A run. Its budget is `minutes` of wall time, counted over resumes, or `steps`, or what ends first."""

    minutes: float | None = None
    steps: int | None = None
    preset: str = "embedded"
    batch_size: int = 5
    crop: int = 64  # pixels
    groups: int = 4  # of 4 frames: those in the middle see one before and one after
    busy: float = 0.7  # share of crops chosen for their motion
    seed: int = 0
    muon_lr: float = 5e-3
    adamw_lr: float = 2e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    warmup_steps: int = 50
    decay_from: float = 0.4  # share of the budget after which the rates fall in a line …
    final_lr: float = 0.01  # … to this share of themselves
    average_decay: float = 0.995
    squared: float = 2.0  # weights of the loss's parts; L1 has 1
    edges: float = 0.5
    structure: float = 1.5
    flicker: float = 1.0
    coarse: float = 0.25
    kl: float = 1e-3
    motion: float = 6.0  # how much more an error counts where something moves
    cache_gib: float = 4.0
    log_every: int = 50
    checkpoint_minutes: float = 3.0
    validation_clips: int = 4  # looked at with every checkpoint
    initial: Path | None = None  # a weights folder to start from, of the same preset
    decoder_only: bool = False  # leave the encoder of `initial` as it is: latents encoded before stay valid
    made_by: Path | None = None  # a model, whose transformer makes the latents of most clips anew

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            raise ValueError("say how long to train: minutes or steps")
        if min(value for value in (self.minutes, self.steps) if value is not None) <= 0:
            raise ValueError("the budget must be above 0")
        if self.preset not in PRESETS:
            raise ValueError(f"unknown autoencoder preset {self.preset!r}; choose one of {', '.join(PRESETS)}")
        if self.crop % 16 or self.crop < 16:
            raise ValueError(f"crop must be a multiple of 16, got {self.crop}")
        if min(self.groups, self.batch_size) < 1:
            raise ValueError("groups and batch_size must be at least 1")
        if self.decoder_only and self.initial is None:
            raise ValueError("decoder_only needs initial weights, whose encoder stays as it is")
        if self.made_by is not None and not self.decoder_only:
            raise ValueError("made_by needs decoder_only: a model knows the latents of one encoder")

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the loss's parts, in the order of `loss_parts`."""
        return 1.0, self.squared, self.edges, self.structure, self.flicker, self.coarse, self.kl, 0.0

    def progress(self, steps_done: int, elapsed: float) -> float:
        """Share of the budget that is spent; `elapsed` in seconds."""
        by_steps = steps_done / self.steps if self.steps else 0.0
        by_time = elapsed / (60 * self.minutes) if self.minutes else 0.0
        return max(by_steps, by_time)

    def lr_scale(self, steps_done: int, progress: float) -> float:
        """The rates' factor for the next step: warm-up, constant, then a line down."""
        warm = min(1.0, (steps_done + 1) / max(1, self.warmup_steps))
        fallen = max(0.0, (progress - self.decay_from) / (1 - self.decay_from))
        return warm * max(self.final_lr, 1 - (1 - self.final_lr) * fallen)


def for_device(settings: AutoencoderTraining, device: torch.device) -> AutoencoderTraining:
    """On a large GPU a step takes whole pictures, many at a time, from clips that stay in its memory."""
    if device.type != "cuda" or torch.cuda.get_device_properties(device).total_memory < LARGE:
        return settings
    return replace(settings, batch_size=64, crop=128, busy=0.0, cache_gib=24.0)


def polishing(settings: AutoencoderTraining, autoencoder: Path, made_by: Path | None = None) -> AutoencoderTraining:
    """The same budget for the decoder of a trained autoencoder alone: crops from anywhere, structure above all, and no
    part of the loss that is for latents, nor for motion, of which they hold no more. made_by: see `made.py`.
    """
    settings = replace(settings, initial=autoencoder, decoder_only=True, busy=0.0, motion=0.0, structure=5.0)
    settings = replace(settings, coarse=0.0, muon_lr=3e-3, adamw_lr=1e-3, decay_from=0.2, average_decay=0.99)
    if made_by is None:
        return settings
    # Whole pictures, for a transformer's sake, and what flickers weighs twice.
    return replace(settings, made_by=made_by, crop=128, batch_size=max(1, settings.batch_size // 3), flicker=2.0)


def train_autoencoder(
    clips: Sequence[Path],
    out: Path,
    minutes: float | None = None,
    *,
    steps: int | None = None,
    preset: str = "embedded",
    validation: Path | None = None,
    resume: str = "auto",
    device: str = "auto",
    show_progress: bool = True,
    settings: AutoencoderTraining | None = None,
) -> Path:
    """Train on folders of mp4 clips of any sizes, also while more arrive; returns RUN/autoencoder.

    `validation` is a folder of clips never trained on. `settings` replaces all the other dials. Ctrl-C saves a
    checkpoint, then raises KeyboardInterrupt. ValueError when there are no clips, or when RUN holds another run.
    """
    settings = settings or AutoencoderTraining(minutes, steps, preset)
    if resume not in ("auto", "never"):
        raise ValueError(f"resume is 'auto' or 'never', not {resume!r}")
    out, place = Path(out), choose_device(device)
    cache = ClipCache([Path(folder) for folder in clips], int(settings.cache_gib * 2**30), settings.seed, place)
    held_out = sorted(Path(validation).glob("*.mp4")) if validation is not None else []
    if validation is not None and not held_out:
        raise ValueError(f"there are no clips (*.mp4) in {validation}")
    run = AutoencoderRun(settings, out, cache, held_out, resume, place)
    columns = (TextColumn("autoencoder"), BarColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=not show_progress)
    cache.start()
    try:
        with interruptible() as interrupted, bar:
            task = bar.add_task("train", total=1.0, text="")
            while run.progress < 1 and not interrupted():
                run.one_step()
                bar.update(task, completed=run.progress, text=run.headline())
            run.save()
        if interrupted():
            raise KeyboardInterrupt
        return run.finish()
    finally:
        cache.close()


class AutoencoderRun:
    """All that changes during training, and how it goes to the disk and comes back."""

    def __init__(
        self,
        settings: AutoencoderTraining,
        out: Path,
        cache: ClipCache,
        held_out: Sequence[Path] = (),
        resume: str = "auto",
        device: torch.device | str = "cpu",
    ) -> None:
        self.settings, self.out, self.cache, self.held_out = settings, out, cache, list(held_out)
        self.device = torch.device(device)
        torch.backends.cudnn.benchmark = True  # few shapes, each many times: worth a search for the best convolution
        config = PRESETS[settings.preset]()
        resumed = checkpoint_to_resume(out, config, resume)
        torch.manual_seed(settings.seed)
        self.autoencoder = Autoencoder(config).to(self.device)
        if settings.initial is not None:
            load_into(self.autoencoder, part_folder(settings.initial, "autoencoder"))
        self.autoencoder.encoder.requires_grad_(not settings.decoder_only)
        self.make = None if settings.made_by is None else Maker(settings.made_by, self.autoencoder)
        self.optimizer = build_optimizer(
            self.autoencoder,
            muon_lr=settings.muon_lr,
            adamw_lr=settings.adamw_lr,
            weight_decay=settings.weight_decay,
        )
        self.average = Average({"autoencoder": self.autoencoder}, settings.average_decay)
        self.step, self.elapsed_before = 0, 0.0
        if resumed is not None:
            self._load(resumed)
        else:
            asked = {key: str(v) if isinstance(v, Path) else v for key, v in asdict(settings).items()}
            write_json(out / "config.json", {"autoencoder": asdict(config), "training": asked})
        self.log = Log(out / "log.jsonl", self.step)
        self.parts: list[Tensor] = []
        self.flops = 0.0  # of a step, counted before the first one
        self.latest: dict[str, float] = {}
        self.started = self.saved_at = self.logged_at = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of wall time spent on this run, over all its starts."""
        return self.elapsed_before + time.monotonic() - self.started

    @property
    def progress(self) -> float:
        return self.settings.progress(self.step, self.elapsed)

    def one_step(self) -> None:
        """A batch, its gradient, an update; then whatever is due. Seed and step decide batch and noise."""
        settings = self.settings
        random = np.random.default_rng([settings.seed, self.step])
        shape = settings.batch_size, settings.crop, 4 * settings.groups
        multiple = 8 if self.make is None else self.make.size_multiple
        crops = draw_crops(self.cache.clips, *shape, random, settings.busy, multiple)
        video = crops.to(self.device, non_blocking=True).float() / 127.5 - 1
        generator = torch.Generator(self.device).manual_seed(int(random.integers(2**62)))
        self.flops = self.flops or self._count_flops(video)
        parts = self._parts(video, generator, looked_at=int(random.integers(4)))
        self.optimizer.zero_grad()
        (parts * parts.new_tensor(settings.weights)).sum().backward()
        nn.utils.clip_grad_norm_(self.optimizer.parameters, settings.clip)
        self.optimizer.step(settings.lr_scale(self.step, self.progress))
        self.step += 1
        self.average.update(self.step)
        self.parts.append(parts.detach())
        if self.step % settings.log_every == 0:
            self._write_log()
        if time.monotonic() - self.saved_at > 60 * settings.checkpoint_minutes:
            self.save()

    def _parts(self, video: Tensor, generator: torch.Generator, looked_at: int) -> Tensor:
        """The loss's parts for B 3 T H W in [-1, 1]: encoded, made a little noisy, decoded whole and halved."""
        with autocast(self.device):
            mean, log_variance = (x.float() for x in self.autoencoder.encode_distribution(video))
            noise = torch.randn(mean.shape, generator=generator, device=self.device)
            latents = mean + (0.5 * log_variance).exp() * noise
            if self.make is not None:
                latents = self.autoencoder.unscale(self.make(self.autoencoder.scale(latents), generator))
            decoded = self.autoencoder.decode_raw(latents).float()
            small = self.autoencoder.decode_raw(halve(latents)).float() if self.settings.coarse else halve(video)
        return loss_parts(decoded, video, small, mean, log_variance, looked_at, self.settings.motion)

    @torch.no_grad()
    def _count_flops(self, video: Tensor) -> float:
        """Floating-point operations of a step: what is trained counts as three forward passes."""
        with FlopCounterMode(display=False) as encoding, autocast(self.device):
            mean, _ = self.autoencoder.encode_distribution(video[:1])
        with FlopCounterMode(display=False) as decoding, autocast(self.device):
            self.autoencoder.decode_raw(mean)
            if self.settings.coarse:
                self.autoencoder.decode_raw(halve(mean))
        with FlopCounterMode(display=False) as making:
            if self.make is not None:
                self.make(mean.float(), torch.Generator(self.device))
        trained = 1 if self.settings.decoder_only else 3
        once = trained * encoding.get_total_flops() + 3 * decoding.get_total_flops() + making.get_total_flops()
        return float(len(video) * once)

    def headline(self) -> str:
        """The progress bar's text."""
        told = shown(self.latest, loss="loss {:.4f}", psnr="{:.1f} dB", validation_psnr="held out {:.1f} dB")
        return " · ".join([f"step {self.step}", f"{len(self.cache.clips)} clips", *told])

    def _write_log(self) -> None:
        """The means since the last line. ValueError when the loss is no longer a number."""
        if not self.parts:
            return
        parts = torch.stack(self.parts).mean(0)
        absolute, _, edges, structure, flicker, coarse, kl, squared = parts.tolist()
        now, steps = time.monotonic(), len(self.parts)
        measured = speed(steps * self.settings.batch_size, steps * self.flops, now - self.logged_at, self.device)
        self.parts, self.logged_at = [], now
        loss = float((parts * parts.new_tensor(self.settings.weights)).sum())
        if not math.isfinite(loss):
            lr = self.settings.muon_lr
            raise ValueError(f"the loss is {loss} at step {self.step}: train again with muon_lr below {lr:g}")
        self.latest.update(loss=loss, psnr=decibel(squared), **measured)
        self.log.write(
            self.step,
            loss=round(loss, 5),
            absolute=round(absolute, 5),
            psnr=round(decibel(squared), 3),
            edges=round(edges, 5),
            structure=round(structure, 4),
            flicker=round(flicker, 5),
            coarse=round(coarse, 4),
            kl=round(kl, 4),
            clips=len(self.cache.clips),
            elapsed=round(self.elapsed, 1),
            **measured,
        )

    def save(self) -> None:
        """A complete checkpoint, and PSNR of the averaged weights on held-out clips."""
        self._write_log()
        tensors = {
            "autoencoder": self.autoencoder.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        checkpoint.save(self.out, self.step, tensors, {"step": self.step, "elapsed": self.elapsed})
        if self.held_out:
            pairs = [self.reconstruct(read_video(path)[0]) for path in self.held_out[: self.settings.validation_clips]]
            values = [decibel(float(np.mean((a / 127.5 - b / 127.5) ** 2))) for a, b in pairs]
            self.latest["validation_psnr"] = float(np.mean(values))
            self.log.write(self.step, validation_psnr=round(self.latest["validation_psnr"], 3))
        self.saved_at = self.logged_at = time.monotonic()

    def _load(self, path: Path) -> None:
        tensors, state = checkpoint.load(path)
        self.autoencoder.load_state_dict(tensors["autoencoder"])
        self.average.load_state_dict(tensors["average"])
        self.optimizer.load_state_dict(tensors["optimizer"])
        self.step, self.elapsed_before = state["step"], state["elapsed"]

    @property
    def averaged(self) -> Autoencoder:
        module = self.average.modules["autoencoder"]
        assert isinstance(module, Autoencoder)
        return module

    @torch.no_grad()
    def reconstruct(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(frames, what comes back of them), uint8 T H W 3, cut to whole groups and multiples of 8 pixels."""
        frames = cut_to_fit(frames)
        with autocast(self.device):
            decoded = self.averaged.decode(self.averaged.encode(to_video(frames, self.device)))[0]
        pixels = (decoded.float().clamp(-1, 1) + 1).mul(127.5).round().to(torch.uint8)
        return frames, pixels[:, : len(frames)].permute(1, 2, 3, 0).cpu().numpy()

    def finish(self) -> Path:
        """Measure the latents, write the weights and the sheet; returns the weights' folder."""
        seen = [clip.cpu().numpy() for clip in self.cache.clips[:MEASURED_CLIPS]]
        examples = [read_video(path)[0] for path in self.held_out[:SHEET_CLIPS]] or seen[:SHEET_CLIPS]
        if not self.settings.decoder_only:
            measure_latents(self.averaged, [*seen, *examples], self.device)
        folder = self.out / "autoencoder"
        save_module(self.averaged, self.averaged.config, folder)
        rows = [row for clip in examples for row in self.reconstruct(clip)]
        write_png(self.out / "sheet.png", contact_sheet(rows))
        return folder


@torch.no_grad()
def measure_latents(autoencoder: Autoencoder, clips: Sequence[np.ndarray], device: torch.device) -> None:
    """Set `latent_mean` and `latent_std` so that `encode` gives latents of mean 0 and deviation 1 on the clips.

    The deviation is one number for all channels: those that carry most of the picture stay the largest, so diffusion
    settles them first and errs least in them.
    """
    latents = []
    for clip in clips:
        with autocast(device):
            mean, _ = autoencoder.encode_distribution(to_video(cut_to_fit(clip), device))
        latents.append(mean[0].float().flatten(1))
    values = torch.cat(latents, dim=1)
    autoencoder.latent_mean.copy_(values.mean(1))
    autoencoder.latent_std.fill_(values.var(1).mean().sqrt().clamp(min=1e-3))


def decibel(mean_squared_error: float) -> float:
    """PSNR of values in [-1, 1]."""
    return 10 * math.log10(4 / max(mean_squared_error, 1e-10))


def checkpoint_to_resume(out: Path, config: AutoencoderConfig, resume: str) -> Path | None:
    """The checkpoint to go on from, None for a new run. ValueError when the folder holds another run."""
    out.mkdir(parents=True, exist_ok=True)
    newest = checkpoint.latest(out)
    if newest is None:
        return None
    if resume == "never":
        raise ValueError(f"{out} already holds a run; choose another folder or resume it with 'auto'")
    former = read_json(out / "config.json").get("autoencoder")
    if former != {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(config).items()}:
        raise ValueError(f"{out} holds a run of another autoencoder preset; choose another folder or that preset")
    return newest
