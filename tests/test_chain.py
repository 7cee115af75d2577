"""From nothing to a video by the commands alone: clips, autoencoder, latents, transformer, model, video."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from tenku import load
from tenku.cli import main
from tenku.media.clip import Clip
from tenku.model.autoencoder import load_autoencoder
from tenku.model.settings import ModelSettings
from tenku.model.weights import read_tensors, tensor_files
from tenku.train.finetune import finetune
from tenku.train.measure import encoding_flops
from tenku.train.sdedit_latents import SDEdit


def load_state(folder: Path) -> dict[str, torch.Tensor]:
    return dict(read_tensors(tensor_files(folder)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every command has run once, on almost nothing."""
    folder = tmp_path_factory.mktemp("chain")
    names = ("square", "wide", "autoencoder", "latents", "run")
    square, wide, autoencoder, latents, run = (str(folder / name) for name in names)
    world = ("world", "--frames", "8", "--workers", "1", "--clips", "2")
    for command in (
        (*world, "--size", "32x32", "--out", square),
        (*world, "--size", "48x32", "--seed", "2", "--out", wide),
        ("train-autoencoder", square, wide, "--out", autoencoder, "--preset", "nano", "--steps", "2"),
        ("encode", square, wide, "--autoencoder", autoencoder, "--out", latents),
        ("train", "--latents", latents, "--out", run, "--preset", "nano", "--steps", "2", "--batch-size", "2")
        + ("--autoencoder", autoencoder),
        ("export", run, "--autoencoder", autoencoder, "--out", str(folder / "model"), "--steps", "3"),
    ):
        assert main(command) == 0, command
    return folder


def test_clips_lie_beside_their_truth(place: Path) -> None:
    names = [path.name for path in sorted((place / "wide").glob("*.mp4"))]
    assert names == [f"{seed:010d}.mp4" for seed in (2, 3)]
    truth = json.loads((place / "wide" / f"{3:010d}.json").read_text(encoding="utf-8"))
    assert truth["size"] == [48, 32] == list(Clip.load(place / "wide" / names[1]).size)
    assert len(truth["captions"]["en"]) == len(truth["captions"]["zh"]) == 4


def test_every_field_of_the_truth_is_explained(place: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "training.md").read_text(encoding="utf-8")
    section = page.split("### The truth beside each clip")[1].split("\n## ")[0]
    explained = set(re.findall(r"`(\w+)`", section))
    for path in (place / "wide").glob("*.json"):
        if path.name == "world.json":
            continue
        truth = json.loads(path.read_text(encoding="utf-8"))
        description = truth["description"]
        fields = {*truth, *truth["captions"], *description, *description["outcome"], *description["objects"][0]}
        fields |= {*truth["states"], *truth["camera"]}
        assert fields <= explained, fields - explained


def test_training_leaves_a_log_and_pictures(place: Path) -> None:
    lines = [json.loads(line) for line in (place / "run" / "log.jsonl").read_text().splitlines()]
    assert lines and lines[-1]["step"] == 2
    assert list((place / "run" / "previews").glob("*.png"))


def test_the_text_may_learn_at_rates_of_its_own(place: Path, tmp_path: Path) -> None:
    """From the same weights: not at all, and all the more with a larger share."""

    def change(share: str) -> float:
        out = tmp_path / share
        command = ["train", "--latents", str(place / "latents"), "--from", str(place / "model"), "--out", str(out)]
        assert main([*command, "--steps", "1", "--batch-size", "2", "--text-lr-mult", share]) == 0
        assert json.loads((out / "config.json").read_text())["run"]["text_share"] == float(share)
        saved = next((out / "checkpoints").glob("step-*"))
        before, after = load_state(place / "model" / "text"), load_file(next(saved.glob("text*.safetensors")))
        return sum(float((after[name].float() - before[name].float()).abs().sum()) for name in before)

    changes = [change(share) for share in ("0", "0.1", "1")]
    assert changes[0] == 0 and changes[1] < changes[2]


def test_decoder_only_training_leaves_the_encoder(place: Path, tmp_path: Path) -> None:
    command = ["train-autoencoder", str(place / "square"), "--out", str(tmp_path / "decoder"), "--preset", "nano"]
    assert main([*command, "--steps", "2", "--decoder-only-from", str(place / "autoencoder")]) == 0
    before, after = (load_state(folder / "autoencoder") for folder in (place / "autoencoder", tmp_path / "decoder"))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder"}


def test_the_decoder_trains_on_latents_of_a_model(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train-autoencoder", str(place / "square"), "--preset", "nano", "--steps", "2", "--out"]
    made_by = ["--latents-from", str(place / "model")]

    def trained(name: str) -> torch.Tensor:
        assert main([*command, str(tmp_path / name), "--decoder-only-from", str(place / "autoencoder"), *made_by]) == 0
        return load_state(tmp_path / name / "autoencoder")["decoder.head.weight"]

    made = trained("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SDEdit, "__call__", lambda self, latents, generator: latents)
        assert not torch.equal(made, trained("plain"))  # all else is the same
    capsys.readouterr()
    other = tmp_path / "other"
    assert main([*command, str(other)]) == 0  # another encoder
    assert main([*command, str(tmp_path / "strange"), "--decoder-only-from", str(other), *made_by]) == 2
    assert "was trained on another encoder" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "wrong"), *made_by]) == 2
    assert "--latents-from is for --decoder-only-from" in capsys.readouterr().err
    decoder = ["--decoder-only-from", str(place / "autoencoder")]
    assert main([*command, str(tmp_path / "wrong"), *decoder, "--latents-from", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err and not (tmp_path / "wrong").exists()


def test_the_exported_model_generates(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "video.mp4"
    arguments = [
        "generate",
        "a ball",
        "--model",
        str(place / "model"),
        "--size",
        "48x32",
        "--out",
        str(out),
        "--json",
    ]
    assert main(arguments) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["model"], line["steps"], line["size"], line["frames"]) == ("model", 3, [48, 32], 8)
    assert len(Clip.load(out).frames) == 8


def test_a_finished_run_has_nothing_left_to_do(place: Path) -> None:
    def trained() -> tuple[list[str], dict[str, bytes]]:
        losses = [line for line in (place / "run/log.jsonl").read_text().splitlines() if '"loss"' in line]
        files = sorted((place / "run/checkpoints").rglob("*.safetensors"))
        return losses, {str(path): path.read_bytes() for path in files}

    before = trained()
    assert before[0] and before[1]
    run = ["train", "--latents", str(place / "latents"), "--out", str(place / "run"), "--preset", "nano"]
    assert main([*run, "--steps", "2", "--batch-size", "2"]) == 0
    assert trained() == before


def test_evaluation_of_the_autoencoder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "autoencoder", str(place / "autoencoder"), "--clips", str(place / "square")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["clips"] == 2 and 0 < result["psnr"] < 60


def test_missing_folders_are_named(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = str(tmp_path / "nowhere")
    for command in (
        ["train-autoencoder", nowhere, "--out", str(tmp_path / "a"), "--steps", "1"],
        ["encode", nowhere, "--autoencoder", str(place / "autoencoder"), "--out", str(tmp_path / "a")],
        ["encode", str(place / "square"), "--autoencoder", nowhere, "--out", str(tmp_path / "a")],
        ["train", "--latents", nowhere, "--out", str(tmp_path / "a"), "--steps", "1"],
        ["export", nowhere, "--autoencoder", str(place / "autoencoder"), "--out", str(tmp_path / "a")],
        ["evaluate", "autoencoder", nowhere, "--clips", str(place / "square")],
    ):
        assert main(command) == 2, command
        err = capsys.readouterr().err
        assert err.startswith("error: ") and "nowhere" in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_clips_of_one_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = ["world", "--clips", "2", "--size", "16x16", "--frames", "1", "--samples", "4", "--workers", "1"]
    assert main([*world, "--out", str(tmp_path / "walks"), "--event", "walk"]) == 0
    truths = [json.loads(path.read_text()) for path in (tmp_path / "walks").glob("00*.json")]
    assert [truth["description"]["event"] for truth in truths] == ["walk", "walk"]
    capsys.readouterr()
    assert main([*world, "--out", str(tmp_path / "none"), "--event", "explode"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: the events of train are drop") and err.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_clips_are_drawn_straight_to_latents(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encode = ["encode", "--autoencoder", str(place / "autoencoder"), "--out", str(tmp_path / "latents")]
    draw = [*encode, "--frames", "4", "--samples", "4", "--workers", "1"]
    for wrong, reason in (
        (encode, "folders with clips, or --draw SIZE:NUMBER"),
        ([*draw, "--draw", "32x32"], "as 128x128:1000, not '32x32'"),
        ([*draw, "--draw", "large:3"], "WIDTHxHEIGHT"),
        ([*draw, "--draw", "40x40:1"], "multiples of 16"),
        ([*draw, "--draw", "32x32:1", "--batch-size", "2"], "clip by clip"),
        ([*draw, "--draw", "32x32:1", str(place / "square")], "folders with clips, or --draw"),
    ):
        assert main(wrong) == 2, wrong
        err = capsys.readouterr().err
        assert err.startswith("error: ") and reason in err and err.count("\n") == 1
    assert main([*draw, "--draw", "32x32:2", "--draw", "48x32:1"]) == 0
    assert (tmp_path / "latents" / "manifest.json").is_file()
    assert re.search(
        r"latents: 3 clips in \d+ s, \d+\.\d a second, \S+ TFLOP/s(, \d+% of peak)?$", capsys.readouterr().err.strip()
    )
    assert main([*draw, "--draw", "32x32:2", "--draw", "48x32:1"]) == 0
    assert capsys.readouterr().err.endswith("all 3 clips were there\n")


def test_encoding_goes_on_and_says_how_fast(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encode = ["encode", "--autoencoder", str(place / "autoencoder"), "--out", str(tmp_path / "latents")]
    assert main([*encode, str(place / "square")]) == 0
    capsys.readouterr()
    assert main([*encode, str(place / "square"), str(place / "wide")]) == 0
    err = capsys.readouterr().err
    assert ": 2 clips in " in err and "left out" not in err  # the two others were there
    manifest = json.loads((tmp_path / "latents" / "manifest.json").read_text())
    config = load_autoencoder(place / "autoencoder").config
    counted = encoding_flops(config, manifest)
    with FlopCounterMode(display=False) as counter:
        for width in (32, 48):
            load_autoencoder(place / "autoencoder").encode(torch.zeros(4, 3, 8, 32, width))  # two clips and mirrored
    assert counted == counter.get_total_flops()
    assert main([*encode, str(place / "wide")]) == 0
    assert capsys.readouterr().err.splitlines()[-1].startswith("2 clips that ")
    manifest = json.loads((tmp_path / "latents" / "manifest.json").read_text())
    assert [bucket["size"] for bucket in manifest["buckets"]] == [[48, 32]]


def test_low_lr_finetuning_on_latents_reads_texts_as_before(place: Path, tmp_path: Path) -> None:
    run, model = tmp_path / "run", tmp_path / "model"
    command = ["train", "--low-lr-finetune", "--from", str(place / "model"), "--latents", str(place / "latents")]
    assert main([*command, "--out", str(run), "--steps", "2", "--conditioned", "0.6", "--motion", "3"]) == 0
    asked = json.loads((run / "config.json").read_text())["run"]
    assert (asked["objective"]["conditioned"], asked["objective"]["motion"]) == (0.6, 3) and asked["muon_lr"] == 1e-3
    export = ["export", str(run), "--autoencoder", str(place / "autoencoder"), "--out", str(model)]
    assert (
        main(
            [
                *export,
                "--merge-with",
                str(place / "model"),
                "--merge-ratio",
                "0.6",
                "--guidance",
                "3.5",
                "--rescale",
                "0.8",
            ]
        )
        == 0
    )
    for wrong in (
        [model, "--merge-with", "embedded"],
        [run, "--merge-ratio", "0.6"],
        [run, "--merge-with", "nowhere"],
        [run, "--merge-with", model],
    ):
        out = model if wrong[-1] == model else tmp_path / "other"
        command = ["export", *map(str, wrong), "--autoencoder", str(place / "autoencoder"), "--out", str(out)]
        assert main(command) == 2, command
    assert not (tmp_path / "other").exists()
    defaults = ModelSettings.load(model).defaults
    assert (defaults.guidance_scale, defaults.guidance_rescale) == (3.5, 0.8)
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert main([*export, "--guidance", "999"]) == 2  # said before anything is written
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    (tmp_path / "hollow").mkdir()
    assert main(["export", str(run), "--autoencoder", str(tmp_path / "hollow"), "--out", str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()

    def changed(part: str) -> bool:
        before, after = (load_state(folder / part) for folder in (place / "model", model))
        return any(not torch.equal(before[name], after[name]) for name in before)

    assert changed("transformer") and not changed("text")
    known = [(folder / "text" / "vocabulary.json").read_bytes() for folder in (place / "model", model)]
    assert known[0] == known[1]
    assert (
        main(["train", "--low-lr-finetune", "--latents", str(place / "latents"), "--out", str(run), "--steps", "3"])
        == 2
    )


def test_own_clips_fine_tune_a_model(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, run = tmp_path / "own", tmp_path / "run"
    own.mkdir()
    for name in ("kite", "lantern", "silent"):
        shutil.copy(place / "wide" / f"{2:010d}.mp4", own / f"{name}.mp4")
    (own / "kite.txt").write_text("a kite in the wind\n风筝", encoding="utf-8")
    (own / "lantern.txt").write_text("a lantern", encoding="utf-8")
    command = ["train", "--from", str(place / "model"), "--clips", str(own), "--out", str(run), "--steps"]
    assert main([*command, "2"]) == 0
    assert "silent.mp4" in capsys.readouterr().err
    settings, former = ModelSettings.load(run / "model"), ModelSettings.load(place / "model")
    assert settings.sizes == ((48, 32), (32, 32)) and settings.defaults == former.defaults and settings.name == "run"
    tuned = load(run / "model")
    assert tuned.vocabulary.unknown_words("a ball, a kite, a zebra 风筝") == ["zebra"]
    assert not torch.equal(
        load_state(run / "model" / "transformer")["head.head.weight"],
        load_state(place / "model" / "transformer")["head.head.weight"],
    )
    assert len(list((run / "previews").glob("*.png"))) == 1
    latents = ["train", "--latents", str(place / "latents"), "--out", str(tmp_path / "wrong"), "--steps", "1"]
    assert main([*latents, "--size", "32x32"]) == 2 and "--size is for --clips" in capsys.readouterr().err
    for more, reason in ((["--size", "40x40"], "multiples of 16"), (["--size", "small"], "WIDTHxHEIGHT")):
        assert main([*command[:-2], str(tmp_path / "wrong"), "--steps", "1", *more]) == 2
        assert reason in capsys.readouterr().err and not (tmp_path / "wrong").exists()
    small = tmp_path / "small"
    assert main([*command[:-2], str(small), "--steps", "1", "--size", "32x16"]) == 0
    assert ModelSettings.load(small / "model").sizes == ((32, 16), *former.sizes)
    before = {path: path.stat().st_mtime_ns for path in small.glob("clips/*")}
    for more in ([], ["--size", "48x32"]):  # a run of another size
        assert main([*command[:-2], str(small), "--steps", "2", *more]) == 2
        assert "holds a run at 32x16" in capsys.readouterr().err
    assert before and before == {path: path.stat().st_mtime_ns for path in small.glob("clips/*")}
    assert main([*command, "2"]) == 0 and "spent its budget" in capsys.readouterr().err
    made = {path: path.stat().st_mtime_ns for path in [*run.glob("clips/*.mp4"), *run.glob("latents/*.safetensors")]}
    (own / "lantern.txt").write_text("a zebra", encoding="utf-8")
    assert main([*command, "3"]) == 0  # goes on, with the new caption; nothing is cut or encoded again
    assert made and all(path.stat().st_mtime_ns == moment for path, moment in made.items())
    assert json.loads((run / "log.jsonl").read_text().splitlines()[-1])["step"] == 3
    assert not load(run / "model").vocabulary.unknown_words("a zebra")
    assert main([*command, "4", "--batch-size", "3"]) == 2  # before anything is touched
    assert tuned.generate("a kite", seconds=0.5, steps=1).size == (48, 32)


def test_fine_tuning_is_reached_from_python_and_prints_nothing(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own, notes = tmp_path / "own", []
    own.mkdir()
    for name in ("kite", "uncaptioned"):
        shutil.copy(place / "wide" / f"{2:010d}.mp4", own / f"{name}.mp4")
    (own / "kite.txt").write_text("a kite in the wind", encoding="utf-8")
    model, captions = finetune(place / "model", own, tmp_path / "run", steps=1, on_note=notes.append)
    assert model == tmp_path / "run" / "model" and captions == ["a kite in the wind"]
    assert len(notes) == 1 and "uncaptioned.mp4" in notes[0]
    assert capfd.readouterr() == ("", "")
    assert not load(model).vocabulary.unknown_words("a kite")
