"""`tenku show`: what a file remembers of how it was made, and the command that makes it again."""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tenku.cli._options import say

# What a file says in a line of its own, first what people look for.
FIRST = ("prompt", "asked", "negative_prompt", "seed", "model")
SAMPLING = ("seed", "steps", "guidance", "shift", "solver")
# Of a task: files by place, then options whose values the file remembers by the same name.
TASKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "generate": ((), ()),
    "animate": (("picture",), ()),
    "extend": (("clip",), ("forward", "backward")),
    "connect": (("before", "after"), ("seconds",)),
    "loop": ((), ("seconds",)),
    "remix": (("clip",), ()),
    "storyboard": (("board",), ("trim",)),
}


def show(
    file: Annotated[Path, typer.Argument(help="A video or picture that tenku made: mp4, gif, webp or png.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Print what a file was made of, prompt and seed first, and the command that makes it again."""
    from tenku.media.describe import describe

    made = describe(file).metadata
    again = command_for(made)
    if as_json:
        print(json.dumps(made | {"command": again}, ensure_ascii=False))
        return
    for name in sorted(made, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)):
        print(f"{name}: {made[name]}")
    if again is None:
        say(f"note: {file} does not say that tenku made it, so there is no command that makes it again")
    else:
        print(f"\n{again}")


def command_for(made: Mapping[str, str]) -> str | None:
    """The command that makes a file again, from its metadata; None where it was not made by tenku.

    Files that were given are named as they were called.
    """
    words = arguments_for(made)
    return None if words is None else shlex.join(["tenku", *words])


def arguments_for(
    made: Mapping[str, str], find: Callable[[dict[str, str]], str] = lambda given: given["file"]
) -> list[str] | None:
    """As `command_for`, the arguments of `tenku`; find: from what is known of a given file to its path."""
    task = made.get("task", "generate")
    if not {"tenku", "prompt", *SAMPLING} <= made.keys() or task not in TASKS:
        return None
    files = TASKS[task][0]
    known = parsed(made.get("given"), {})
    given = {
        name: re.sub("^-", "./-", find(each))  # a name, not an option
        for name, each in known.items()
        if isinstance(each, dict) and isinstance(each.get("file"), str)
    }
    words = [task, *(given.get(name, given.get(f"as_{name}", name.upper())) for name in files)]
    options: list[tuple[str, Any]] = [(name, made.get(name)) for name in TASKS[task][1]]
    if task == "animate":
        if "as_last" in given:
            words = [task, given["as_last"], "--as-last"]
        options.append(("last", given.get("last")))
    if task == "loop":
        options.append(("clip", given.get("clip")))
    if task == "remix":
        options += [("strength", strength_of(made)), ("keep", given.get("keep"))]
    if task == "storyboard":
        options += [("video", given.get("video")), *(("insert", each) for each in parsed(made.get("insert"), []))]
    if task in ("generate", "animate") or (task == "loop" and "seconds" not in made):
        options.append(("seconds", seconds_of(made)))
    if "width" in made and "height" in made:
        options.append(("size", f"{made['width']}x{made['height']}"))
    options += [(name, made[name]) for name in SAMPLING if name != "guidance" or "low_guidance" not in made]
    options.append(("negative-prompt", made.get("negative_prompt") or None))
    options.append(
        ("model", made.get("model_path") or (made["model"] if made.get("model") not in (None, "embedded") else None))
    )
    options += [("lora", each) for each in parsed(made.get("loras"), [])]
    for name, value in options:
        if value not in (None, ""):
            words.append(f"--{name}={value}")
    words += ["--no-expand"] if task != "storyboard" or made.get("no_expand") == "true" else []
    words += ["--mute"] if made.get("mute") == "true" else []
    return words if task == "storyboard" else [*words, "--", made["prompt"]]


def parsed(text: str | None, otherwise: Any) -> Any:
    """A value that a file holds as JSON, of the kind of `otherwise`, which stands where it holds none."""
    try:
        value = json.loads(text or "")
    except ValueError:
        return otherwise
    return value if isinstance(value, type(otherwise)) else otherwise


def strength_of(made: Mapping[str, str]) -> str | None:
    """One strength, or two as the command takes them."""
    pair = parsed(made.get("strength"), [])
    return ":".join(str(each) for each in pair) if pair else made.get("strength")


def seconds_of(made: Mapping[str, str]) -> str | None:
    """The length that was asked for; a still picture is 0 seconds."""
    try:
        frames, fps = int(made["num_frames"]), float(made["fps"])
    except (KeyError, ValueError):
        return None
    return "0" if frames == 1 else f"{frames / fps:.10g}"
