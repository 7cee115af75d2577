"""Commands around one model: generate, vocabulary, sheet, doctor."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenku.commands.expansion import Chat, ChatModel, expanded
from tenku.commands.options import Stages, check_output, parse_size, progress_bars, say, slug

if TYPE_CHECKING:
    from tenku.sample.pipeline import Pipeline
    from tenku.types import Clip, Plan, Stream

VIDEO_SUFFIXES = (".mp4", ".gif", ".webp", ".png")
Prompt = Annotated[str, typer.Argument(help="What should be seen, in English or Chinese.")]
Model = Annotated[str, typer.Option(help="A name that `tenku models` lists, or a folder with weights.")]
Seconds = Annotated[float | None, typer.Option(help="Length; 0 is a still picture.")]
Size = Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels.")]
Steps = Annotated[int | None, typer.Option(help="Denoising steps; more is slower and finer.")]
Guidance = Annotated[float | None, typer.Option(help="How strictly the prompt is followed; 1 is off.")]
Seed = Annotated[int | None, typer.Option(help="Same seed, same video; random by default.")]
Out = Annotated[
    Path | None,
    typer.Option(help="The .mp4, .gif, .webp or .png to write; named after the prompt and seed if left out."),
]
Negative = Annotated[str, typer.Option(help="What should not be seen.")]
Solver = Annotated[str | None, typer.Option(help="multistep, heun, unipc or euler.")]
Gif = Annotated[bool, typer.Option("--gif", help="Also write a .gif beside the video.")]
Webp = Annotated[bool, typer.Option("--webp", help="Also write a .webp.")]
Png = Annotated[bool, typer.Option("--png", help="Also write a .png contact sheet.")]
Weights = Annotated[
    str | None, typer.Option(help="How open weights are held: bf16, int8 or fp8; what fits by default.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON on stdout.")]


def generate(
    prompt: Prompt,
    seconds: Seconds = None,
    size: Size = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = None,
    out: Out = None,
    model: Model = "embedded",
    negative: Negative = "",
    solver: Solver = None,
    gif: Gif = False,
    webp: Webp = False,
    png: Png = False,
    weights: Weights = None,
    expand: Annotated[bool, typer.Option("--expand", help="Make a short prompt full; see `tenku expand`.")] = False,
    chat: Chat = None,
    chat_model: ChatModel = "default",
    as_json: Json = False,
) -> None:
    """Make a video from a sentence. What is left out comes from the model's own defaults."""
    if expand:
        seed = secrets.randbits(32) if seed is None else seed
        prompt = expanded(prompt, model, seed, chat, chat_model)
        say(f"expanded: {prompt}")
    options = sampling(size, steps, guidance, seed, negative, solver) | {"seconds": seconds}
    with made(prompt, model, out, (gif, webp, png), as_json, options, weights) as work:
        request = work.pipeline.request(prompt, **work.options)
        work.video = work.pipeline.run(request, on_progress=work.stages)


def sampling(
    size: str | None, steps: int | None, guidance: float | None, seed: int | None, negative: str, solver: str | None
) -> dict[str, Any]:
    """The options that all ways of prompting share."""
    return {
        "size": parse_size(size) if size is not None else None,
        "steps": steps,
        "guidance": guidance,
        "seed": seed,
        "negative_prompt": negative,
        "solver": solver,
    }


@dataclass
class Work:
    """A command at work: what it needs to make a video, and the video, which is made while it is written."""

    pipeline: "Pipeline"
    options: dict[str, Any]
    stages: Stages
    video: "Stream | None" = None


@contextmanager
def made(
    prompt: str,
    model: str,
    out: Path | None,
    also: tuple[bool, bool, bool],
    as_json: bool,
    options: dict[str, Any],
    weights: str | None = None,
) -> Iterator[Work]:
    """What every command that makes a clip does around it: load, look at the outputs, show progress, write, report.

    All that is wrong is said before the work begins, so options and prompt are checked here.
    """
    clock = time.perf_counter()
    import tenku

    plan = choose_plan(model, options.get("size"), options.get("seconds"), weights)
    pipeline = tenku.load(model, plan=plan)
    timings = {"load": time.perf_counter() - clock}
    request = pipeline.request(prompt, **options)
    path = out or Path(f"{slug(request.prompt)}-{request.seed}.mp4")
    extra = [path.with_suffix(end) for end, asked in zip((".gif", ".webp", ".png"), also, strict=True) if asked]
    outputs = [check_output(each, VIDEO_SUFFIXES) for each in dict.fromkeys([path, *extra])]
    width, height = request.size
    if (width % 2 or height % 2) and any(each.suffix.lower() == ".mp4" for each in outputs):
        raise ValueError(f"an mp4 needs an even width and height, got {width}x{height}")

    note_unread_words(pipeline, request.prompt)
    with progress_bars() as stages:
        work = Work(pipeline, options | {"seed": request.seed}, stages)
        clock = time.perf_counter()
        yield work
        assert work.video is not None
        video = work.video if len(outputs) == 1 else work.video.clip()
        for each in outputs:
            video.save(each)
        timings |= pipeline.timings | {"write": time.perf_counter() - clock - sum(pipeline.timings.values())}
    report(outputs, video, timings, as_json)


def choose_plan(model: str, size: tuple[int, int] | None, seconds: float | None, weights: str | None) -> "Plan | None":
    """How open weights share the memory for this clip, told when it is not the plain way; None for small models."""
    from tenku.sample.pipeline import find

    folder = find(model)
    if not (folder / "model_index.json").is_file():
        if weights is not None:
            raise ValueError(f"--weights is for open weights; {model} is small enough as it is")
        return None
    from tenku.sample.open_weights import plan_for
    from tenku.types import Plan

    plan = plan_for(folder, size, seconds)
    if weights is not None:
        plan = replace(plan, weights=weights, stream=plan.stream and weights == "bf16")
    if plan != Plan():
        say(f"memory: {plan}")
    return plan


def note_unread_words(pipeline: "Pipeline", prompt: str) -> None:
    """Say which words the model never saw, and when the prompt is longer than it reads."""
    words = pipeline.unknown_words(prompt)
    if words:
        shown = ", ".join(words[:12]) + (" …" if len(words) > 12 else "")
        say(f"note: this model has never seen: {shown}. `tenku vocabulary` lists what it knows.")
    if pipeline.is_cut(prompt):
        say("note: the prompt is longer than this model reads; its end has no effect.")


def report(outputs: list[Path], video: "Stream | Clip", timings: dict[str, float], as_json: bool) -> None:
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
        }
        print(json.dumps(line, ensure_ascii=False))
        return
    for each in outputs:
        print(each)
    width, height = video.size
    count = video.num_frames
    length = f"{count} frames ({count / video.fps:.1f} s)" if count > 1 else "a still picture"
    say(f"{length}, {width}x{height}, seed {video.metadata['seed']}, made in {sum(timings.values()):.1f} s")


def vocabulary(
    model: Model = "embedded",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """List the words that a model has seen in captions."""
    import tenku

    known = tenku.load(model).vocabulary
    words, characters = sorted(known.words), sorted(known.characters)
    if as_json:
        print(json.dumps({"words": words, "characters": characters}, ensure_ascii=False))
        return
    print(" ".join(words))
    print("".join(characters))


def sheet(
    clips: Annotated[list[Path], typer.Argument(help="Videos, a row for each.")],
    out: Annotated[Path, typer.Option(help="The .png to write.")],
    columns: Annotated[int, typer.Option(min=1, max=64, help="Frames shown of each clip.")] = 6,
) -> None:
    """Draw a contact sheet of clips."""
    check_output(out, (".png",))
    from tenku import video
    from tenku.types import Clip

    loaded = [Clip.load(clip) for clip in clips]
    labels = [clip.metadata.get("prompt", path.stem) for clip, path in zip(loaded, clips, strict=True)]
    video.write_png(out, video.contact_sheet([clip.frames for clip in loaded], columns=columns, labels=labels))
    print(out)


def doctor(
    model: Model = "embedded",
    seconds: Annotated[float | None, typer.Option(help="Length of the clip whose memory is predicted.")] = None,
    size: Annotated[str | None, typer.Option(help="Its WIDTHxHEIGHT in pixels.")] = None,
) -> None:
    """Say what this machine can run, how long a video takes on it and, for open weights, how much memory."""
    width_height = parse_size(size) if size is not None else None
    from tenku.doctor import examine

    examine(model, width_height, seconds)
