"""The command line end to end on the weights that ship with the package."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import tenku
from tenku.cli import main
from tenku.cli._aliases import with_new_names
from tenku.cli._options import parse_size, slug
from tenku.media.clip import Clip
from tenku.prompts.expand import expand

PROMPT = "A red ball falls onto wet asphalt at night and bounces."
QUICK = ("--seconds", "0.5", "--steps", "2")


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in this process, standing in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        code = main(list(arguments))
        return Said(code, *capsys.readouterr())

    return call


def test_help_names_every_command(run):
    said = run("--help")
    assert said.code == 0
    commands = [
        "generate",
        "animate",
        "extend",
        "connect",
        "loop",
        "remix",
        "storyboard",
        "vocabulary",
        "sheet",
        "doctor",
        "models",
        "pull",
        "world",
        "train-autoencoder",
        "encode",
        "train",
        "export",
        "evaluate",
    ]
    assert [name for name in commands if name not in said.out] == []
    for name in commands:
        assert run(name, "--help").code == 0


def test_generate_prints_one_json_line(run, tmp_path):
    said = run(
        "generate", PROMPT, "--seconds", "1", "--seed", "7", "--out", "new/folder/ball.mp4", "--json", "--no-expand"
    )
    assert said.code == 0, said.err
    assert said.out.count("\n") == 1
    line = json.loads(said.out)
    assert line["path"] == "new/folder/ball.mp4"
    assert (line["seed"], line["prompt"], line["model"]) == (7, PROMPT, "embedded")
    assert set(line["seconds_taken"]) >= {"load", "text", "denoise", "decode", "write"}
    assert all(taken >= 0 for taken in line["seconds_taken"].values())

    clip = Clip.load(tmp_path / line["path"])
    assert [clip.frames.shape[0], *clip.size] == [line["frames"], *line["size"]] == [16, *line["size"]]
    assert clip.fps == line["fps"] == 16
    assert clip.metadata["prompt"] == PROMPT
    assert int(clip.metadata["seed"]) == 7
    # Neither a blank nor noise: something is there, and neighbouring frames resemble each other.
    frames = clip.frames.astype(np.float32)
    assert frames.std() > 10
    assert np.abs(np.diff(frames, axis=0)).mean() < 0.5 * frames.std()


def test_a_short_prompt_is_made_full_and_what_is_lost_is_said(run, tmp_path):
    still = ("--seconds", "0", "--steps", "1", "--seed", "3", "--json")
    said = run("generate", "A red ball on ice!", *still)
    line = json.loads(said.out)
    assert f"\nexpanded: {line['prompt']}\n" in said.err and line["notes"] == [
        "nothing stands still in this model's world: ball falls."
    ]
    assert "red" in line["prompt"] and len(line["prompt"]) > 40 and line["asked"] == "A red ball on ice!"
    assert line["path"] == "a-red-ball-on-ice-3.mp4"  # as it was asked for
    again = run("generate", line["prompt"], *still, "--out", "again.mp4")
    assert "expanded" not in again.err
    assert np.array_equal(Clip.load("again.mp4").frames, Clip.load(line["path"]).frames)
    for prompt, lost in (("A zebra on ice", "zebra"), ("two people walk", "two"), ("a small ball falls", "small")):
        said = run("generate", prompt, *still, "--out", "a.png")
        assert lost in said.err.split("expanded")[0] and lost in " ".join(json.loads(said.out)["notes"])
        assert run("generate", prompt, *still, "--out", "b.png", "--strict").code == 2
    assert not (tmp_path / "b.png").exists()
    assert run("generate", "a red ball falls onto ice", *still, "--out", "a.png", "--strict").code == 0
    assert (
        json.loads(run("generate", "a red ball", *still, "--no-expand", "--out", "a.png").out)["prompt"] == "a red ball"
    )


def test_the_file_is_named_after_prompt_and_seed(run, tmp_path):
    said = run("generate", "A red ball!", *QUICK, "--seed", "11")
    assert said.out == "a-red-ball-11.mp4\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a-red-ball-11.mp4"]
    first, second = (json.loads(run("generate", "x", *QUICK, "--json").out)["seed"] for _ in range(2))
    assert first != second


def test_same_seed_same_video(run, tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert run("generate", PROMPT, *QUICK, "--seed", seed, "--out", f"{name}.mp4").code == 0
    a, b, c = (Clip.load(tmp_path / f"{name}.mp4").frames for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_options_reach_the_model(run, tmp_path):
    options = ("--size", "80x48", "--guidance", "2.5", "--solver", "euler", "--negative-prompt", "snow", "--json")
    said = run("generate", PROMPT, *QUICK, *options, "--out", "wide.mp4")
    line = json.loads(said.out)
    assert line["size"] == [80, 48] and Clip.load(tmp_path / "wide.mp4").size == (80, 48)
    asked = (line["steps"], line["guidance"], line["solver"], line["negative_prompt"])
    assert asked == (2, 2.5, "euler", "snow")


def test_gif_webp_and_sheet_beside_the_video(run, tmp_path):
    said = run("generate", PROMPT, *QUICK, "--out", "a.mp4", "--gif", "--webp", "--png", "--json")
    assert json.loads(said.out)["also"] == ["a.gif", "a.webp", "a.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "a.mp4", "a.png", "a.webp"]
    width, height = Clip.load(tmp_path / "a.mp4").size
    for name in ("a.gif", "a.webp"):
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (width, height) and picture.n_frames > 1
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > width


def test_zero_seconds_is_a_still_picture(run, tmp_path):
    assert run("generate", PROMPT, "--seconds", "0", "--steps", "2", "--out", "still.png").code == 0
    with Image.open(tmp_path / "still.png") as picture:
        assert picture.size == tenku.load().settings.sizes[0]
    assert run("generate", PROMPT, "--seconds", "0", "--steps", "2", "--out", "still.mp4").code == 0
    assert len(Clip.load(tmp_path / "still.mp4").frames) == 1


def test_words_never_seen_are_named(run):
    said = run("generate", "a red zebra and a 长颈鹿", *QUICK, "--json")
    assert said.code == 0
    assert "zebra" in said.err and "颈" in said.err and "red" not in said.err
    assert "tenku examples" in said.err
    json.loads(said.out)
    for known in ("a red ball bounces", "一个红色的球落下"):
        assert "note:" not in run("generate", known, *QUICK).err and "说明" not in run("generate", known, *QUICK).err


def test_a_size_that_was_never_trained_is_named(run):
    quick = ("generate", "a red ball falls", "--seconds", "0", "--steps", "1", "--out", "a.png", "--size")
    assert "never trained on 96x96, but on 128x128" in run(*quick, "96x96").err
    assert "never trained" not in run(*quick, "160x96").err


def test_a_picture_of_another_world_is_called_one(run, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (1, 128, 128, 3), np.uint8)
    Clip(noise, 16).save(tmp_path / "photo.png")
    Clip(np.full((1, 128, 128, 3), 120, np.uint8), 16).save(tmp_path / "plain.png")
    quick = ("a red ball rolls", "--seconds", "0.5", "--steps", "1", "--out", "a.mp4")
    assert "photo.png looks like nothing of this model's world" in run("animate", "photo.png", *quick).err
    said = run("animate", "plain.png", *quick, "--last", "photo.png").err
    assert "photo.png looks like nothing" in said and "plain.png looks" not in said


def test_examples_are_drawn_as_they_stand(run):
    from tenku.prompts.examples import EXAMPLES

    listed = run("examples").out
    for each in EXAMPLES:
        assert each.english in listed and each.chinese in listed
        for prompt in (each.english, each.chinese):
            assert not expand(prompt, 7).notes, prompt
    assert len(json.loads(run("examples", "--json").out)) == len(EXAMPLES) >= 20


def test_what_the_first_page_and_make_video_ask_for_is_drawn_well():
    from tenku.prompts.examples import EXAMPLES

    root = Path(__file__).parent.parent
    known = {prompt.rstrip(".。") for each in EXAMPLES for prompt in (each.english, each.chinese)}
    asked = re.findall(r"^PROMPT \?= (.*)$", (root / "Makefile").read_text(encoding="utf-8"), re.M)
    for name in ("README.md", "README.zh.md"):
        page = (root / name).read_text(encoding="utf-8")
        asked += re.findall(r'(?:tenku generate |pipeline\.generate\()"([^"]+)"', page)
    assert len(asked) >= 7 and {prompt.rstrip(".。") for prompt in asked} <= known


def test_vocabulary_lists_both_languages(run):
    said = run("vocabulary")
    words, characters = said.out.splitlines()
    assert {"red", "ball", "bounces"} <= set(words.split())
    assert set("红球") <= set(characters)
    assert json.loads(run("vocabulary", "--json").out)["words"] == words.split()


def test_sheet_has_a_row_for_each_clip(run, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        run("generate", PROMPT, *QUICK, "--out", name)
    assert run("sheet", "a.mp4", "b.mp4", "--out", "deep/sheet.png", "--columns", "3").out == "deep/sheet.png\n"
    width, height = Clip.load(tmp_path / "a.mp4").size
    with Image.open(tmp_path / "deep/sheet.png") as picture:
        assert picture.width >= 3 * width and picture.height >= 2 * height


def test_doctor_reports_what_it_measured(run):
    said = run("doctor")
    assert said.code == 0, said.err
    for subject in ("processor", "memory", "torch", "video", "weights", "speed"):
        assert f"ok  {subject}" in said.out or f"--  {subject}" in said.out
    assert "measured just now" in said.out


def test_doctor_says_what_card_a_preset_wants_for_training(run):
    said = run("doctor", "--model", "nano")
    assert said.code == 0 and "nano: a clip of 3 s at 128x128 takes" in said.out and "a card of 8 GB" in said.out


def test_doctor_names_broken_weights(run, tmp_path):
    said = run("doctor", "--model", str(tmp_path))
    assert said.code == 2
    assert "no  weights" in said.out and said.err.startswith("error: ")


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "tenku", "--help"], capture_output=True, text=True, check=True)
    assert "generate" in done.stdout


@pytest.mark.parametrize(
    ("text", "size"),
    [("128x128", (128, 128)), ("80×48", (80, 48)), (" 48X80 ", (48, 80)), ("64*64", (64, 64))],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["128", "128x", "x128", "0x64", "1.5x2", "64x64x64", "-1x64", "64x1000000000"])
def test_sizes_that_are_none(text):
    with pytest.raises(ValueError, match="WIDTHxHEIGHT"):
        parse_size(text)


def test_slugs_are_short_file_names():
    assert slug("A red ball!") == "a-red-ball"
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("红球 落下") == "红球-落下"
    assert slug("🦄…") == "video"
    assert slug("word " * 100) == "-".join(["word"] * 9)
    assert len(slug("x" * 500)) == 48


def test_doctor_predicts_the_memory_of_open_weights(run, monkeypatch, tmp_path):
    pytest.importorskip("diffusers")
    monkeypatch.setenv("TENKU_MODELS", str(tmp_path))
    said = run("doctor", "--model", "wan2.1-1.3b", "--seconds", "0", "--size", "128x64")
    assert "wan2.1-1.3b is not here: tenku pull wan2.1-1.3b" in said.out
    assert "parts take turns: text" in said.out
    window, minute = (
        run("doctor", "--model", "wan2.1-1.3b", "--size", "128x64", "--seconds", seconds).out
        for seconds in ("5.0625", "60")
    )
    assert "60 s take as much as each window of 81 frames" in minute and "window" not in window
    assert minute.splitlines()[-1].split(":")[1] == window.splitlines()[-1].split(":")[1]  # it takes no more memory
    said = run("doctor", "--size", "64x64")
    assert said.code == 2 and "ask for the memory of open weights" in said.err
    for options in (["--seconds", "-5"], ["--seconds", "nan"], ["--size", "3x3"]):
        assert run("doctor", "--model", "wan2.1-1.3b", *options).code == 2


def test_the_version(run):
    assert run("--version") == (0, f"{tenku.__version__}\n", "")


def test_a_reader_that_goes_away_is_no_failure():
    script = f"set -o pipefail; ({sys.executable} -m tenku vocabulary; echo $? >&2) | true"
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert said.stderr == "0\n"


def test_words_never_seen_are_named_wherever_they_stand(run, tmp_path):
    still = ("--seconds", "0", "--steps", "1", "--out", "a.png")
    assert "never seen: unicorn." in run("generate", "a red ball", *still, "--negative-prompt", "unicorn").err
    assert "never seen: unicorn." in run("generate", "a unicorn", *still, "--no-expand").err
    assert "draws nothing of: unicorn." in run("generate", "a unicorn", *still).err
    assert "draws nothing of: unicorn." in run("expand", "a unicorn").err
    assert "draws nothing of: unicorn." in json.loads(run("expand", "a unicorn", "--json").out)["notes"][0]
    board = 'seconds = 0.5\n[[card]]\nat = 0\nprompt = "a red ball"\n[[card]]\nat = 0.25\nprompt = "a unicorn"\n'
    (tmp_path / "board.toml").write_text(board)
    said = run("storyboard", "board.toml", "--steps", "1", "--out", "a.mp4", "--insert", "0:0.25:a zebra")
    assert "draws nothing of: unicorn." in said.err and "draws nothing of: zebra." in said.err
    assert run("expand", "x" * 3000).code == 2


def test_help_shows_brackets_as_they_are(run):
    assert "[[card]]" in " ".join(run("storyboard", "--help").out.split())


def test_former_names_of_options_still_work(run):
    """For one version, with a word about it; what comes after -- is no option."""
    still = ("--steps", "1", "--seconds", "0", "--seed", "1")
    old = run("generate", "a red ball", *still, "--negative", "snow", "--json")
    new = run("generate", "a red ball", *still, "--negative-prompt=snow", "--json")
    assert json.loads(old.out)["negative_prompt"] == json.loads(new.out)["negative_prompt"] == "snow"
    assert "--negative is called --negative-prompt now" in old.err and "is called" not in new.err
    assert with_new_names(["animate", "--ends", "--", "--negative"]) == ["animate", "--as-last", "--", "--negative"]
