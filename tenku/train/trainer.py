"""The trainer: what every training run does, whatever it trains.

    RUN/config.json    what was asked for
    RUN/log.jsonl      loss, speed, validation
    RUN/checkpoints/   the last two, each complete; a run that is started again goes on from there
    RUN/.lock          held while a process trains there: a second one is refused

A kind of run is a subclass of `Trainer` with `build` (its modules and data) and `train_step` (the loss of a batch);
`metrics`, `validate`, `after_checkpoint` and `finish` are there to be overridden. On a CPU, with a budget in steps, a
run that was interrupted has the very losses that it would have had without.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from tenku.system.device import choose_device
from tenku.system.files import read_json, write_json
from tenku.train import checkpoint
from tenku.train.ema import EMA
from tenku.train.interrupt import interruptible
from tenku.train.measure import Log, Window, shown
from tenku.train.optim import Optimizer


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """What all runs have in common. The budget is `minutes` of wall time over all starts, or `steps`, or both."""

    # The section of RUN/config.json, its keys where a field is called otherwise, and what a run keeps for good.
    SECTION: ClassVar[str] = "run"
    KEYS: ClassVar[Mapping[str, str]] = {"max_grad_norm": "clip", "warmdown_start": "decay_from"}
    FIXED: ClassVar[tuple[str, ...]] = ("seed",)

    out: Path
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    muon_lr: float = 5e-3
    adamw_lr: float = 2e-3
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    warmup_steps: int = 50
    warmdown_start: float = 0.5  # share of the budget after which the rates fall …
    final_lr: float = 0.02  # … in a line to this share of themselves
    ema_decay: float = 0.998
    log_every: int = 20
    validate_every: int | None = None  # steps; None: with every checkpoint
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int | None = None  # instead of minutes
    resume: str = "auto"  # or "never"
    initial: Path | None = None  # a weights folder to start from
    device: str = "auto"
    show_progress: bool = True

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            raise ValueError("say how long to train: minutes or steps")
        if min(value for value in (self.minutes, self.steps) if value is not None) <= 0:
            raise ValueError("the budget must be above 0")
        if self.resume not in ("auto", "never"):
            raise ValueError(f"resume is 'auto' or 'never', not {self.resume!r}")
        if not 0 <= self.warmdown_start < 1:
            raise ValueError(f"warmdown_start must be at least 0 and below 1, got {self.warmdown_start}")

    def progress(self, steps_done: int, elapsed: float) -> float:
        """Share of the budget that is spent; `elapsed` in seconds."""
        by_steps = steps_done / self.steps if self.steps else 0.0
        by_time = elapsed / (60 * self.minutes) if self.minutes else 0.0
        return max(by_steps, by_time)

    def lr_scale(self, steps_done: int, progress: float) -> float:
        """Factor of the learning rates for the next step: linear warm-up, constant, linear warm-down."""
        warm = min(1.0, (steps_done + 1) / max(1, self.warmup_steps))
        fallen = max(0.0, (progress - self.warmdown_start) / (1 - self.warmdown_start))
        return warm * max(self.final_lr, 1 - (1 - self.final_lr) * fallen)


def stored(config: Any) -> dict[str, Any]:
    """A dataclass of settings as RUN/config.json holds it: by its keys on disk, paths as text."""
    keys, values = getattr(config, "KEYS", {}), {}
    for each in fields(config):
        value = getattr(config, each.name)
        if isinstance(value, list | tuple):
            value = [str(one) if isinstance(one, Path) else one for one in value]
        elif isinstance(value, Path):
            value = str(value.resolve() if each.name == "initial" else value)
        values[keys.get(each.name, each.name)] = stored(value) if is_dataclass(value) else value
    return values


def checkpoint_to_resume(config: TrainerConfig) -> Path | None:
    """The checkpoint to go on from, None for a new run. ValueError when the folder holds another run."""
    newest = checkpoint.latest(config.out)
    if newest is None:
        return None
    if config.resume == "never":
        raise ValueError(f"{config.out} already holds a run; choose another folder or resume it with 'auto'")
    former = read_json(config.out / "config.json").get(config.SECTION, {})
    for name in config.FIXED:
        if former.get(name) != getattr(config, name):
            raise ValueError(
                f"{config.out} holds a run with {name} {former.get(name)}, not {getattr(config, name)}; "
                "choose another folder or the same value"
            )
    return newest


def is_spent(config: TrainerConfig) -> bool:
    """Whether a former run in the folder has used up the budget, so that another start would add nothing."""
    newest = checkpoint.latest(config.out)
    if newest is None:
        return False
    state = read_json(newest / "state.json")
    return config.progress(state["step"], state["elapsed"]) >= 1


@dataclass(frozen=True)
class Step:
    """What `train_step` gives: a loss to differentiate, and what the log is to tell."""

    loss: Tensor
    samples: int
    flops: float = 0.0  # floating-point operations, forward and backward
    metrics: dict[str, Tensor] = field(default_factory=dict)  # means of these are handed to `Trainer.metrics`


class Trainer:
    """A run: budget, schedule, optimizer, EMA, log, checkpoints, resume, signals. `fit` does it all.

    ValueError when the folder holds another run, or another process trains there.
    """

    config: Any  # a TrainerConfig; subclasses narrow it
    name: ClassVar[str] = "train"  # of the progress bar
    headlines: ClassVar[Mapping[str, str]] = {"loss": "loss {:.3f}"}  # what the progress bar shows, and how

    def __init__(self, config: TrainerConfig, lock: IO[bytes] | None = None) -> None:
        """lock: the run's folder, where the caller holds it already (`checkpoint.lock`)."""
        self.config, self.device = config, choose_device(config.device)
        config.out.mkdir(parents=True, exist_ok=True)
        self.lock = lock or checkpoint.lock(config.out)
        self.generators: dict[str, torch.Generator] = {}  # whose states go into checkpoints; `build` may add some
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        config = self.config
        resumed = checkpoint_to_resume(config)
        torch.manual_seed(config.seed)
        self.modules = self.build(resumed is not None)
        for module in self.modules.values():
            module.to(self.device, torch.float32).train()
        self.write_config(resumed is not None)
        self.optimizer = self.build_optimizer()
        self.ema = EMA(self.modules, config.ema_decay)
        self.step, self.samples, self.elapsed_before = 0, 0, 0.0
        if resumed is not None:
            self.load(resumed)
        self.first_step = self.step
        self.log = Log(config.out / "log.jsonl", self.step)
        self.window = Window()
        self.latest: dict[str, float] = {}
        self.started = self.saved_at = time.monotonic()
        self.warm_up()

    # ------------------------------------------------------------------------------ what a kind of run says

    def build(self, resumed: bool) -> dict[str, nn.Module]:
        """The modules to train, by name, and all data. resumed: their weights come from a checkpoint afterwards."""
        raise NotImplementedError

    def train_step(self) -> Step:
        """The loss of the next batch."""
        raise NotImplementedError

    def build_optimizer(self) -> Optimizer:
        return self.optimizer_over(self.modules)

    def describe(self) -> dict[str, Any]:
        """Sections of RUN/config.json beside the settings."""
        return {}

    def metrics(self, means: dict[str, Tensor]) -> dict[str, float]:
        """What a log line tells of the means since the last one ("loss", "grad_norm" and `Step.metrics`)."""
        return {"loss": means["loss"].item(), "grad_norm": round(means["grad_norm"].item(), 5)}

    def validate(self) -> dict[str, Any]:
        """Measures of the averaged weights on held-out data; {} where there is none."""
        return {}

    def warm_up(self) -> None:
        """Called once, last of all before the first step."""

    def after_checkpoint(self) -> None:
        """Called when a checkpoint has been written."""

    def finish(self) -> Path:
        """Called when the budget is spent; returns what `fit` gives."""
        return self.config.out

    # -------------------------------------------------------------------------------------------- the run

    def fit(self) -> Path:
        """Train until the budget is spent. Ctrl-C saves a checkpoint, then raises KeyboardInterrupt."""
        columns = (TextColumn(self.name), BarColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
        bar = Progress(*columns, console=Console(stderr=True), disable=not self.config.show_progress)
        try:
            with interruptible() as interrupted, bar:
                task = bar.add_task("train", total=1.0, text="")
                while self.progress < 1 and not interrupted():
                    self.update(self.train_step())
                    text = " · ".join([f"step {self.step}", *shown(self.latest, **self.headlines)])
                    bar.update(task, completed=self.progress, text=text)
                if self.step > self.first_step:
                    self.write_log()
                    every = self.config.validate_every
                    if every and self.step % every and not interrupted():
                        self.run_validation()
                    self.save()
            if interrupted():
                raise KeyboardInterrupt
            return self.finish()
        finally:
            self.close()

    def update(self, result: Step) -> None:
        """Change the weights by the gradient of a step's loss; then do whatever is due: log, validate, checkpoint."""
        config, lr_scale = self.config, self.config.lr_scale(self.step, self.progress)
        self.optimizer.zero_grad()
        result.loss.backward()
        norm = nn.utils.clip_grad_norm_(self.optimizer.parameters, config.max_grad_norm)
        self.optimizer.step(lr_scale)
        self.step += 1
        self.samples += result.samples
        self.ema.update(self.step)
        self.window.add({"loss": result.loss, "grad_norm": norm, **result.metrics}, result.samples, result.flops)
        if self.step % config.log_every == 0:
            self.write_log()
        if config.validate_every and self.step % config.validate_every == 0:
            self.run_validation()
        if self.checkpoint_is_due():
            self.save()

    def close(self) -> None:
        """Let go of the run's folder."""
        self.lock.close()

    def optimizer_over(self, modules: nn.Module | Mapping[str, nn.Module], **kinds: Any) -> Optimizer:
        """An optimizer with the run's rates; kinds: `hidden` and `lr_mult` of `Optimizer`."""
        rates = {name: getattr(self.config, name) for name in ("muon_lr", "adamw_lr", "weight_decay")}
        return Optimizer(modules, **rates, **kinds)

    @property
    def elapsed(self) -> float:
        """Seconds of wall time spent on this run, over all its starts."""
        return self.elapsed_before + time.monotonic() - self.started

    @property
    def progress(self) -> float:
        """Share of the budget that is spent."""
        return self.config.progress(self.step, self.elapsed)

    def write_log(self) -> None:
        """The means since the last log line. ValueError when the loss is no longer a number."""
        if not self.window.steps:
            return
        values = self.metrics(self.window.means())
        if not math.isfinite(values["loss"]):
            raise ValueError(
                f"the loss is {values['loss']} at step {self.step}: train again with muon_lr below "
                f"{self.config.muon_lr:g} and adamw_lr below {self.config.adamw_lr:g}"
            )
        values |= self.window.speed(self.device)
        self.latest.update(values)
        self.log.write(self.step, elapsed=round(self.elapsed, 2), **values)
        self.window = Window()

    def run_validation(self) -> None:
        before = time.monotonic()
        measured = self.validate()
        if measured:
            self.latest.update(measured)
            self.log.write(self.step, **measured)
        self.window.started += time.monotonic() - before

    # ------------------------------------------------------------------------------ to the disk and back

    def checkpoint_is_due(self) -> bool:
        if self.config.checkpoint_steps is not None:
            return self.step % self.config.checkpoint_steps == 0
        return time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes

    def save(self) -> Path:
        """Write a complete checkpoint, then `after_checkpoint`."""
        self.write_log()
        groups = {name: module.state_dict() for name, module in self.modules.items()}
        groups |= {"average": self.ema.state_dict(), "optimizer": self.optimizer.state_dict()}
        if self.generators:
            groups["random"] = checkpoint.random_state(self.generators)
        state = {"step": self.step, "samples": self.samples, "elapsed": self.elapsed}
        saved = checkpoint.save(self.config.out, self.step, groups, state)
        self.saved_at = time.monotonic()
        if self.config.validate_every is None:
            self.run_validation()
        self.after_checkpoint()
        self.window = Window()
        return saved

    def load(self, path: Path) -> None:
        """Everything as it was when the checkpoint was saved."""
        groups, state = checkpoint.load(path)
        for name, module in self.modules.items():
            module.load_state_dict(groups[name])
        self.ema.load_state_dict(groups["average"])
        self.optimizer.load_state_dict(groups["optimizer"])
        if self.generators:
            checkpoint.restore_random_state(self.generators, groups["random"])
        self.step, self.elapsed_before = state["step"], state["elapsed"]
        self.samples = state.get("samples", 0)

    def write_config(self, resumed: bool) -> None:
        """RUN/config.json; a run that goes on began where it began."""
        path, section = self.config.out / "config.json", stored(self.config)
        if resumed and self.config.initial is None:
            section["initial"] = read_json(path)[self.config.SECTION].get("initial")
        write_json(path, {self.config.SECTION: section, **self.describe()})
