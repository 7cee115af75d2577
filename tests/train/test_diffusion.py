"""A run goes to its end, goes on where it was cut off, and leaves weights that can be loaded."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from colour_latents import write_latents
from log_fields import documented_log_fields
from safetensors.torch import load_file

from tenku.data.loader import Lengths
from tenku.loading import load_transformer
from tenku.model import load_text_encoder
from tenku.model.settings import ModelSettings
from tenku.train import checkpoint
from tenku.train.build import export, merge
from tenku.train.diffusion import DiffusionTrainer, TrainConfig
from tenku.train.measure import read_log


@pytest.fixture(scope="module")
def latents(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("latents")
    write_latents(folder, 60)
    return folder


def small_run(latents: Path, out: Path, **changes) -> TrainConfig:
    config = TrainConfig(
        latents=latents,
        out=out,
        preset="nano",
        steps=8,
        batch_size=4,
        log_every=1,
        validate_every=4,
        checkpoint_steps=3,
        device="cpu",
        show_progress=False,
        lengths=Lengths(full=0.6, shorter=0.2, still=0.2),
    )
    return dataclasses.replace(config, **changes)


def train(config: TrainConfig, preview=None) -> Path:
    return DiffusionTrainer(config, preview).fit()


def numbers(run: Path) -> list[tuple]:
    """What must not differ between two runs of the same losses."""
    keys = ("step", "loss", "grad_norm", "lr_scale", "samples", "validation_loss")
    return [tuple(line.get(key) for key in keys) for line in read_log(run / "log.jsonl")]


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    newest = checkpoint.latest(run)
    assert newest is not None
    groups, _ = checkpoint.load(newest)
    return {f"{group}.{name}": tensor for group, members in groups.items() for name, tensor in members.items()}


@pytest.fixture(scope="module")
def whole(latents, tmp_path_factory) -> Path:
    """A run that nothing interrupted."""
    return train(small_run(latents, tmp_path_factory.mktemp("whole")))


def same_run(one: Path, other: Path) -> None:
    assert numbers(one) == numbers(other)
    ours, theirs = weights_of(one), weights_of(other)
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_a_run_leaves_log_checkpoints_and_tokenizer(whole):
    lines = read_log(whole / "log.jsonl")
    assert {key for line in lines for key in line} <= documented_log_fields()
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 9))
    assert [line["step"] for line in lines if "validation_loss" in line] == [4, 8]
    assert [path.name for path in checkpoint.completed(whole)] == ["step-00000006", "step-00000008"]
    assert (whole / "text" / "tokenizer.json").is_file() and (whole / "text" / "vocabulary.json").is_file()
    scales = [line["lr_scale"] for line in lines if "loss" in line]
    assert scales[0] < scales[3] and scales[-1] < scales[-2]  # warm-up, then down


def test_settings_are_stored_by_the_keys_of_former_versions(whole):
    stored = json.loads((whole / "config.json").read_text())["run"]
    assert {"clip", "decay_from", "text_share", "stills_until", "ema_decay"} < set(stored)
    assert {"conditioned", "kinds", "noisy", "history_noise", "worn", "independent", "shift"} < set(stored["objective"])


def test_the_first_share_of_a_run_sees_stills_alone(latents, tmp_path):
    run = DiffusionTrainer(small_run(latents, tmp_path, image_frac=0.5, lengths=Lengths(1, 0, 0)))
    frames = []
    run.transformer.register_forward_pre_hook(lambda _, inputs: frames.append(inputs[0].shape[2]))
    for _ in range(8):
        run.update(run.train_step())
    assert frames[:4] == [1, 1, 1, 1] and min(frames[4:]) > 1


def test_resumed_run_equals_the_uninterrupted_one_bit_for_bit(latents, whole, tmp_path):
    config = small_run(latents, tmp_path)
    interrupted = DiffusionTrainer(config)
    while interrupted.step < 5:  # saves at step 3, then is lost at step 5
        interrupted.update(interrupted.train_step())
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")][-1] == 5
    interrupted.close()
    train(config)
    same_run(tmp_path, whole)


def test_a_finished_run_has_nothing_left_to_do(latents, whole):
    before = (whole / "log.jsonl").read_text()
    train(small_run(latents, whole, validate_every=3), preview=lambda *_: pytest.fail("drawn again"))
    assert (whole / "log.jsonl").read_text() == before


def killed(latents: Path, out: Path) -> bool:
    """Train in a process of its own and kill it at a moment that nobody chose; False when it was done before that."""
    code = (
        "import sys, torch; torch.set_num_threads(int(sys.argv[3]));"
        "from pathlib import Path; from test_diffusion import small_run, train;"
        "train(small_run(Path(sys.argv[1]), Path(sys.argv[2]), checkpoint_steps=1))"
    )
    command = [sys.executable, "-c", code, str(latents), str(out), str(torch.get_num_threads())]
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}
    process = subprocess.Popen(command, env=environment, cwd=latents)
    while process.poll() is None:
        newest = checkpoint.latest(out)
        if newest is not None and int(newest.name[-8:]) >= 2:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    status = process.wait()
    assert status in (0, -signal.SIGKILL)
    return status != 0


def test_killed_run_resumes_from_its_last_complete_checkpoint(latents, whole, tmp_path):
    # A busy machine may look at the run so late that it is done: then another one is killed.
    out = next((out for out in (tmp_path / str(number) for number in range(9)) if killed(latents, out)), None)
    assert out is not None, "nine runs were done before they could be killed"
    train(small_run(latents, out))
    same_run(out, whole)


def test_ctrl_c_saves_and_the_run_goes_on(latents, whole, tmp_path):
    def press(*_) -> None:
        signal.raise_signal(signal.SIGINT)

    config = small_run(latents, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(config, preview=press)  # pressed while the first preview is drawn, at step 3
    newest = checkpoint.latest(tmp_path)
    assert newest is not None and newest.name == "step-00000003"
    train(config)
    same_run(tmp_path, whole)


def test_preview_gets_the_averaged_models_and_its_failure_is_noted(latents, tmp_path):
    seen = []

    def preview(text, transformer, path):
        assert not any(parameter.requires_grad for parameter in transformer.parameters())
        assert text.encode(["a red ball"])[0].ndim == 3
        seen.append(path.name)
        if len(seen) == 2:
            raise RuntimeError("no ink")

    train(small_run(latents, tmp_path), preview)
    assert seen == ["step-00000003.png", "step-00000006.png", "step-00000008.png"]
    failures = [line for line in read_log(tmp_path / "log.jsonl") if "preview_failed" in line]
    assert [line["preview_failed"] for line in failures] == ["RuntimeError: no ink"]


def test_export_writes_averaged_weights_that_load(whole, tmp_path):
    folder = export(whole, tmp_path / "model")
    transformer, text = load_transformer(folder, dtype=torch.float32), load_text_encoder(folder)
    average = weights_of(whole)
    for name, tensor in transformer.state_dict().items():
        assert torch.equal(tensor, average[f"average.transformer.{name}"].bfloat16().float()), name
    assert text.vocabulary.unknown_words("a red zebra 红色") == ["zebra"]
    settings = ModelSettings.load(folder)
    assert settings.sizes == ((64, 64),) and settings.max_frames == 12 and settings.fps == 16
    assert load_file(folder / "transformer" / "model.safetensors")["head.head.weight"].dtype == torch.bfloat16
    with pytest.raises(ValueError, match="no complete checkpoint"):
        export(tmp_path, tmp_path / "other")


def test_exported_weights_can_be_mixed_with_others(latents, whole, tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    export(whole, before, dtype=torch.float32)
    train(small_run(latents, tmp_path / "run", initial=before))
    export(tmp_path / "run", after, dtype=torch.float32)
    mixed = export(tmp_path / "run", tmp_path / "mixed", dtype=torch.float32, merge_with=before, merge_ratio=0.75)
    for load in (load_transformer, load_text_encoder):
        old, new, between = (load(folder).state_dict() for folder in (before, after, mixed))
        assert any(not torch.equal(old[name], new[name]) for name in old)
        for name, value in between.items():
            torch.testing.assert_close(value - old[name], 0.75 * (new[name] - old[name]), rtol=1e-3, atol=3e-7)
    with pytest.raises(ValueError, match="one kind of model"):
        merge(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2), 0.5)


def test_exported_weights_can_start_another_run(latents, whole, tmp_path):
    export(whole, tmp_path / "model")
    run = DiffusionTrainer(small_run(latents, tmp_path / "run", initial=tmp_path / "model"))
    average = weights_of(whole)["average.transformer.blocks.0.ffn.0.weight"]
    assert torch.equal(run.transformer.blocks[0].ffn[0].weight, average.bfloat16().float())
    run.update(run.train_step())


def test_another_run_in_the_same_folder_is_refused(latents, whole, tmp_path):
    with pytest.raises(ValueError, match="seed 0, not 5"):
        train(small_run(latents, whole, seed=5))
    with pytest.raises(ValueError, match="already holds a run"):
        train(small_run(latents, whole, resume="never"))
    with pytest.raises(ValueError, match="unknown preset"):
        train(small_run(latents, tmp_path, preset="giant"))
    with pytest.raises(ValueError, match="minutes or steps"):
        TrainConfig(latents=latents, out=tmp_path)


def test_rates_rise_stay_and_fall():
    config = TrainConfig(
        latents=Path("l"), out=Path("o"), minutes=10, warmup_steps=10, warmdown_start=0.5, final_lr=0.02
    )
    assert config.lr_scale(0, 0.0) == pytest.approx(0.1)
    assert config.lr_scale(100, 0.4) == 1.0
    assert config.lr_scale(100, 0.75) == pytest.approx(0.51)
    assert config.lr_scale(100, 1.0) == pytest.approx(0.02)
    assert config.progress(7, 300.0) == pytest.approx(0.5)


def test_a_run_meets_clips_that_are_encoded_later(tmp_path):
    write_latents(tmp_path / "latents", 30)
    run = DiffusionTrainer(small_run(tmp_path / "latents", tmp_path / "run", checkpoint_steps=2))
    before = sum(len(bucket.captions) for bucket in run.loader.buckets)
    run.update(run.train_step())
    write_latents(tmp_path / "latents", 60)
    run.update(run.train_step())
    after = sum(len(bucket.captions) for bucket in run.loader.buckets)
    assert after > before and read_log(tmp_path / "run" / "log.jsonl")[-1]["clips"] == after


def test_compiled_a_run_has_the_same_losses(latents, tmp_path, monkeypatch):
    """With the graphs that a compiler is given, run op by op: to compile them takes minutes."""
    compile_it, backends = torch.nn.Module.compile, []

    def traced(module, **how):
        backends.append("eager")
        compile_it(module, backend="eager", **how)

    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    monkeypatch.setenv("CXX", sys.executable)  # something that is there
    plain, compiled = (train(small_run(latents, tmp_path / str(how), compile=how)) for how in (False, True))
    assert backends
    for before, after in zip(numbers(plain), numbers(compiled), strict=True):
        for was, now in zip(before, after, strict=True):
            assert was == (now if now is None else pytest.approx(now, rel=0.01))


def test_compiling_without_a_compiler_is_refused(latents, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match="takes a C\\+\\+ compiler"):
        train(small_run(latents, tmp_path / "run", compile=True))
