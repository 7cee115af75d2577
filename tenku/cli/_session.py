"""What every command that makes a video shares: its options, and the work around the work."""

import inspect
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from tenku.cli._options import not_over, option, parse_size, say, slug
from tenku.cli._outputs import checked_outputs, differs, free_name, report, telling_of_partial
from tenku.cli._progress import Stages, progress_bars
from tenku.cli.prompts import EXPANDED, expanded, refuse_losses, say_notes
from tenku.system.files import sha256

if TYPE_CHECKING:
    from tenku.media.clip import Clip, Stream
    from tenku.prompts.expand import Expansion
    from tenku.sample.pipeline import Pipeline
    from tenku.sample.request import Request
    from tenku.sample.user_frames import Needed
    from tenku.wan.memory_plan import MemoryPlan

Prompt = Annotated[str, typer.Argument(help="What should be seen, in English or Chinese.")]
Model = Annotated[str, typer.Option(help="A name that `tenku models` lists, or a folder with weights.")]
Seconds = Annotated[float | None, typer.Option(help="Length; 0 is a still picture.")]
PROMPT, SAMPLING, MODEL, OUTPUT = "Prompt", "Sampling", "Model", "Output"
# Files whose frames stand in the video: its floor and light are theirs.
WITH_FRAMES = ("clip", "before", "after", "picture", "as_last", "last")


@dataclass(frozen=True)
class Options:
    """The options that all ways of prompting share, in the order of `--help`."""

    expand: Annotated[
        bool | None,
        option(PROMPT, "Make a prompt full, or leave it; by default for embedded alone.", "--expand/--no-expand"),
    ] = None
    strict: Annotated[
        bool, option(PROMPT, "Refuse a prompt of which not everything is drawn as it stands.", "--strict")
    ] = False
    chat: Annotated[
        str | None,
        option(
            PROMPT,
            "An OpenAI-compatible endpoint for --expand; key: TENKU_CHAT_KEY.",
            "--chat",
            envvar="TENKU_CHAT_URL",
        ),
    ] = None
    chat_model: Annotated[
        str, option(PROMPT, "The model that the endpoint is asked for.", "--chat-model", envvar="TENKU_CHAT_MODEL")
    ] = "default"
    size: Annotated[str | None, option(SAMPLING, "WIDTHxHEIGHT in pixels.")] = None
    steps: Annotated[int | None, option(SAMPLING, "Denoising steps; more is slower and finer.")] = None
    guidance: Annotated[
        float | None, option(SAMPLING, "How strictly the prompt is followed; 1 is off and twice as fast.")
    ] = None
    shift: Annotated[
        float | None, option(SAMPLING, "How much of the steps goes to high noise; 1 spreads them evenly.")
    ] = None
    seed: Annotated[int | None, option(SAMPLING, "Same seed, same video; random by default.")] = None
    negative_prompt: Annotated[
        str | None, option(SAMPLING, "What should not be seen; open weights have a usual one, which '' leaves out.")
    ] = None
    solver: Annotated[str | None, option(SAMPLING, "multistep, heun, unipc or euler.")] = None
    model: Annotated[str, option(MODEL, "A name that `tenku models` lists, or a folder with weights.")] = "embedded"
    lora: Annotated[
        list[str] | None,
        option(MODEL, "A LoRA (.safetensors), as FILE or FILE:0.8; of two experts as high=FILE, low=FILE. Repeatable."),
    ] = None
    weights: Annotated[
        str | None, option(MODEL, "How open weights are held: bf16, int8 or fp8; what fits by default.")
    ] = None
    compile: Annotated[
        bool, option(MODEL, "Compile the network first: half a minute, which large models repay.", "--compile")
    ] = False
    out: Annotated[
        Path | None, option(OUTPUT, "The .mp4, .gif, .webp or .png to write; named after prompt and seed if left out.")
    ] = None
    gif: Annotated[bool, option(OUTPUT, "Also write a .gif.", "--gif")] = False
    webp: Annotated[bool, option(OUTPUT, "Also write a .webp.", "--webp")] = False
    png: Annotated[bool, option(OUTPUT, "Also write a .png contact sheet.", "--png")] = False
    as_json: Annotated[bool, option(OUTPUT, "Print one line of JSON on stdout.", "--json")] = False
    progress: Annotated[
        str, option(OUTPUT, "auto: bars, or a line every ten seconds where no terminal is; json, for programs; none.")
    ] = "auto"

    def request(self) -> dict[str, Any]:
        """What a pipeline is asked for besides the prompt and the length."""
        asked = {name: getattr(self, name) for name in ("steps", "guidance", "shift", "seed", "negative_prompt")}
        size = parse_size(self.size) if self.size is not None else None
        return asked | {"size": size, "solver": self.solver}


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose last parameter is `**shared`, the options that all of them share, each one by itself."""
    signature = inspect.signature(command)
    own = [each for name, each in signature.parameters.items() if name != "shared"]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    shared = [
        inspect.Parameter(each.name, kind, default=each.default, annotation=each.type) for each in fields(Options)
    ]
    command.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in (*own, *shared)}
    return command


class Reads(Protocol):
    """A pipeline, or its text encoder."""

    def unknown_words(self, prompt: str) -> list[str]: ...

    def is_cut(self, prompt: str) -> bool: ...


@dataclass
class Session:
    """A command at work: what it needs to make a video, and the files to write it to."""

    pipeline: "Pipeline"
    request: "Request"  # of the prompt, as far as text alone says it
    options: dict[str, Any]  # what the pipeline is asked for, for tasks that make a request of their own
    outputs: list[Path]
    stages: Stages
    timings: dict[str, float] = field(default_factory=dict)
    given: dict[str, dict[str, str]] = field(default_factory=dict)  # files that are read, by what they are
    asked: str | None = None  # the prompt as it was typed, where another is drawn
    model_path: str | None = None  # where the model was named by its folder
    video: "Stream | Clip | None" = None  # the last one that was written
    written: list[Path] = field(default_factory=list)

    def write(self, video: "Stream", **asked: Any) -> None:
        """Make the video and write it: an mp4 alone frame by frame, else all of it to each of the files.

        asked: what else the file remembers of the command, as far as it is not empty.
        """
        from tenku.media.clip import as_text
        from tenku.media.writer import VideoWriter

        path = self.outputs[0]
        asked |= {"given": self.given, "asked": self.asked, "model_path": self.model_path}
        video.metadata |= {name: value for name, value in asked.items() if value}
        silent = [each.suffix for each in self.outputs if each.suffix.lower() != ".mp4"]
        if video.sound is not None and silent:
            say(f"note: the sound is left out of the {' and the '.join(silent)}, which can hold none; an .mp4 keeps it")
        if len(self.outputs) == 1 and path.suffix.lower() == ".mp4":
            self.video = video
            self.stages.expect(video.num_frames, self.pipeline.settings.max_frames)
            file = VideoWriter(path, video.fps, as_text(video.metadata), sound=video.sound, keep_partial=True)
            with telling_of_partial(path), file:
                for frames in video.read():
                    clock = time.perf_counter()
                    file.write(frames)
                    self.stages.wrote(len(frames))
                    self._took("write", clock)
                clock = time.perf_counter()
        else:
            self.video = video.clip()
            clock = time.perf_counter()
            for each in self.outputs:
                self.video.save(each)
        self._took("write", clock)
        self.written += self.outputs
        self.timings |= self.pipeline.timings

    def _took(self, stage: str, since: float) -> None:
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - since


@contextmanager
def generation_session(
    prompt: "str | Expansion",
    options: Options,
    given: Mapping[str, Path | None] | None = None,
    also: Iterable[Path | None] = (),
    like: tuple[int, int] | None = None,
    text_alone: bool = False,
    pipeline: "Pipeline | None" = None,
    **more: Any,
) -> Iterator[Session]:
    """What every command that makes a clip does around it: load, look at the outputs, show progress, report.

    All that is wrong is said before the work begins, so options and prompt are checked here, and what of the prompt is
    not drawn is said. prompt: as it was typed, or made full already. given: files that are read, by what they are;
    neither they nor those in `also` may be replaced by an output. like: the (width, height) of the video, or the
    nearest that can be made, unless one is asked for. text_alone: no frames are given. pipeline: one that is loaded
    already. more: what the pipeline is asked for besides the shared options.
    """
    clock = time.perf_counter()
    options = with_seed(options)
    expansion = expanded_for(prompt, options, given or {}) if isinstance(prompt, str) else prompt
    if options.strict:
        refuse_losses(expansion)
    if text_alone:
        check_takes_text_alone(options.model)
    is_changed = expansion.text != expansion.prompt
    asked = options.request() | more
    size = asked["size"] or like
    pipeline = pipeline or load(options, size, asked.get("seconds"))
    timings = {"load": time.perf_counter() - clock}
    if like is not None and asked["size"] is None:
        asked["size"] = size_of(pipeline, like)
    request = pipeline.request(expansion.text, **asked)
    path = options.out or free_name(Path(f"{slug(expansion.prompt)}-{request.seed}.mp4"), request)
    also_written = {".gif": options.gif, ".webp": options.webp, ".png": options.png}
    outputs = checked_outputs(path, also_written, request.size)
    files = {name: path for name, path in (given or {}).items() if path is not None}
    not_over(outputs, [*files.values(), *also])
    notes = [*pipeline.notes, *untrained_size(pipeline, request.size, options.model)]
    notes += [f"{each} is replaced: {why}" for each in outputs if (why := differs(each, request)) is not None]
    for note in notes:
        say(f"note: {note}")
    say_notes(expansion)
    if is_changed:
        say(EXPANDED[expansion.language] + request.prompt)
    note_unread_words(pipeline, [*([] if is_changed or expansion.notes else [request.prompt]), request.negative_prompt])
    with progress_bars(options.progress) as stages:
        asked |= {"seed": request.seed, "on_progress": stages}
        known = {name: {"file": str(path), "sha256": sha256(path)} for name, path in files.items()}
        request = replace(request, on_progress=stages)
        session = Session(pipeline, request, asked, outputs, stages, timings, known)
        session.asked = expansion.prompt if is_changed else None
        session.model_path = options.model if options.model != pipeline.settings.name else None
        yield session
    assert session.video is not None
    report(session.written, session.video, session.timings, options.as_json, expansion.said())


def with_seed(options: Options) -> Options:
    """The options with a seed: the one that is asked for, or one by chance."""
    from tenku.sample.request import checked_seed

    return replace(options, seed=secrets.randbits(32) if options.seed is None else checked_seed(options.seed))


def expanded_for(
    prompt: str, options: Options, given: Mapping[str, Path | None], scene: str | None = None
) -> "Expansion":
    """The prompt made full for the model.

    Where frames are given, floor and light are theirs, if not named: of the prompt that a file remembers, or none.
    """
    files = [path for name in WITH_FRAMES if (path := given.get(name)) is not None]
    return expanded(
        prompt,
        options.model,
        options.seed or 0,
        chat=options.chat,
        chat_model=options.chat_model,
        wanted=options.expand,
        scene=scene or next(filter(None, map(made_of, files)), None),
        setting=not files,
    )


def made_of(path: Path) -> str | None:
    """The prompt that a file remembers, or None."""
    from tenku.media.describe import describe

    return describe(path).metadata.get("prompt")


def untrained_size(pipeline: "Pipeline", size: tuple[int, int], model: str) -> list[str]:
    """A note about a (width, height) that a model of ours was never trained on; open weights take many."""
    from tenku.loading import find, is_open_weights

    sizes = pipeline.settings.sizes
    if size in sizes or is_open_weights(find(model)):
        return []
    known = ", ".join("{}x{}".format(*each) for each in sizes)
    return [f"this model was never trained on {size[0]}x{size[1]}, but on {known}: expect less"]


def size_of(pipeline: "Pipeline", size: tuple[int, int]) -> tuple[int, int]:
    """A (width, height), or the nearest that the model was trained on where it cannot make that."""
    from tenku.media.resize import nearest_size

    try:
        return pipeline.request("as it is", size=size).size
    except ValueError:
        return nearest_size(pipeline.settings.sizes, size)


def needed(options: Options) -> "Needed":
    """What the model that is asked for takes of files, known before its weights are read."""
    from tenku.sample.user_frames import needed_by

    return needed_by(options.model, parse_size(options.size) if options.size is not None else None)


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
    from tenku.loading import find, is_open_weights, read_transformer_config
    from tenku.sample.windows import wants_user_frames

    folder = find(model)
    if is_open_weights(folder) and read_transformer_config(folder / "transformer")[0].concat_channels:
        raise ValueError(wants_user_frames(model))


def choose_plan(
    model: str, size: tuple[int, int] | None, seconds: float | None, weights: str | None
) -> "MemoryPlan | None":
    """How open weights share the memory for this clip, told when it is not the plain way; None for small models."""
    from tenku.loading import find, is_open_weights

    folder = find(model)
    if not is_open_weights(folder):
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
