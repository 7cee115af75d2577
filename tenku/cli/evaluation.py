"""`tenku evaluate …`: numbers for what a model makes, with the ceiling or floor that belongs to each."""

import json
import math
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from tenku.cli._options import check_folder, check_output, existing_folder, given, parse_size, say
from tenku.cli._progress import progress_bars

app = typer.Typer(help="Measure a model against held-out clips.", no_args_is_help=True)

Real = Annotated[Path | None, typer.Option(help="Real clips, to say what these measure: `tenku world`.")]
Clips = Annotated[Path, typer.Option(help="Held-out clips: `tenku world --split validation`.")]


@app.command("prompts")
def prompts(
    clips: Clips,
    recogniser: Annotated[Path, typer.Option(help="Folder that `tenku evaluate recogniser` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for prompts.json, prompts.md and prompts.png.")],
    model: Annotated[str, typer.Option(help="embedded, or a folder with weights.")] = "embedded",
    number: Annotated[int, typer.Option(min=1, help="How many prompts, half of them Chinese.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Prompt i is generated with seed + i.")] = 0,
    seconds: Annotated[float | None, typer.Option(help="Length of each video.")] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How strictly the prompt is followed.")] = None,
) -> None:
    """How often light, floor, colour and event of a prompt are there, judged by the recogniser."""
    width_height = parse_size(size) if size is not None else None
    existing_folder(clips, "clip")
    existing_folder(recogniser, "recogniser")
    check_folder(out)
    import tenku
    from tenku.evaluate.prompts import evaluate_prompts, to_markdown
    from tenku.evaluate.recogniser import Recogniser

    pipeline, judge = tenku.load(model), Recogniser.load(recogniser)
    settings = given(seconds=seconds, size=width_height, steps=steps, guidance=guidance)
    with progress_bars() as stages:
        bar = partial(stages, "prompts")
        result = evaluate_prompts(pipeline, judge, clips, out, n=number, seed=seed, on_progress=bar, **settings)
    print(to_markdown(result))


@app.command("recogniser")
def recogniser(
    clips: Annotated[Path, typer.Option(help="Clips to train on: `tenku world`.")],
    validation: Clips,
    out: Annotated[Path, typer.Option(help="Folder for the recogniser.")],
    minutes: Annotated[float, typer.Option(min=0, help="Time for training.")] = 5.5,
    autoencoder: Annotated[
        str | None, typer.Option(help="Show it half of the clips as this autoencoder draws them.")
    ] = None,
    number: Annotated[int | None, typer.Option(min=1, help="How many of the clips at most.")] = None,
) -> None:
    """Train the judge of `evaluate prompts` on real clips, and say how often it is right on held-out ones."""
    existing_folder(clips, "clip")
    existing_folder(validation, "clip")
    check_folder(out)
    from tenku.evaluate.distances import round_trip
    from tenku.evaluate.recogniser import read_clip_folder
    from tenku.evaluate.recogniser_training import train_recogniser

    degrade = round_trip(autoencoder) if autoencoder else None
    judge = train_recogniser(clips, out, minutes, degrade=degrade, limit=number)
    accuracy = judge.accuracy((frames, truth["description"]) for frames, truth in read_clip_folder(validation))
    for label, row in accuracy.items():
        say(f"{label:<6} right on {100 * row['right']:.0f} % of {row['n']} held-out clips")
    print(json.dumps(accuracy))


@app.command("autoencoder")
def autoencoder(
    model: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder with an autoencoder, or embedded.")],
    clips: Clips,
    number: Annotated[int, typer.Option(min=1, help="How many clips at most.")] = 64,
    sheet: Annotated[Path | None, typer.Option(help="A .png of clips above what came back.")] = None,
) -> None:
    """PSNR, SSIM and decoding time of an autoencoder on held-out clips."""
    existing_folder(clips, "clip")
    if sheet is not None:
        check_output(sheet, (".png",))
    from tenku.evaluate.distances import evaluate_autoencoder
    from tenku.loading import find

    folder = find(model)
    with progress_bars() as stages:
        result = evaluate_autoencoder(folder, clips, number, sheet, on_progress=partial(stages, "clips"))
    print(json.dumps(result))


@app.command("seam")
def seam(
    clip: Annotated[Path, typer.Argument(help="A video with joints, or a loop.")],
    at: Annotated[
        list[float] | None, typer.Option(help="Where a new piece begins, in seconds; may be repeated.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Its end leads to its beginning.")] = False,
    real: Real = None,
) -> None:
    """The change across the worst joint over the usual change between frames: 1 is seamless."""
    from tenku.evaluate import continuity
    from tenku.media.clip import Clip

    video = Clip.load(clip)
    if wrong := [moment for moment in at or [] if not 0 <= moment <= video.seconds]:
        raise ValueError(f"--at {wrong[0]:g} is not within the clip's {video.seconds:g} s")
    joints = [round(moment * video.fps) for moment in at or []]
    found = {"seam": continuity.seam(video.frames, joints, loop)}
    if real is not None:
        found["real"] = continuity.seam_of_real_clips(real)
    print_rounded(found)


@app.command("identity")
def identity(
    clip: Annotated[Path, typer.Argument(help="A video that was made of something given.")],
    given: Annotated[Path, typer.Option(help="The picture or clip that was given.")],
    at: Annotated[float, typer.Option(min=0, help="From when on it is seen, in seconds.")] = 0.0,
    model: Annotated[str, typer.Option(help="The model that made the video: embedded, or a folder.")] = "embedded",
) -> None:
    """PSNR of given frames in the video, beside what the autoencoder alone makes of them."""
    import tenku
    from tenku.evaluate import continuity
    from tenku.media.clip import Clip

    print_rounded(continuity.identity(tenku.load(model), Clip.load(clip), Clip.load(given), at))


@app.command("drift")
def drift(
    clip: Annotated[Path, typer.Argument(help="A video of at least 10 seconds.")],
    recogniser: Annotated[
        Path | None, typer.Option(help="A folder of `tenku evaluate recogniser`: is what is seen still as clear?")
    ] = None,
    real: Real = None,
    plot: Annotated[Path | None, typer.Option(help="A .png to draw the quantities over time in.")] = None,
) -> None:
    """Sharpness, saturation and contrast of the last 5 seconds over those of the first 5: 1 is no drift."""
    if plot is not None:
        check_output(plot, (".png",))
    from tenku.evaluate import continuity
    from tenku.evaluate.recogniser import Recogniser
    from tenku.media.clip import Clip

    judge = Recogniser.load(recogniser) if recogniser is not None else None
    video = Clip.load(clip)
    found = {"drift": continuity.drift(video.frames, video.fps, judge)}
    if real is not None:
        found["real"] = continuity.drift_of_real_clips(real, judge)
    if plot is not None:
        lines = {clip.stem: continuity.curves(video.frames, video.fps, judge)}
        if real is not None:
            lines |= {"a real clip": continuity.curves(*next(iter(continuity.clips_and_rates(real))), judge)}
        continuity.plot(plot, lines)
    print_rounded(found)


@app.command("cost")
def cost(
    prompt: Annotated[str, typer.Argument(help="What the video shows.")] = "A red ball rolls over grass.",
    seconds: Annotated[float, typer.Option(min=1, help="Its length.")] = 60.0,
    model: Annotated[str, typer.Option(help="embedded, or a folder with weights.")] = "embedded",
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
) -> None:
    """Seconds of work for a second of video, early in a long one and at its end, and how memory grew between."""
    width_height = parse_size(size) if size is not None else None
    import tenku
    from tenku.evaluate import continuity

    print_rounded(continuity.cost(tenku.load(model), prompt, seconds, size=width_height, steps=steps))


def print_rounded(found: dict[str, Any]) -> None:
    """One line of JSON, numbers to three places; null for the infinite PSNR of equal frames."""

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: short(each) for key, each in value.items()}
        return round(value, 3) if math.isfinite(value) else None

    print(json.dumps(short(found)))
