"""Train the diffusion transformer and its text encoder together, on latents encoded before.

    RUN/text/       tokenizer, made from the captions at the start, and vocabulary
    RUN/previews/   a picture per checkpoint, when the caller gives a `preview`

and what every run leaves (`trainer.py`). Latents may grow meanwhile: the new ones are met at the next checkpoint.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar

import torch
from torch import Tensor, nn

from tenku.data.latents import manifest_time, read_manifest, sizes_of
from tenku.data.loader import Bucket, Lengths, Loader, load_buckets
from tenku.model import TextEncoder, Transformer
from tenku.model.compiled import compile_blocks
from tenku.train import checkpoint
from tenku.train.build import build_models, learn_words, rebuild_models, save_text
from tenku.train.corruption import CorruptionConfig, corrupt, predict_velocity
from tenku.train.measure import Window, step_flops
from tenku.train.optim import Optimizer, is_hidden, text_lr_mult
from tenku.train.trainer import Step, Trainer, TrainerConfig
from tenku.train.validation import Validation

IMAGES = Lengths(full=0, shorter=0, still=1)

# Called as preview(text, transformer, path of a png to write) with averaged weights, at every checkpoint.
Preview = Callable[[TextEncoder, Transformer, Path], None]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainerConfig):
    """A run of the transformer and its text encoder."""

    KEYS: ClassVar[Mapping[str, str]] = {
        **TrainerConfig.KEYS,
        "text_lr_mult": "text_share",
        "image_frac": "stills_until",
        "corruption": "objective",
    }
    FIXED: ClassVar[tuple[str, ...]] = ("preset", "seed", "batch_size")

    latents: Path
    preset: str = "embedded"
    batch_size: int = 32  # clips of the largest latent shape; smaller ones make larger batches
    muon_lr: float = 8e-3
    text_lr_mult: float = 0.1  # of both rates, for the text encoder and the embedding of its output
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    lengths: Lengths = field(default_factory=Lengths)
    image_frac: float = 0.3  # share of the budget spent on single latent frames: appearance first, motion then
    validate_every: int | None = 250
    compile: bool | None = None  # None: on CUDA

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.image_frac <= 1:
            raise ValueError(f"image_frac must be between 0 and 1, got {self.image_frac}")


class DiffusionTrainer(Trainer):
    """Trains a transformer to predict velocities. ValueError when latents, preset or a former run do not fit."""

    config: TrainConfig
    headlines: ClassVar[Mapping[str, str]] = {"loss": "loss {:.3f}", "validation_loss": "held out {:.3f}"}

    def __init__(self, config: TrainConfig, preview: Preview | None = None, lock: IO[bytes] | None = None) -> None:
        self.preview = preview
        super().__init__(config, lock)

    def build(self, resumed: bool) -> dict[str, nn.Module]:
        config = self.config
        self.manifest_read_at = manifest_time(config.latents)
        training, held_out = load_buckets(config.latents)
        if resumed:
            self.text, self.transformer = rebuild_models(config.out)
        else:
            channels = training[0].latents.shape[1]
            self.text, self.transformer = build_models(config.preset, channels, training, config.initial)
        self.loader = Loader(training, config.batch_size, config.seed, self.device)
        self.generators = {
            "loader": self.loader.generator,
            "choice": torch.Generator().manual_seed(config.seed + 1),
            "noise": torch.Generator(self.device).manual_seed(config.seed + 2),
        }
        self.hold(training, held_out)
        return {"transformer": self.transformer, "text": self.text}

    def hold(self, training: list[Bucket], held_out: list[Bucket]) -> None:
        """Learn the words of these clips, unless the text encoder stays as it is; validate on those held out."""
        if self.config.text_lr_mult:
            learn_words(self.text, training)
        save_text(self.text, self.config.out)
        self.validation = Validation(held_out, self.text, self.device) if held_out else None

    def build_optimizer(self, hidden: Callable[[str, Tensor], bool] = is_hidden) -> Optimizer:
        lr_mult = partial(text_lr_mult, mult=self.config.text_lr_mult)
        return self.optimizer_over(self.modules, hidden=hidden, lr_mult=lr_mult)

    def train_step(self, lengths: Lengths | None = None) -> Step:
        """Corrupt a batch of clips, predict the velocity, compare."""
        config, generators = self.config, self.generators
        if lengths is None:
            lengths = IMAGES if self.progress < config.image_frac else config.lengths
        clips = self.loader.next(lengths)
        latents = clips.latents.to(self.device, non_blocking=True)
        choice, noise = generators["choice"], generators["noise"]
        batch = corrupt(latents, clips.captions, self.text, config.corruption, choice, noise)
        loss = batch.loss(predict_velocity(self.transformer, self.text, batch))
        tokens = batch.token_ids.shape[1]
        flops = step_flops(self.transformer.config, self.text.config, tuple(latents.shape), tokens)
        return Step(loss, len(latents), flops)

    def warm_up(self) -> None:
        """Compile block by block: all share one graph, which serves every length and size, and one for images."""
        if not (self.device.type == "cuda" if self.config.compile is None else self.config.compile):
            return
        compile_blocks(self.transformer)
        before = checkpoint.random_state(self.generators)
        for lengths in (Lengths(full=1, shorter=0, still=0), IMAGES):
            self.train_step(lengths).loss.backward()
            self.optimizer.zero_grad()
        checkpoint.restore_random_state(self.generators, before)
        self.meet_new_clips()
        self.window = Window()

    def metrics(self, means: dict[str, Tensor]) -> dict[str, float]:
        lr_scale = round(self.config.lr_scale(self.step - 1, self.progress), 4)
        return {"samples": self.samples, "lr_scale": lr_scale, **super().metrics(means)}

    def validate(self) -> dict[str, Any]:
        """Loss of the averaged weights on held-out clips, and whether they look at the captions."""
        if self.validation is None:
            return {}
        return self.validation.measure(self.ema.modules["transformer"], self.ema.modules["text"])

    def after_checkpoint(self) -> None:
        """Let the caller draw what the averaged weights can; a failed picture does not end training."""
        if self.preview is not None:
            folder, modules = self.config.out / "previews", self.ema.modules
            folder.mkdir(exist_ok=True)
            try:
                self.preview(modules["text"], modules["transformer"], folder / f"step-{self.step:08d}.png")
            except Exception as error:
                self.log.write(self.step, preview_failed=f"{type(error).__name__}: {error}")
        if self.progress < 1:
            self.meet_new_clips()

    def meet_new_clips(self) -> None:
        """Take in what was encoded since the latents were read: they may still be growing."""
        written_at = manifest_time(self.config.latents)
        if written_at in (None, self.manifest_read_at):  # gone, or as it was
            return
        self.manifest_read_at = written_at
        training, held_out = load_buckets(self.config.latents)
        self.write_config(resumed=True)
        self.loader.hold(training)
        self.hold(training, held_out)
        self.log.write(self.step, clips=sum(len(bucket.captions) for bucket in training))

    def describe(self) -> dict[str, Any]:
        """Enough to rebuild the models and to tell what they were trained on."""
        manifest = read_manifest(self.config.latents)
        longest = max(bucket["shape"][0] for bucket in manifest["buckets"])
        clips = {
            "sizes": sizes_of(manifest),
            "max_frames": longest * manifest["temporal_compression"],
            "fps": manifest["fps"],
            "autoencoder": manifest["autoencoder"],
        }
        return {"clips": clips, "transformer": asdict(self.transformer.config), "text": asdict(self.text.config)}
