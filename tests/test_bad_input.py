"""Bad input: one line `error: …`, exit code 2 (130 for Ctrl-C), and never a half-written file."""

import errno
import os
import pickle
import pwd
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tenku.cli import main
from tenku.media.clip import Clip

PROMPT = "a red ball"
PARTS = ("autoencoder", "text", "transformer")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, so that everything written can be seen."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("TENKU_DEBUG", raising=False)
    return folder


@pytest.fixture
def fails(place: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `tenku generate` with bad options; the error, once it has the form that every error must have."""

    def run(*options: str, prompt: str = PROMPT, model: str | Path = tiny_folder) -> str:
        capsys.readouterr()
        code = main(["generate", prompt, "--model", str(model), *options])
        out, err = capsys.readouterr()
        assert code == 2, (code, out, err)
        assert out == ""
        assert err.startswith("error: ") and err.count("\n") == 1, err
        assert len(err) > len("error: \n")
        assert leftovers(place) == []
        return err

    return run


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """Weights that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "weights"))


def leftovers(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("prompt", ["", "   \n\t"])
def test_empty_prompt(fails: Callable[..., str], prompt: str) -> None:
    assert "empty" in fails(prompt=prompt)


def test_prompt_of_ten_thousand_characters(fails: Callable[..., str]) -> None:
    assert "10,000 characters" in fails(prompt="x" * 10_000)


def test_prompt_with_half_a_character(fails: Callable[..., str]) -> None:
    fails(prompt="a red \udce9 ball")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--size", "65x64"], "64"),
        (["--size", "64"], "WIDTHxHEIGHT"),
        (["--size", "0x64"], "WIDTHxHEIGHT"),
        (["--size", "-64x64"], "WIDTHxHEIGHT"),
        (["--size", ""], "WIDTHxHEIGHT"),
        (["--size", "64000x64"], "64000x64"),
        (["--seconds", "1000000000"], "seconds"),
        (["--seconds", "-1"], "seconds"),
        (["--seconds", "nan"], "seconds"),
        (["--seconds", "inf"], "seconds"),
        (["--seconds", "three"], "--seconds"),
        (["--steps", "0"], "steps"),
        (["--steps", "1000000000"], "steps"),
        (["--guidance", "-1"], "guidance"),
        (["--guidance", "nan"], "guidance"),
        (["--seed", "-1"], "seed"),
        (["--seed", str(10**30)], "seed"),
        (["--solver", "dpm"], "multistep"),
        (["--negative-prompt", "x" * 10_000], "negative"),
        (["--sparkle"], "--sparkle"),
        (["one", "two"], "two"),
        (["--out", "video.avi"], ".mp4"),
        (["--out", "video"], ".mp4"),
        (["--out", "x" * 300 + ".mp4"], "long"),
    ],
)
def test_options_out_of_range(fails: Callable[..., str], options: list[str], named: str) -> None:
    assert named in fails(*options)


def test_no_prompt_and_no_such_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["generate"], ["dream"], ["sheet", "a.mp4"]):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1


def test_output_is_a_folder(fails: Callable[..., str], place: Path) -> None:
    (place / "taken.mp4").mkdir()
    assert "taken.mp4" in fails("--out", "taken.mp4")


def test_folder_that_cannot_be_made(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert str(tmp_path / "file") in fails("--out", str(tmp_path / "file" / "video.mp4"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can write, not even root")
def test_unwritable_folder(fails: Callable[..., str]) -> None:
    assert "/proc" in fails("--out", "/proc/video.mp4")


def test_output_is_looked_at_before_the_work(fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    from tenku.sample.pipeline import Pipeline

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the work began before the output was looked at")

    monkeypatch.setattr(Pipeline, "run", never)
    fails("--out", "/proc/video.mp4" if Path("/proc/self").exists() else "video.avi")
    fails("--gif", "--out", "x" * 300 + ".mp4")


# Weights


def test_missing_weights(fails: Callable[..., str]) -> None:
    assert "nowhere" in fails(model="nowhere")


def test_a_folder_without_weights(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    assert "model.json" in fails(model=tmp_path / "hollow")


def test_model_json_that_is_not_json(fails: Callable[..., str], copy: Path) -> None:
    (copy / "model.json").write_text("{")
    assert "model.json" in fails(model=copy)


@pytest.mark.parametrize("part", PARTS)
def test_missing_part(fails: Callable[..., str], copy: Path, part: str) -> None:
    shutil.rmtree(copy / part)
    assert part in fails(model=copy)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_truncated_weights(fails: Callable[..., str], copy: Path, part: str, keep: int) -> None:
    path = copy / part / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    error = fails(model=copy)
    assert part in error and "truncated" in error


@pytest.mark.parametrize("part", PARTS)
def test_weights_of_another_shape(fails: Callable[..., str], copy: Path, part: str) -> None:
    path = copy / part / "model.safetensors"
    tensors = load_file(path)
    name = max(tensors, key=lambda key: tensors[key].numel())
    tensors[name] = tensors[name].flatten()[:-1].clone()
    save_file(tensors, path)
    error = fails(model=copy)
    assert part in error and name in error and "shape" in error


@pytest.mark.parametrize("part", PARTS)
def test_weights_with_a_tensor_missing(fails: Callable[..., str], copy: Path, part: str) -> None:
    path = copy / part / "model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[0]
    del tensors[name]
    save_file(tensors, path)
    assert name in fails(model=copy)


class Trap:
    """Leaves a file behind when somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model.pt"])
@pytest.mark.parametrize("zipped", [False, True])
def test_pickle_offered_as_weights(
    fails: Callable[..., str], copy: Path, tmp_path: Path, name: str, zipped: bool
) -> None:
    trap = Trap(tmp_path / "sprung")
    (copy / "transformer" / "model.safetensors").unlink()
    if zipped:
        torch.save(trap, copy / "transformer" / name)
    else:
        (copy / "transformer" / name).write_bytes(pickle.dumps(trap))
    assert "pickle" in fails(model=copy)
    assert not (tmp_path / "sprung").exists()


# The disk, and Ctrl-C


@pytest.mark.parametrize("name", ["video.mp4", "video.gif", "video.webp", "video.png"])
def test_full_disk(fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    assert "No space left" in fails("--seconds", "0.3", "--out", name)


def run_tenku(
    place: Path, *arguments: str, variables: dict[str, str] | None = None, **options: object
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tenku", *arguments],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent), **(variables or {})},
        **options,  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1:strict", "utf-8"])
def test_a_terminal_of_another_encoding(place: Path, tiny_folder: Path, encoding: str) -> None:
    """The path that is printed is the file's own, byte by byte."""
    arguments = ("generate", "一个红色的球", "--model", str(tiny_folder), "--seconds", "0", "--seed", "3")
    done = run_tenku(place, *arguments, variables={"PYTHONIOENCODING": encoding}, encoding="utf-8")
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    (made,) = leftovers(place)
    assert "红色的球" in made and out == f"{made}\n"


def test_a_user_without_home_and_name(place: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: object) -> None:
        raise KeyError("getpwuid(): uid not found")

    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    options = ["--model", str(tiny_folder), "--seconds", "0.3", "--out", "12:30/a:b.mp4", "--gif", "--webp", "--png"]
    assert main(["generate", PROMPT, *options]) == 0
    assert leftovers(place) == [f"12:30/a:b.{ending}" for ending in ("gif", "mp4", "png", "webp")]
    assert main(["extend", "12:30/a:b.mp4", PROMPT, *options[:2], "--forward", "0.3", "--out", "c:d.mp4"]) == 0
    assert main(["generate", PROMPT, "--model", "~/none"]) == 2
    assert main(["generate", PROMPT, *options[:4], "--lora", "~/none.safetensors"]) == 2
    assert main(["models"]) == 0


def test_disk_that_fills_up_while_writing(place: Path, tiny_folder: Path) -> None:
    """A limit on file sizes stops the encoder's own writes half way, as a full disk does."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    process = run_tenku(place, "generate", PROMPT, "--model", str(tiny_folder), "--out", "a.mp4", preexec_fn=limit)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert out == "" and err.splitlines()[-1].startswith("error: ") and "Traceback" not in err
    assert leftovers(place) == []


def test_ctrl_c_while_denoising(place: Path, tiny_folder: Path) -> None:
    arguments = ("generate", "a zebra", "--model", str(tiny_folder), "--steps", "1000", "--out", "a.mp4")
    # A shell that starts the tests in the background has SIGINT ignored, and children inherit that.
    listen = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    process = run_tenku(place, *arguments, preexec_fn=listen)
    assert process.stderr is not None
    assert "zebra" in process.stderr.readline()  # the note comes just before the denoising
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert out == "" and "Traceback" not in err
    assert leftovers(place) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_end_from_outside_leaves_what_was_made(place: Path, tiny_folder: Path, number: signal.Signals) -> None:
    def listen() -> None:
        for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)

    arguments = ("generate", PROMPT, "--model", str(tiny_folder), "--seconds", "600", "--steps", "1", "--out", "a.mp4")
    process = run_tenku(place, *arguments, preexec_fn=listen)
    deadline = time.monotonic() + 120
    while not leftovers(place) and time.monotonic() < deadline:  # the video is being written
        time.sleep(0.05)
    assert leftovers(place)
    time.sleep(1.0)  # some of it, at least
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == (130 if number == signal.SIGINT else 128 + number), err
    assert out == "" and "Traceback" not in err and ("interrupted" in err) == (number == signal.SIGINT)
    assert leftovers(place) == ["a.partial.mp4"] and "a.partial.mp4" in err
    made = Clip.load(place / "a.partial.mp4")
    assert 0 < made.num_frames < 9600 and made.metadata["prompt"] == PROMPT


@pytest.mark.parametrize("name", ["video.mp4", "video.gif", "video.webp", "video.png"])
def test_ctrl_c_while_writing(place: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    assert main(["generate", PROMPT, "--model", str(tiny_folder), "--seconds", "0.3", "--out", name]) == 130
    assert leftovers(place) == []


def test_an_older_video_survives_a_failure(place: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "video.mp4").write_bytes(b"older")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    assert main(["generate", PROMPT, "--model", str(tiny_folder), "--seconds", "0.3", "--out", "video.mp4"]) == 2
    assert (place / "video.mp4").read_bytes() == b"older"
    assert leftovers(place) == ["video.mp4"]


def test_debug_shows_the_traceback(place: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENKU_DEBUG", "1")
    with pytest.raises(ValueError, match="empty"):
        main(["generate", "", "--model", str(tiny_folder)])


def test_emoji_works_with_a_note(place: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["generate", "a red ball 🦄", "--model", str(tiny_folder), "--seconds", "0", "--seed", "3"])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "🦄" in err and "tenku vocabulary" in err
    assert leftovers(place) == ["a-red-ball-3.mp4"] == out.split()
