"""The files that a command writes: looked at before the work, never lost without a word, reported after it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tenku.cli._options import check_output, say

if TYPE_CHECKING:
    from tenku.media.clip import Clip, Stream
    from tenku.sample.request import Request

VIDEO_SUFFIXES = (".mp4", ".gif", ".webp", ".png")


def checked_outputs(path: Path, also: Mapping[str, bool], size: tuple[int, int]) -> list[Path]:
    """The files to write, each looked at before the work. also: the other endings, and whether they are wanted."""
    paths = [path, *(path.with_suffix(ending) for ending, wanted in also.items() if wanted)]
    outputs = [check_output(each, VIDEO_SUFFIXES) for each in dict.fromkeys(paths)]
    width, height = size
    if (width % 2 or height % 2) and any(each.suffix.lower() == ".mp4" for each in outputs):
        raise ValueError(f"an mp4 needs an even width and height, got {width}x{height}")
    return outputs


def differs(path: Path, request: "Request") -> str | None:
    """How a file that is there was made otherwise than by this request, in words; None: it was not, or is not there."""
    from tenku.media.describe import describe

    if not path.is_file():
        return None
    try:
        made = describe(path).metadata
    except ValueError:
        return "it is no video of tenku's"
    if "tenku" not in made:
        return "tenku did not make it"
    params, (width, height) = request.params, request.size
    asked = {"prompt": request.prompt, "seed": request.seed, "steps": params.num_steps, "solver": params.solver}
    asked |= {"width": width, "height": height}
    if "task" not in made:  # the others decide themselves how long they are
        asked["num_frames"] = request.num_frames
    other = [f"{name} {made.get(name)}" for name, value in asked.items() if made.get(name) != str(value)]
    return f"it was made with {', '.join(other)}"[:200] if other else None


def free_name(path: Path, request: "Request") -> Path:
    """A name that nobody asked for, with a number behind it where a file made otherwise has it already."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in range(2, 1000))
    return next((each for each in (path, *numbered) if differs(each, request) is None), path)


@contextmanager
def telling_of_partial(path: Path) -> Iterator[None]:
    """Say where what was made so far is, when the block is interrupted."""
    from tenku.media.writer import partial_name

    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if partial_name(path).exists():
            say(f"what was made so far: {partial_name(path)}")
        raise


def report(
    outputs: list[Path], video: "Stream | Clip", timings: dict[str, float], as_json: bool, notes: list[str]
) -> None:
    """One JSON line for programs, or the paths for people."""
    if as_json:
        line = {
            "path": str(outputs[0]),
            "also": [str(each) for each in outputs[1:]],
            "seconds_taken": {stage: round(taken, 3) for stage, taken in timings.items()},
            "size": list(video.size),
            "frames": video.num_frames,
            "fps": video.fps,
            **video.metadata,
            "notes": notes,
        }
        print(json.dumps(line, ensure_ascii=False))
        return
    for each in outputs:
        print(each)
    width, height = video.size
    count = video.num_frames
    length = f"{count} frames ({count / video.fps:.1f} s)" if count > 1 else "a still picture"
    say(f"{length}, {width}x{height}, seed {video.metadata['seed']}, made in {sum(timings.values()):.1f} s")
