"""Many videos at once, and one again: takes of several seeds, files of prompts, and what a file remembers."""

import json

import numpy as np
import pytest

from tenku.cli import main
from tenku.media.clip import Clip
from tenku.media.describe import describe


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, tiny_folder):
    """Run a command with tiny weights in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main([*map(str, arguments), *(["--model", str(tiny_folder)] if arguments[0] != "again" else [])])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_takes_have_seeds_of_their_own_and_a_sheet(run, tmp_path):
    code, out, _ = run("generate", "a red ball", "--count", 3, "--seconds", 0.3, "--seed", 5, "--out", "a.mp4", "--gif")
    assert code == 0
    assert out.split() == [*(f"a-{number}.{ending}" for number in (1, 2, 3) for ending in ("mp4", "gif")), "a.png"]
    assert [describe(f"a-{number}.mp4").metadata["seed"] for number in (1, 2, 3)] == ["5", "6", "7"]
    assert run("generate", "a red ball", "--seconds", 0.3, "--seed", 6, "--out", "b.mp4")[0] == 0
    assert np.array_equal(Clip.load("b.mp4").frames, Clip.load("a-2.mp4").frames)
    assert Clip.load("a.png").size[1] > 3 * 64


def test_again_makes_the_same_or_another(run):
    assert run("generate", "a red ball", "--seconds", 0.3, "--seed", 6, "--out", "a.mp4")[0] == 0
    assert run("again", "a.mp4")[:2] == (0, "a-again.mp4\n")
    assert run("again", "a.mp4", "--seed", 7, "--out", "b.gif")[0] == 0
    assert run("again", "a.mp4", "--seed", "new", "--out", "c.mp4")[0] == 0
    made = {name: Clip.load(name) for name in ("a.mp4", "a-again.mp4", "b.gif", "c.mp4")}
    assert np.array_equal(made["a.mp4"].frames, made["a-again.mp4"].frames)
    assert made["b.gif"].metadata["seed"] == "7" and made["c.mp4"].metadata["seed"] not in ("6", "7")
    code, _, err = run("again", "a.mp4", "--seed", "old")
    assert code == 2 and "'old' should be a number or `new`" in err


def test_again_finds_what_was_given_and_sees_that_it_is_the_same(run, tmp_path):
    given = Clip(np.random.default_rng(0).integers(0, 255, (16, 64, 64, 3), np.uint8), 16)
    (tmp_path / "clips").mkdir()
    given.save(tmp_path / "clips" / "given.mp4")
    assert run("extend", "clips/given.mp4", "a red ball", "--forward", 0.3, "--out", "made/e.mp4")[0] == 0
    assert describe("made/e.mp4").metadata["task"] == "extend"
    assert run("again", "made/e.mp4")[0] == 0
    assert np.array_equal(Clip.load("made/e-again.mp4").frames, Clip.load("made/e.mp4").frames)
    (tmp_path / "clips" / "given.mp4").rename(tmp_path / "made" / "given.mp4")
    assert run("again", "made/e.mp4")[0] == 0
    given.part(0, 8).save(tmp_path / "made" / "given.mp4")
    code, _, err = run("again", "made/e.mp4")
    assert code == 2 and "is not the file that the clip was made from" in err
    (tmp_path / "made" / "given.mp4").unlink()
    code, _, err = run("again", "made/e.mp4")
    assert code == 2 and "which is not there: put it beside the clip" in err


LINES = [
    '{"prompt": "a red ball", "seconds": 0.3}',
    "not JSON",
    '{"prompt": "a blue ball", "seconds": 0.3, "seed": 40, "out": "blue.gif"}',
    '{"prompt": "a cube", "sed": 3}',
    '{"prompt": "a cube", "out": "../cube.mp4"}',
    '{"prompt": "", "seconds": 0.3}',
]


def test_a_batch_goes_on_past_a_bad_line_and_where_it_stopped(run, tmp_path):
    (tmp_path / "prompts.jsonl").write_text("\n".join(LINES))
    code, out, err = run("batch", "prompts.jsonl", "--folder", "out", "--steps", 1)
    assert code == 2 and out.split() == ["out/0001-a-red-ball.mp4", "out/blue.gif"]
    assert (
        "4 of 6 lines of prompts.jsonl were not made: line 2: it is not JSON" in err
        and "it has sed; it may have" in err
    )
    assert describe("out/blue.gif").metadata["seed"] == "40"
    before = (tmp_path / "out" / "blue.gif").stat().st_mtime_ns
    (tmp_path / "prompts.jsonl").write_text("\n".join([LINES[0], LINES[2], '{"prompt": "a cone", "seconds": 0.3}']))
    code, out, err = run("batch", "prompts.jsonl", "--folder", "out", "--steps", 1)
    assert code == 0 and out.split() == ["out/0003-a-cone.mp4"] and "out/blue.gif is there" in err
    assert (tmp_path / "out" / "blue.gif").stat().st_mtime_ns == before


def test_a_batch_of_plain_lines(run, tmp_path):
    (tmp_path / "prompts.txt").write_text("a red ball\n\n一个红色的球\n", encoding="utf-8")
    code, out, _ = run("batch", "prompts.txt", "--steps", 1)
    assert code == 0 and len(out.split()) == 2
    (tmp_path / "empty.txt").write_text("\n")
    assert run("batch", "empty.txt")[0] == 2
    assert json.loads(json.dumps(describe(out.split()[0]).metadata))["seed"] == "1"


def test_another_video_of_the_same_name_is_not_lost_without_a_word(run, tmp_path):
    quick = ("generate", "a red ball", "--seconds", 0.3, "--seed", 6)
    assert run(*quick)[1] == "a-red-ball-6.mp4\n"
    assert run(*quick)[1] == "a-red-ball-6.mp4\n"  # the same again
    assert run(*quick, "--steps", 2)[1] == "a-red-ball-6-2.mp4\n"
    assert run(*quick, "--steps", 2)[1] == "a-red-ball-6-2.mp4\n"
    code, _, err = run(*quick, "--steps", 4, "--out", "a-red-ball-6.mp4")
    assert code == 0 and "note: a-red-ball-6.mp4 is replaced: it was made with steps" in err
    (tmp_path / "mine.mp4").write_bytes(b"mine")
    assert "note: mine.mp4 is replaced: it is no video of tenku's" in run(*quick, "--out", "mine.mp4")[2]


def test_errors_and_progress_for_programs(run):
    code, out, err = run("generate", "a red ball", "--seconds", -1, "--json")
    assert code == 2 and json.loads(out)["error"] in err
    quick = ("generate", "a red ball", "--seconds", 6, "--steps", 1)
    _, _, err = run(*quick, "--progress", "json", "--out", "a.mp4")
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    fractions = [line["fraction"] for line in lines if "fraction" in line]
    assert {"denoise", "decode"} <= {line["stage"] for line in lines} and fractions == sorted(fractions)
    assert 0.9 < fractions[-1] <= 1 and all(line["seconds_left"] >= 0 for line in lines if "fraction" in line)
    assert run(*quick, "--progress", "some", "--out", "b.mp4")[0] == 2


def test_where_no_terminal_is_a_line_comes_now_and_then(run, monkeypatch):
    from tenku.cli import _progress

    monkeypatch.setattr(_progress, "EVERY", 0.0)
    _, _, err = run("generate", "a red ball", "--seconds", 6, "--steps", 1, "--out", "a.mp4")
    assert "denoise 1 of 1, " in err and "% of all, " in err and " s left" in err


def test_a_stream_that_was_read_says_so_in_every_method(tmp_path):
    from tenku.media.clip import Stream

    def stream():
        pieces = iter(np.zeros((2, 3, 8, 8, 3), np.uint8))
        return Stream(pieces, 16, 6, (8, 8))

    ways = (
        list,
        lambda each: each.clip(),
        lambda each: each.save(tmp_path / "a.mp4"),
        lambda each: each.save(tmp_path / "a.gif"),
    )
    for first in ways:
        for second in ways:
            each = stream()
            first(each)
            with pytest.raises(ValueError, match="has been read already"):
                second(each)
    half = stream()
    next(iter(half))
    with pytest.raises(ValueError, match="has been read already"):
        half.clip()
