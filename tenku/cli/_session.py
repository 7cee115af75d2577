"""What every command that makes a video shares: its options, and the work around the work."""

import inspect
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from tenku.cli._options import Stages, check_output, not_over, parse_size, progress_bars, say, slug

if TYPE_CHECKING:
    from tenku.media.clip import Clip, Stream
    from tenku.sample.pipeline import Pipeline
    from tenku.wan.memory_plan import MemoryPlan

VIDEO_SUFFIXES = (".mp4", ".gif", ".webp", ".png")
Prompt = Annotated[str, typer.Argument(help="What should be seen, in English or Chinese.")]
Model = Annotated[str, typer.Option(help="A name that `tenku models` lists, or a folder with weights.")]
Seconds = Annotated[float | None, typer.Option(help="Length; 0 is a still picture.")]


@dataclass(frozen=True)
class Options:
    """The options that all ways of prompting share, in the order of `--help`."""

    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels.")] = None
    steps: Annotated[int | None, typer.Option(help="Denoising steps; more is slower and finer.")] = None
    guidance: Annotated[
        float | None, typer.Option(help="How strictly the prompt is followed; 1 is off and twice as fast.")
    ] = None
    shift: Annotated[
        float | None, typer.Option(help="How much of the steps goes to high noise; 1 spreads them evenly.")
    ] = None
    seed: Annotated[int | None, typer.Option(help="Same seed, same video; random by default.")] = None
    out: Annotated[
        Path | None,
        typer.Option(help="The .mp4, .gif, .webp or .png to write; named after the prompt and seed if left out."),
    ] = None
    model: Model = "embedded"
    lora: Annotated[
        list[str] | None,
        typer.Option(
            help="A LoRA (.safetensors) for the model, as FILE or FILE:0.8; of two experts as high=FILE, low=FILE. "
            "Repeatable."
        ),
    ] = None
    weights: Annotated[
        str | None, typer.Option(help="How open weights are held: bf16, int8 or fp8; what fits by default.")
    ] = None
    compile: Annotated[
        bool,
        typer.Option("--compile", help="Compile the network first: half a minute, which large models repay."),
    ] = False
    negative: Annotated[
        str | None, typer.Option(help="What should not be seen; open weights have a usual one, which '' leaves out.")
    ] = None
    solver: Annotated[str | None, typer.Option(help="multistep, heun, unipc or euler.")] = None
    gif: Annotated[bool, typer.Option("--gif", help="Also write a .gif beside the video.")] = False
    webp: Annotated[bool, typer.Option("--webp", help="Also write a .webp.")] = False
    png: Annotated[bool, typer.Option("--png", help="Also write a .png contact sheet.")] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON on stdout.")] = False

    def request(self) -> dict[str, Any]:
        """What a pipeline is asked for besides the prompt and the length."""
        return {
            "size": parse_size(self.size) if self.size is not None else None,
            "steps": self.steps,
            "guidance": self.guidance,
            "shift": self.shift,
            "seed": self.seed,
            "negative_prompt": self.negative,
            "solver": self.solver,
        }


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose last parameter, `options: Options`, is the options that all of them share, each one by itself."""
    signature = inspect.signature(command)
    own = [each for name, each in signature.parameters.items() if name != "options"]
    shared = [
        inspect.Parameter(
            each.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=each.default, annotation=each.type
        )
        for each in fields(Options)
    ]

    @wraps(command)
    def call(**values: Any) -> None:
        options = Options(**{each.name: values.pop(each.name) for each in shared})
        command(**values, options=options)

    call.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in (*own, *shared)}
    del call.__wrapped__  # type: ignore[attr-defined]  # the signature is this one's, not the command's
    return call


class Reads(Protocol):
    """A pipeline, or its text encoder."""

    def unknown_words(self, prompt: str) -> list[str]: ...

    def is_cut(self, prompt: str) -> bool: ...


@dataclass
class Work:
    """A command at work: what it needs to make a video, and the video, which is made while it is written."""

    pipeline: "Pipeline"
    options: dict[str, Any]
    stages: Stages
    video: "Stream | None" = None


@contextmanager
def made(
    prompt: str, options: Options, given: Iterable[Path | None] = (), like: "Clip | None" = None, **more: Any
) -> Iterator[Work]:
    """What every command that makes a clip does around it: load, look at the outputs, show progress, write, report.

    All that is wrong is said before the work begins, so options and prompt are checked here. given: files that are
    read, which no output may replace. like: a clip whose size the video has, or the nearest that can be made, unless
    one is asked for. more: what the pipeline is asked for besides the shared options.
    """
    clock = time.perf_counter()
    asked = options.request() | more
    size = asked["size"] if like is None else asked["size"] or like.size
    pipeline = load(options, size, asked.get("seconds"))
    if like is not None and asked["size"] is None:
        asked["size"] = size_of(pipeline, like)
    timings = {"load": time.perf_counter() - clock}
    request = pipeline.request(prompt, **asked)
    path = options.out or Path(f"{slug(request.prompt)}-{request.seed}.mp4")
    extra = {".gif": options.gif, ".webp": options.webp, ".png": options.png}
    paths = [path, *(path.with_suffix(ending) for ending, wanted in extra.items() if wanted)]
    outputs = [check_output(each, VIDEO_SUFFIXES) for each in dict.fromkeys(paths)]
    not_over(outputs, given)
    width, height = request.size
    if (width % 2 or height % 2) and any(each.suffix.lower() == ".mp4" for each in outputs):
        raise ValueError(f"an mp4 needs an even width and height, got {width}x{height}")

    for note in pipeline.notes:
        say(f"note: {note}")
    note_unread_words(pipeline, [request.prompt, request.negative_prompt])
    with progress_bars() as stages:
        work = Work(pipeline, asked | {"seed": request.seed}, stages)
        clock = time.perf_counter()
        yield work
        assert work.video is not None
        video = work.video if len(outputs) == 1 else work.video.clip()
        for each in outputs:
            video.save(each)
        timings |= pipeline.timings | {"write": time.perf_counter() - clock - sum(pipeline.timings.values())}
    report(outputs, video, timings, options.as_json)


def size_of(pipeline: "Pipeline", clip: "Clip") -> tuple[int, int]:
    """(width, height) of a clip, or the nearest that the model was trained on where it cannot make that."""
    from tenku.media.resize import nearest_size

    try:
        return pipeline.request("as it is", size=clip.size).size
    except ValueError:
        return nearest_size(pipeline.settings.sizes, clip.size)


def load(options: Options, size: tuple[int, int] | None, seconds: float | None) -> "Pipeline":
    """The model that is asked for, with its LoRAs, held so that a clip of this size and length fits."""
    import tenku
    from tenku.wan.lora import Lora

    loras = [Lora.parse(text) for text in options.lora or []]
    plan = choose_plan(options.model, size, seconds, options.weights)
    pipeline = tenku.load(options.model, plan=plan, loras=loras)
    if options.compile:
        pipeline.compile()
    return pipeline


def check_takes_text_alone(model: str) -> None:
    """ValueError, before anything is loaded, for a model that wants a picture or clip."""
    from tenku.loading import find, read_transformer_config
    from tenku.sample.windows.pixel import wants_something_given

    folder = find(model)
    if (folder / "model_index.json").is_file() and read_transformer_config(folder / "transformer")[0].concat_channels:
        raise ValueError(wants_something_given(model))


def choose_plan(
    model: str, size: tuple[int, int] | None, seconds: float | None, weights: str | None
) -> "MemoryPlan | None":
    """How open weights share the memory for this clip, told when it is not the plain way; None for small models."""
    from tenku.loading import find

    folder = find(model)
    if not (folder / "model_index.json").is_file():
        if weights is not None:
            raise ValueError(f"--weights is for open weights; {model} is small enough as it is")
        return None
    from tenku.sample.memory import plan_for
    from tenku.wan.memory_plan import MemoryPlan

    plan = plan_for(folder, size, seconds)
    if weights is not None:
        plan = replace(plan, weight_dtype=weights, block_offload=plan.block_offload and weights == "bf16")
    if plan != MemoryPlan():
        say(f"memory: {plan}")
    return plan


def note_unread_words(model: "Reads", prompts: Sequence[str]) -> None:
    """Say which words the model never saw, and when a prompt is longer than it reads."""
    words = list(dict.fromkeys(word for prompt in prompts for word in model.unknown_words(prompt)))
    if words:
        shown = ", ".join(word[:40] for word in words[:12]) + (" …" if len(words) > 12 else "")
        say(f"note: this model has never seen: {shown}. `tenku vocabulary` lists what it knows.")
    for prompt in prompts:
        if model.is_cut(prompt):
            say(f"note: the prompt {prompt[:30]!r} … is longer than this model reads; its end has no effect.")


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
