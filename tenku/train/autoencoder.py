"""Train the video autoencoder on clips.

    RUN/autoencoder/   the averaged weights, with the mean and deviation of their latents, at the end
    RUN/sheet.png      clips above their reconstructions

and what every run leaves (`trainer.py`).

The loss is L1 + MSE + differences of neighbouring pixels at several scales (edges stay sharp) + local structure
(SSIM) + differences of neighbouring frames (no flicker); where something moves each counts several times. Two more
parts make latents that diffusion learns easily: a little KL, and that halved latents decode to the halved video (scale
equivariance, arXiv 2502.14831).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tenku.media.reader import read_video
from tenku.media.sheet import contact_sheet
from tenku.media.writer import write_png
from tenku.model.autoencoder import PRESETS, Autoencoder, to_frames, to_video
from tenku.model.precision import autocast
from tenku.model.weights import load_into, part_folder, save_module
from tenku.train.crops import ClipCache, cut_to_fit, draw_crops
from tenku.train.optim import Optimizer
from tenku.train.reconstruction import halve, loss_parts
from tenku.train.sdedit_latents import SDEdit
from tenku.train.trainer import Step, Trainer, TrainerConfig

SHEET_CLIPS = 12
MEASURED_CLIPS = 48
LOG_DIGITS = {"loss": 5, "absolute": 5, "psnr": 3, "edges": 5, "structure": 4, "flicker": 5, "coarse": 4, "kl": 4}


@dataclass(frozen=True, kw_only=True)
class AutoencoderTrainConfig(TrainerConfig):
    """A run of the autoencoder on folders of mp4 clips of any sizes, also while more arrive."""

    SECTION: ClassVar[str] = "training"
    KEYS: ClassVar[Mapping[str, str]] = {
        **TrainerConfig.KEYS,
        "ema_decay": "average_decay",
        "motion_crop_prob": "busy",
        "latents_from": "made_by",
    }
    FIXED: ClassVar[tuple[str, ...]] = ("preset",)

    clips: Sequence[Path]
    validation: Path | None = None  # a folder of clips never trained on
    preset: str = "embedded"
    batch_size: int = 5
    crop: int = 64  # pixels
    groups: int = 4  # of 4 frames: those in the middle see one before and one after
    motion_crop_prob: float = 0.7  # crops that are chosen for their motion
    warmdown_start: float = 0.4
    final_lr: float = 0.01
    ema_decay: float = 0.995
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
    validation_clips: int = 4  # measured with every checkpoint
    decoder_only: bool = False  # leave the encoder of `initial` as it is: latents encoded before stay valid
    latents_from: Path | None = None  # a model, whose transformer makes the latents of most clips anew (SDEdit)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preset not in PRESETS:
            raise ValueError(f"unknown autoencoder preset {self.preset!r}; choose one of {', '.join(PRESETS)}")
        if self.crop % 16 or self.crop < 16:
            raise ValueError(f"crop must be a multiple of 16, got {self.crop}")
        if min(self.groups, self.batch_size) < 1:
            raise ValueError("groups and batch_size must be at least 1")
        if self.decoder_only and self.initial is None:
            raise ValueError("decoder_only needs initial weights, whose encoder stays as it is")
        if self.latents_from is not None and not self.decoder_only:
            raise ValueError("latents_from needs decoder_only: a model knows the latents of one encoder")

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the loss's parts, in the order of `loss_parts`."""
        return 1.0, self.squared, self.edges, self.structure, self.flicker, self.coarse, self.kl, 0.0


class AutoencoderTrainer(Trainer):
    """Trains an autoencoder on random crops; `fit` returns RUN/autoencoder. ValueError when there are no clips."""

    config: AutoencoderTrainConfig
    name: ClassVar[str] = "autoencoder"
    headlines: ClassVar[Mapping[str, str]] = {
        "clips": "{:.0f} clips",
        "loss": "loss {:.4f}",
        "psnr": "{:.1f} dB",
        "validation_psnr": "held out {:.1f} dB",
    }
    cache: ClipCache

    def build(self, resumed: bool) -> dict[str, nn.Module]:
        config = self.config
        torch.backends.cudnn.benchmark = True  # few shapes, each many times: worth a search for the best convolution
        self.held_out = [] if config.validation is None else sorted(config.validation.glob("*.mp4"))
        if config.validation is not None and not self.held_out:
            raise ValueError(f"there are no clips (*.mp4) in {config.validation}")
        self.autoencoder = Autoencoder(PRESETS[config.preset]()).to(self.device)
        if config.initial is not None:
            load_into(self.autoencoder, part_folder(config.initial, "autoencoder"))
        self.autoencoder.encoder.requires_grad_(not config.decoder_only)
        self.sdedit = None if config.latents_from is None else SDEdit(config.latents_from, self.autoencoder)
        self.flops = 0.0  # of a step, counted before the first one
        self.cache = ClipCache(config.clips, int(config.cache_gib * 2**30), config.seed, self.device)
        self.cache.start()
        return {"autoencoder": self.autoencoder}

    def build_optimizer(self) -> Optimizer:
        return self.optimizer_over(self.autoencoder)

    def describe(self) -> dict[str, Any]:
        return {"autoencoder": asdict(self.autoencoder.config)}

    def train_step(self) -> Step:
        """Encode crops, sample latents, decode them whole and halved, compare. Seed and step decide crops and noise."""
        config = self.config
        random = np.random.default_rng([config.seed, self.step])
        shape = config.batch_size, config.crop, 4 * config.groups
        multiple = 8 if self.sdedit is None else self.sdedit.size_multiple
        crops = draw_crops(self.cache.clips, *shape, random, config.motion_crop_prob, multiple)
        video = crops.to(self.device, non_blocking=True).float() / 127.5 - 1  # B 3 T H W
        generator = torch.Generator(self.device).manual_seed(int(random.integers(2**62)))
        self.flops = self.flops or self.count_flops(video)
        looked_at = int(random.integers(4))
        with autocast(self.device):
            mean, log_variance = (x.float() for x in self.autoencoder.encode_distribution(video))
            noise = torch.randn(mean.shape, generator=generator, device=self.device)
            latents = mean + (0.5 * log_variance).exp() * noise
            if self.sdedit is not None:
                latents = self.autoencoder.unscale(self.sdedit(self.autoencoder.scale(latents), generator))
            decoded = self.autoencoder.decode_raw(latents).float()
            small = self.autoencoder.decode_raw(halve(latents)).float() if config.coarse else halve(video)
        parts = loss_parts(decoded, video, small, mean, log_variance, looked_at, config.motion)
        loss = (parts * parts.new_tensor(config.weights)).sum()
        return Step(loss, len(video), self.flops, {"parts": parts})

    @torch.no_grad()
    def count_flops(self, video: Tensor) -> float:
        """Floating-point operations of a step: what is trained counts as three forward passes."""
        with FlopCounterMode(display=False) as encoding, autocast(self.device):
            mean, _ = self.autoencoder.encode_distribution(video[:1])
        with FlopCounterMode(display=False) as decoding, autocast(self.device):
            self.autoencoder.decode_raw(mean)
            if self.config.coarse:
                self.autoencoder.decode_raw(halve(mean))
        with FlopCounterMode(display=False) as making:
            if self.sdedit is not None:
                self.sdedit(mean.float(), torch.Generator(self.device))
        trained = 1 if self.config.decoder_only else 3
        once = trained * encoding.get_total_flops() + 3 * decoding.get_total_flops() + making.get_total_flops()
        return float(len(video) * once)

    def metrics(self, means: dict[str, Tensor]) -> dict[str, float]:
        parts = means["parts"]
        names = ("absolute", "squared", "edges", "structure", "flicker", "coarse", "kl", "error")
        values = dict(zip(names, parts.tolist(), strict=True))
        values["loss"] = float((parts * parts.new_tensor(self.config.weights)).sum())
        values["psnr"] = decibel(values["error"])
        return {name: round(values[name], digits) for name, digits in LOG_DIGITS.items()} | {
            "clips": len(self.cache.clips)
        }

    def validate(self) -> dict[str, Any]:
        """PSNR of the averaged weights on held-out clips."""
        pairs = [self.reconstruct(read_video(path)[0]) for path in self.held_out[: self.config.validation_clips]]
        values = [decibel(float(np.mean((a / 127.5 - b / 127.5) ** 2))) for a, b in pairs]
        return {"validation_psnr": round(float(np.mean(values)), 3)} if values else {}

    @torch.no_grad()
    def reconstruct(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(frames, their reconstruction), uint8 T H W 3, cut to whole groups and multiples of 8 pixels."""
        frames, averaged = cut_to_fit(frames), self.ema.modules["autoencoder"]
        with autocast(self.device):
            decoded = averaged.decode(averaged.encode(to_video(frames, self.device)))
        return frames, to_frames(decoded)[: len(frames)]

    def finish(self) -> Path:
        """Measure the latents, write the weights and the sheet; returns the weights' folder."""
        seen = [clip.cpu().numpy() for clip in self.cache.clips[:MEASURED_CLIPS]]
        examples = [read_video(path)[0] for path in self.held_out[:SHEET_CLIPS]] or seen[:SHEET_CLIPS]
        averaged, folder = self.ema.modules["autoencoder"], self.config.out / "autoencoder"
        if not self.config.decoder_only:
            measure_latents(averaged, [*seen, *examples], self.device)
        save_module(averaged, averaged.config, folder)
        rows = [row for clip in examples for row in self.reconstruct(clip)]
        write_png(self.config.out / "sheet.png", contact_sheet(rows))
        return folder

    def close(self) -> None:
        if hasattr(self, "cache"):  # it could begin
            self.cache.close()
        super().close()


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
