"""The training run: transformer and text encoder together, on latents encoded before.

    RUN/config.json      what was asked for, the sizes of the model, what the clips are like
    RUN/text/            tokenizer, made from the captions at the start, and vocabulary
    RUN/log.jsonl        loss, speed, validation
    RUN/checkpoints/     the last two, each complete
    RUN/previews/        a picture per checkpoint, when the caller gives a `preview`

A run that is started again goes on from its last complete checkpoint. On a CPU, with a budget in steps,
it then has the very losses that it would have had without the interruption. Latents may grow meanwhile: the new
ones are met at the next checkpoint.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from tenku.data.latents import manifest_time, read_manifest, sizes_of
from tenku.data.loader import Bucket, Lengths, Loader, load_buckets
from tenku.model import TextEncoder, Transformer
from tenku.model.compiled import compile_blocks
from tenku.system.device import choose_device
from tenku.system.files import read_json, write_json
from tenku.train import checkpoint, step
from tenku.train.build import build_models, describe_models, learn_words, rebuild_models, save_text
from tenku.train.ema import Average
from tenku.train.interrupt import interruptible
from tenku.train.measure import Log, Window, shown, step_flops
from tenku.train.optim import Optimizer, build_optimizer, is_hidden, rate_share
from tenku.train.step import Objective, Question
from tenku.train.validation import Validation

STILLS = Lengths(full=0, shorter=0, still=1)


# Called as preview(text, transformer, path of a png to write) with averaged weights, at every checkpoint.
Preview = Callable[[TextEncoder, Transformer, Path], None]


@dataclass(frozen=True)
class TrainConfig:
    """A run. Its budget is `minutes` of wall time, counted over resumes, or `steps`, or what ends first."""

    latents: Path
    out: Path
    preset: str = "embedded"
    minutes: float | None = None
    steps: int | None = None
    batch_size: int = 32  # clips of the largest latent shape; smaller ones make larger batches
    seed: int = 0
    muon_lr: float = 8e-3
    adamw_lr: float = 2e-3
    text_share: float = 0.1  # of the rates, for what reads the text
    weight_decay: float = 0.01
    clip: float = 1.0
    warmup_steps: int = 50
    decay_from: float = 0.5  # share of the budget after which the rates fall in a line …
    final_lr: float = 0.02  # … to this share of themselves
    ema_decay: float = 0.998
    objective: Objective = field(default_factory=Objective)
    lengths: Lengths = field(default_factory=Lengths)
    stills_until: float = 0.3  # share of the budget spent on single latent frames: appearance first, motion then
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int | None = None  # instead of minutes
    log_every: int = 20
    validate_every: int = 250
    resume: str = "auto"  # or "never"
    initial: Path | None = None  # a weights folder to start from
    device: str = "auto"
    compile: bool | None = None  # None: on CUDA
    show_progress: bool = True

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            raise ValueError("say how long to train: minutes or steps")
        if min(value for value in (self.minutes, self.steps) if value is not None) <= 0:
            raise ValueError("the budget must be above 0")
        if self.resume not in ("auto", "never"):
            raise ValueError(f"resume is 'auto' or 'never', not {self.resume!r}")
        if not 0 <= self.decay_from < 1:
            raise ValueError(f"decay_from must be at least 0 and below 1, got {self.decay_from}")
        if not 0 <= self.stills_until <= 1:
            raise ValueError(f"stills_until must be between 0 and 1, got {self.stills_until}")

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


def train(config: TrainConfig, preview: Preview | None = None) -> Path:
    """Train until the budget is spent; returns RUN. Ctrl-C saves a checkpoint, then raises KeyboardInterrupt.

    ValueError when the latents, the preset or a former run in the same folder do not fit.
    """
    run = Run(config, preview)
    columns = (TextColumn("train"), BarColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
    with (
        interruptible() as interrupted,
        Progress(*columns, console=Console(stderr=True), disable=not config.show_progress) as bar,
    ):
        task = bar.add_task("train", total=1.0, text="")
        while run.progress < 1 and not interrupted():
            run.one_step()
            bar.update(task, completed=run.progress, text=run.headline())
        run.finish(validate=not interrupted())
    if interrupted():
        raise KeyboardInterrupt
    return config.out


class Run:
    """All that changes during training, and how it goes to the disk and comes back."""

    def __init__(self, config: TrainConfig, preview: Preview | None = None) -> None:
        self.config, self.preview = config, preview
        self.device = choose_device(config.device)
        self.manifest_read_at = manifest_time(config.latents)
        training, held_out = load_buckets(config.latents)
        resumed = checkpoint_to_resume(config)
        if resumed is None:
            torch.manual_seed(config.seed)
            channels = training[0].latents.shape[1]
            self.text, self.transformer = build_models(config.preset, channels, training, config.initial)
        else:
            self.text, self.transformer = rebuild_models(config.out)
        self.save_words(training)
        write_json(config.out / "config.json", describe_run(config, self.text, self.transformer))
        self.modules: dict[str, nn.Module] = {"transformer": self.transformer, "text": self.text}
        for module in self.modules.values():
            module.to(self.device, torch.float32).train()
        self.optimizer = self.new_optimizer()
        self.average = Average(self.modules, config.ema_decay)
        self.loader = Loader(training, config.batch_size, config.seed, self.device)
        self.generators = {
            "loader": self.loader.generator,
            "choice": torch.Generator().manual_seed(config.seed + 1),
            "noise": torch.Generator(self.device).manual_seed(config.seed + 2),
        }
        self.validation = Validation(held_out, self.text, self.device) if held_out else None
        self.step, self.samples, self.elapsed_before = 0, 0, 0.0
        if resumed is not None:
            self.load(resumed)
        self.first_step = self.step
        self.log = Log(config.out / "log.jsonl", self.step)
        self.window = Window()
        self.latest: dict[str, float] = {}
        self.started = self.saved_at = time.monotonic()
        if self.device.type == "cuda" if config.compile is None else config.compile:
            self.compile()

    def new_optimizer(self, hidden: Callable[[str, Tensor], bool] = is_hidden) -> Optimizer:
        """Over all modules, with the rates of the run; Muon for what is `hidden`."""
        config = self.config
        return build_optimizer(
            self.modules,
            muon_lr=config.muon_lr,
            adamw_lr=config.adamw_lr,
            weight_decay=config.weight_decay,
            hidden=hidden,
            share=partial(rate_share, text=config.text_share),
        )

    def compile(self) -> None:
        """Block by block: all share one graph, which serves every length and size, and another one for stills."""
        compile_blocks(self.transformer)
        before = checkpoint.random_state(self.generators)
        for lengths in (Lengths(full=1, shorter=0, still=0), STILLS):
            self.gradient(lengths)
        self.optimizer.zero_grad()
        checkpoint.restore_random_state(self.generators, before)
        self.meet_new_clips()
        self.window = Window()

    @property
    def elapsed(self) -> float:
        """Seconds of wall time spent on this run, over all its starts."""
        return self.elapsed_before + time.monotonic() - self.started

    @property
    def progress(self) -> float:
        return self.config.progress(self.step, self.elapsed)

    def gradient(self, lengths: Lengths) -> tuple[Tensor, Question]:
        """The loss of a batch, whose gradient the parameters then hold, and what was asked."""
        batch = self.loader.next(lengths)
        data = batch.latents.to(self.device, non_blocking=True)
        objective, choice, noise = self.config.objective, self.generators["choice"], self.generators["noise"]
        question = step.ask(data, batch.captions, self.text, objective, choice, noise)
        loss = self.loss(question)
        self.optimizer.zero_grad()
        loss.backward()
        return loss, question

    def loss(self, question: Question) -> Tensor:
        return step.loss(self.transformer, self.text, question)

    def one_step(self) -> None:
        """An update; then whatever is due: log, validation, checkpoint."""
        config = self.config
        lengths = STILLS if self.progress < config.stills_until else config.lengths
        self.update(lengths, config.lr_scale(self.step, self.progress))
        if self.step % config.log_every == 0:
            self.write_log()
        if self.step % config.validate_every == 0:
            self.validate()
        if self.checkpoint_is_due():
            self.save()
            self.meet_new_clips()

    def update(self, lengths: Lengths, lr_scale: float) -> None:
        """A batch, its gradient, and what that changes."""
        loss, question = self.gradient(lengths)
        norm = nn.utils.clip_grad_norm_(self.optimizer.parameters, self.config.clip)
        self.optimizer.step(lr_scale)
        self.step += 1
        self.samples += len(question.data)
        self.average.update(self.step)

        shape, text_tokens = tuple(question.data.shape), question.token_ids.shape[1]
        flops = step_flops(self.transformer.config, self.text.config, shape, text_tokens)
        self.window.add(loss, norm, len(question.data), flops)

    def meet_new_clips(self) -> None:
        """Take in what was encoded since the latents were read: they may still be growing."""
        written_at = manifest_time(self.config.latents)
        if written_at in (None, self.manifest_read_at):  # gone, or as it was
            return
        self.manifest_read_at = written_at
        training, held_out = load_buckets(self.config.latents)
        write_json(self.config.out / "config.json", describe_run(self.config, self.text, self.transformer))
        self.loader.hold(training)
        self.validation = Validation(held_out, self.text, self.device) if held_out else None
        self.log.write(self.step, clips=sum(len(bucket.captions) for bucket in training))
        self.window = Window()

    # --------------------------------------------------------------------------------- what is reported

    def write_log(self) -> None:
        """The means since the last log line. ValueError when the loss is no longer a number."""
        if not self.window.losses:
            return
        values = self.window.means(self.device)
        if not math.isfinite(values["loss"]):
            raise ValueError(
                f"the loss is {values['loss']} at step {self.step}: train again with muon_lr below "
                f"{self.config.muon_lr:g} and adamw_lr below {self.config.adamw_lr:g}"
            )
        self.latest.update(values)
        lr_scale = round(self.config.lr_scale(self.step - 1, self.progress), 4)
        self.log.write(self.step, samples=self.samples, elapsed=round(self.elapsed, 2), lr_scale=lr_scale, **values)
        self.window = Window()

    def validate(self) -> None:
        """Loss of the averaged weights on held-out clips, and whether they look at the captions."""
        if self.validation is None:
            return
        before = time.monotonic()
        measured = self.validation.measure(self.average.modules["transformer"], self.average.modules["text"])
        self.latest["validation_loss"] = measured["validation_loss"]
        self.log.write(self.step, **measured)
        self.window.started += time.monotonic() - before

    def headline(self) -> str:
        """The progress bar's text."""
        told = shown(self.latest, loss="loss {:.3f}", validation_loss="held out {:.3f}")
        return " · ".join([f"step {self.step}", *told])

    # ------------------------------------------------------------------------------ to the disk and back

    def checkpoint_is_due(self) -> bool:
        if self.config.checkpoint_steps is not None:
            return self.step % self.config.checkpoint_steps == 0
        return time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes

    def save(self) -> Path:
        """A complete checkpoint, and then its picture."""
        self.write_log()
        groups = {name: module.state_dict() for name, module in self.modules.items()}
        groups["average"] = self.average.state_dict()
        groups["optimizer"] = self.optimizer.state_dict()
        groups["random"] = checkpoint.random_state(self.generators)
        state = {"step": self.step, "samples": self.samples, "elapsed": self.elapsed}
        saved = checkpoint.save(self.config.out, self.step, groups, state)
        self.saved_at = time.monotonic()
        if self.preview is not None:
            self.show(self.preview)
        self.window = Window()
        return saved

    def show(self, preview: Preview) -> None:
        """Let the caller draw what the averaged weights can; a failed picture does not end training."""
        folder = self.config.out / "previews"
        folder.mkdir(exist_ok=True)
        text, transformer = self.average.modules["text"], self.average.modules["transformer"]
        assert isinstance(text, TextEncoder) and isinstance(transformer, Transformer)
        try:
            preview(text, transformer, folder / f"step-{self.step:08d}.png")
        except Exception as error:
            self.log.write(self.step, preview_failed=f"{type(error).__name__}: {error}")

    def load(self, path: Path) -> None:
        """Everything as it was when the checkpoint was saved."""
        groups, state = checkpoint.load(path)
        for name, module in self.modules.items():
            module.load_state_dict(groups[name])
        self.average.load_state_dict(groups["average"])
        self.optimizer.load_state_dict(groups["optimizer"])
        checkpoint.restore_random_state(self.generators, groups["random"])
        self.step, self.samples, self.elapsed_before = state["step"], state["samples"], state["elapsed"]

    def finish(self, validate: bool) -> None:
        """The last log lines and checkpoint; nothing when no step was taken."""
        if self.step == self.first_step:
            return
        self.write_log()
        if validate and self.step % self.config.validate_every:
            self.validate()
        self.save_words(self.loader.buckets)  # those of clips that it met on the way too
        self.save()

    def save_words(self, clips: Sequence[Bucket]) -> None:
        """RUN/text; the words of these clips become known ones, unless the text is left as it is."""
        if self.config.text_share:
            learn_words(self.text, clips)
        save_text(self.text, self.config.out)


def checkpoint_to_resume(config: TrainConfig) -> Path | None:
    """The checkpoint to go on from, None for a new run. ValueError when the folder holds another run."""
    newest = checkpoint.latest(config.out)
    if newest is None:
        config.out.mkdir(parents=True, exist_ok=True)
        return None
    if config.resume == "never":
        raise ValueError(f"{config.out} already holds a run; choose another folder or resume it with 'auto'")
    former = read_json(config.out / "config.json")["run"]
    for name in ("preset", "seed", "batch_size"):
        if former[name] != getattr(config, name):
            raise ValueError(
                f"{config.out} holds a run with {name} {former[name]}, not {getattr(config, name)}; "
                "choose another folder or the same value"
            )
    return newest


def describe_run(config: TrainConfig, text: TextEncoder, transformer: Transformer) -> dict[str, Any]:
    """RUN/config.json: enough to rebuild the models and to tell what they were trained on."""
    manifest = read_manifest(config.latents)
    longest = max(bucket["shape"][0] for bucket in manifest["buckets"])
    clips = {
        "sizes": sizes_of(manifest),
        "max_frames": longest * manifest["temporal_compression"],
        "fps": manifest["fps"],
        "autoencoder": manifest["autoencoder"],
    }
    asked = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(config).items()}
    asked["initial"] = None if config.initial is None else str(config.initial.resolve())
    if config.initial is None and (config.out / "config.json").is_file():  # a run that goes on began where it began
        asked["initial"] = read_json(config.out / "config.json")["run"].get("initial")
    return {"run": asked, "clips": clips, **describe_models(text, transformer)}


def is_spent(config: TrainConfig) -> bool:
    """Whether a former run in the folder has used up the budget, so that another start would add nothing."""
    newest = checkpoint.latest(config.out)
    if newest is None:
        return False
    state = read_json(newest / "state.json")
    return config.progress(state["step"], state["elapsed"]) >= 1
