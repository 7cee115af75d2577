"""What the commands share: reading options, looking at outputs before the work, talking on stderr."""

import os
import re
import sys
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer


def option(panel: str, text: str, *names: str, **more: Any) -> Any:
    """A command's option, with its help, in a panel of `--help`."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def say(line: str) -> None:
    """A line for the person, on stderr: stdout is for results. No markup: prompts may hold brackets."""
    with suppress(BrokenPipeError):  # nobody listens, and the work goes on
        print(line, file=sys.stderr, flush=True)


def parse_size(text: str) -> tuple[int, int]:
    """As `fit.parse_size`, which loads what reads videos."""
    from tenku.media.resize import parse_size

    return parse_size(text)


def parse_seconds(text: str) -> float:
    """A length: "3", "2.5" or "2.5s"."""
    match = re.fullmatch(r"\s*(\d{1,6}(?:\.\d*)?|\.\d+)\s*s?\s*", text)
    if not match:
        raise ValueError(f"{text!r} should be a number of seconds, for example 2.5 or 2.5s")
    return float(match[1])


def parse_span(text: str) -> tuple[float, float]:
    """From when to when: "1:4.5", in seconds."""
    start, colon, end = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} should be two times in seconds, for example 1:4.5")
    return parse_seconds(start), parse_seconds(end)


def parse_insert(text: str) -> tuple[float, float, str]:
    """When, how long, and what: "2:1.5:The ball stops."."""
    parts = text.split(":", 2)
    if len(parts) < 3 or not parts[2].strip():
        raise ValueError(f"{text!r} should be a time, a length and a prompt, for example 2:1.5:The ball stops.")
    return parse_seconds(parts[0]), parse_seconds(parts[1]), parts[2].strip()


def parse_strength(text: str) -> float | tuple[float, float]:
    """A strength, or two: "0.6" or "0.2:0.9"."""
    try:
        values = [float(part) for part in text.split(":")]
    except ValueError:
        values = []
    if len(values) not in (1, 2):
        raise ValueError(f"strength {text!r} should be a number above 0 and up to 1, or two as in 0.2:0.9")
    return values[0] if len(values) == 1 else (values[0], values[1])


def check_output(path: Path, suffixes: tuple[str, ...]) -> Path:
    """Make the folder of an output and try to write there, before the minute of work and not after it."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {path}: the name should end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder")
    check_folder(path.parent)
    return path


def not_over(outputs: Iterable[Path], given: Iterable[Path | None]) -> None:
    """ValueError when an output would replace a file that is read."""
    read = [each for each in given if each is not None and each.exists()]
    for path in outputs:
        if path.exists() and any(path.samefile(each) for each in read):
            raise ValueError(f"{path} is one of the files that are read: choose another name with --out")


def check_folder(folder: Path) -> Path:
    """Make a folder for outputs and try to write there."""
    trial = folder / f".tenku-{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            trial.write_bytes(b"x")
        finally:
            trial.unlink(missing_ok=True)
    except FileExistsError:
        raise ValueError(f"cannot write into {folder}: it is a file, not a folder") from None
    except OSError as error:
        raise ValueError(f"cannot write into the folder {folder}: {error.strerror or error}") from error
    return folder


def existing_folder(folder: Path, what: str) -> Path:
    """A folder that a command reads: named in the error when it is not there."""
    if not folder.is_dir():
        raise ValueError(f"there is no {what} folder {folder}")
    return folder


def slug(prompt: str, length: int = 48) -> str:
    """A file name out of a prompt: letters and digits of any script, joined by dashes."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", prompt).casefold().replace("_", " "))
    name = ""
    for word in words:
        longer = f"{name}-{word}" if name else word
        if len(longer) > length:
            break
        name = longer
    return name or (words[0][:length] if words else "video")


def given(**options: Any) -> dict[str, Any]:
    """Those of the options that were given."""
    return {name: value for name, value in options.items() if value is not None}
