"""A file that tenku made gives back how: in every kind of file, and as a command that makes it again."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from tenku.cli import main
from tenku.cli.show import command_for
from tenku.media.clip import Clip, as_text
from tenku.media.describe import describe

MADE = {
    "prompt": '一个 "red" ball & <b>; \\ = 🎈\nand on',
    "seed": 7,
    "guidance": 3.5,
    "loras": ["a:0.5"],
    "cards": [{"at": 0}],
}


def clip(count: int = 4) -> Clip:
    frames = np.random.default_rng(0).integers(0, 255, (count, 48, 64, 3), np.uint8)
    return Clip(frames, 16, MADE)


@pytest.mark.parametrize("ending", [".mp4", ".gif", ".webp", ".png"])
@pytest.mark.parametrize("count", [1, 4])
def test_every_kind_of_file_remembers(ending, count, tmp_path):
    clip(count).save(tmp_path / f"a{ending}")
    assert Clip.load(tmp_path / f"a{ending}").metadata == as_text(MADE)
    assert describe(tmp_path / f"a{ending}").metadata == as_text(MADE)


def test_other_programs_read_it_too(tmp_path):
    clip().save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.text["prompt"] == MADE["prompt"]
    clip().save(tmp_path / "a.webp")
    with Image.open(tmp_path / "a.webp") as picture:
        assert '<rdf:li xml:lang="x-default">一个' in picture.info["xmp"].decode()
    clip().save(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as picture:
        assert json.loads(picture.info["comment"])["seed"] == "7"


def test_what_others_wrote_is_no_trouble(tmp_path):
    picture = Image.new("RGB", (8, 8), "red")
    picture.save(tmp_path / "a.gif", comment=b"made by hand")
    assert Clip.load(tmp_path / "a.gif").metadata == {"comment": "made by hand"}
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    for xmp in (b"<no xml", bomb, b"<a xmlns:tenku='urn:tenku'><tenku:made>[1]</tenku:made></a>", b"\xff\xfe"):
        picture.save(tmp_path / "a.webp", xmp=xmp)
        assert Clip.load(tmp_path / "a.webp").metadata in ({}, {"comment": "[1]"})


@pytest.fixture
def made(tmp_path, monkeypatch, capsys):
    """Make a file by a command, and again by the command that `tenku show` prints."""
    monkeypatch.chdir(tmp_path)
    Clip(np.random.default_rng(1).integers(0, 255, (16, 128, 128, 3), np.uint8), 16).save("given.mp4")
    Image.new("RGB", (128, 128), "red").save("first.png")
    (tmp_path / "board.toml").write_text('seconds = 1\n[[card]]\nat = 0\nprompt = "a red ball"\n')

    def twice(*arguments: str, out: str = "a.mp4") -> tuple[np.ndarray, np.ndarray, str]:
        assert main([arguments[0], "--steps", "1", "--out", out, *arguments[1:]]) == 0
        capsys.readouterr()
        assert main(["show", out]) == 0
        command = capsys.readouterr().out.strip().splitlines()[-1]
        first = Clip.load(out).frames
        again = shlex.split(command)
        assert again[0] == "tenku"
        assert main([again[1], f"--out=again{out[1:]}", *again[2:]]) == 0
        return first, Clip.load(f"again{out[1:]}").frames, command

    return twice


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "a red ball falls", "--seconds", "0.5", "--size", "96x64"),
        (
            "generate",
            "--no-expand",
            "--seconds",
            "0",
            "--guidance",
            "2.25",
            "--solver",
            "euler",
            "--seed",
            "5",
            "--",
            "-a zebra",
        ),
        ("animate", "first.png", "a red ball", "--seconds", "0.5"),
        ("animate", "first.png", "a red ball", "--as-last", "--seconds", "0.5"),
        ("animate", "first.png", "a red ball", "--last", "first.png", "--seconds", "0.75"),
        ("extend", "given.mp4", "a red ball", "--forward", "0.5", "--negative-prompt", "a cube"),
        ("connect", "given.mp4", "given.mp4", "a red ball", "--seconds", "0.5"),
        ("loop", "a red ball", "--seconds", "0.5"),
        ("loop", "a red ball", "--clip", "given.mp4", "--seconds", "0.5"),
        ("remix", "given.mp4", "a red ball", "--strength", "0.2:0.9", "--keep", "first.png"),
        ("storyboard", "board.toml", "--insert", "0.5:0.5:a cube"),
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_the_command_makes_it_again(arguments, made):
    first, again, command = made(*arguments)
    assert np.array_equal(first, again), command


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_show_reads_pictures(ending, made):
    *_, command = made("generate", "a red ball falls", "--seconds", "0.5", out=f"a.{ending}")
    assert command.startswith("tenku generate --seconds=0.5 --size=128x128 --seed=")


def test_a_file_of_somebody_else(tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert main(["show", str(tmp_path / "a.png")]) == 0
    said = capsys.readouterr()
    assert said.out == "" and "does not say that tenku made it" in said.err
    assert main(["show", str(tmp_path / "nothing.png")]) == 2
    assert command_for({"prompt": "a ball"}) is None
    assert main(["show", str(tmp_path / "a.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"command": None}


@pytest.mark.parametrize("given", ['{"clip": "file.mp4"}', '{"clip": 3}', "[]", '{"clip": {"file": 3}}', "{", "null"])
def test_a_made_up_file_is_no_trouble(given):
    made = dict.fromkeys(("tenku", "seed", "steps", "guidance", "shift", "solver"), "1")
    command = command_for(made | {"prompt": "--out=a", "task": "extend", "given": given})
    assert shlex.split(command)[:3] == ["tenku", "extend", "CLIP"] and command.endswith(" -- --out=a")


def test_a_file_that_looks_like_an_option_is_none():
    made = dict.fromkeys(("tenku", "seed", "steps", "guidance", "shift", "solver"), "1")
    given = json.dumps({"clip": {"file": "--out=a.mp4", "sha256": ""}})
    assert "./--out=a.mp4" in shlex.split(command_for(made | {"prompt": "a", "task": "extend", "given": given}))
