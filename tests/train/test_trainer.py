"""What every run shares, seen on a toy: a run of a linear layer, killed, resumed, refused, interrupted."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from tenku.train import checkpoint
from tenku.train.measure import read_log
from tenku.train.trainer import Step, Trainer, TrainerConfig


class ToyTrainer(Trainer):
    """A third kind of run: y = 3x."""

    def build(self, resumed: bool) -> dict[str, nn.Module]:
        self.layer = nn.Linear(1, 1)
        self.generators = {"data": torch.Generator().manual_seed(self.config.seed)}
        return {"layer": self.layer}

    def train_step(self) -> Step:
        x = torch.rand(8, 1, generator=self.generators["data"])
        return Step((self.layer(x) - 3 * x).square().mean(), len(x))


@dataclass(frozen=True, kw_only=True)
class SlowConfig(TrainerConfig):
    seconds: float = 0.0  # a step takes


class SlowTrainer(ToyTrainer):
    def train_step(self) -> Step:
        time.sleep(self.config.seconds)
        return super().train_step()


def config(out: Path, **changes) -> TrainerConfig:
    same = {
        "steps": 12,
        "adamw_lr": 0.1,
        "warmup_steps": 1,
        "log_every": 1,
        "checkpoint_steps": 4,
        "device": "cpu",
        "show_progress": False,
    }
    return SlowConfig(**same | {"out": out} | changes)


def losses(out: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in read_log(out / "log.jsonl") if "loss" in line]


def weights(out: Path) -> dict[str, torch.Tensor]:
    groups, _ = checkpoint.load(checkpoint.latest(out))
    return {f"{group}.{name}": tensor for group, members in groups.items() for name, tensor in members.items()}


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    equal = ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    return equal and losses(one) == losses(other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing interrupted."""
    return ToyTrainer(config(tmp_path_factory.mktemp("whole"))).fit()


def start(out: Path, **changes) -> subprocess.Popen:
    """The same run in a process of its own."""
    code = (
        "import sys; from pathlib import Path; from test_trainer import SlowTrainer, config;"
        f"SlowTrainer(config(Path(sys.argv[1]), **{changes!r})).fit()"
    )
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}
    return subprocess.Popen([sys.executable, "-c", code, str(out)], env=environment, stderr=subprocess.PIPE)


def wait_for_checkpoint(out: Path, process: subprocess.Popen) -> None:
    while checkpoint.latest(out) is None:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def test_it_learns_and_leaves_log_and_checkpoints(whole):
    assert [step for step, _ in losses(whole)] == list(range(1, 13)) and losses(whole)[-1][1] < losses(whole)[0][1]
    assert [path.name for path in checkpoint.completed(whole)] == ["step-00000008", "step-00000012"]


def test_a_killed_run_leaves_no_lock_and_resumes_to_the_same_numbers(whole, tmp_path):
    process = start(tmp_path, seconds=0.2)
    wait_for_checkpoint(tmp_path, process)
    process.kill()
    process.wait()
    assert ToyTrainer(config(tmp_path)).fit() == tmp_path
    assert same(tmp_path, whole)


def test_a_second_run_in_the_folder_is_refused(whole, tmp_path):
    process = start(tmp_path, seconds=0.2)
    wait_for_checkpoint(tmp_path, process)
    with pytest.raises(ValueError, match="another process trains in"):
        ToyTrainer(config(tmp_path))
    process.send_signal(signal.SIGINT)  # the first one goes on, and saves when it is told to end
    process.communicate()
    trainer = ToyTrainer(config(tmp_path))
    assert trainer.step == losses(tmp_path)[-1][0] < 12
    trainer.fit()
    assert same(tmp_path, whole)


def test_a_folder_is_free_again_when_a_run_could_not_begin(tmp_path):
    class Broken(ToyTrainer):
        def build(self, resumed):
            raise ValueError("nothing to train on")

    with pytest.raises(ValueError, match="nothing to train on"):
        Broken(config(tmp_path))
    ToyTrainer(config(tmp_path)).fit()


def test_a_run_with_another_seed_is_refused(whole):
    with pytest.raises(ValueError, match="seed 0, not 5"):
        ToyTrainer(config(whole, seed=5))


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    class Diverging(ToyTrainer):
        def train_step(self):
            return dataclasses.replace(super().train_step(), loss=self.layer.weight.sum() * float("nan"))

    with pytest.raises(ValueError, match="train again with muon_lr below"):
        Diverging(config(tmp_path)).fit()


def test_from_the_command_to_the_network_are_six_frames(tmp_path, monkeypatch):
    """main, train, fit, train_step, predict_velocity, Transformer.forward."""
    from colour_latents import write_latents

    import tenku
    from tenku.cli import main
    from tenku.model import Transformer

    class Reached(Exception):
        pass

    def forward(self, *_, **__):
        raise Reached

    write_latents(tmp_path / "latents", 30)
    forward.__code__ = forward.__code__.replace(co_filename=sys.modules[Transformer.__module__].__file__)
    monkeypatch.setattr(Transformer, "forward", forward)
    command = ["train", "--latents", str(tmp_path / "latents"), "--preset", "nano", "--steps", "1", "--no-compile"]
    with pytest.raises(Reached) as caught:
        main([*command, "--out", str(tmp_path / "run")])
    ours, package = [], str(Path(tenku.__file__).parent)
    for entry in caught.traceback:
        if str(entry.path).startswith(package):
            ours.append(entry.name)
    assert ours[0] == "main" and ours[-1] == "forward" and len(ours) <= 6, ours
