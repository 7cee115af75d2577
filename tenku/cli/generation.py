"""Commands around one model: generate, vocabulary, sheet, doctor."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tenku.cli._options import check_output, not_over, parse_size
from tenku.cli._session import Model, Options, Prompt, Seconds, Session, generation_session, with_options


@with_options
def generate(
    prompt: Prompt,
    seconds: Seconds = None,
    count: Annotated[
        int, typer.Option(min=1, max=100, help="So many takes: seeds one after the other, and a sheet of all.")
    ] = 1,
    **shared: Any,
) -> None:
    """Make a video from a sentence. What is left out comes from the model's own defaults."""
    options = Options(**shared)
    with generation_session(prompt, options, text_alone=True, seconds=seconds) as session:
        if count == 1:
            session.write(session.pipeline.run(session.request))
        else:
            write_takes(session, count)


def write_takes(session: Session, count: int) -> None:
    """Write NAME-1.mp4, NAME-2.mp4, … of seeds that follow each other, and NAME.png, a sheet with a row for each."""
    from tenku.media.clip import Clip
    from tenku.media.sheet import contact_sheet
    from tenku.media.writer import write_png

    outputs = session.outputs
    takes, labels = [], []
    for number in range(count):
        request = replace(session.request, seed=(session.request.seed + number) % 2**32)
        session.outputs = [path.with_stem(f"{path.stem}-{number + 1}") for path in outputs]
        session.write(session.pipeline.run(request))
        takes.append(Clip.load(session.outputs[0], sound=False).frames)
        labels.append(f"{number + 1}: seed {request.seed}")
    sheet = outputs[0].with_suffix(".png")
    write_png(sheet, contact_sheet(takes, columns=6, labels=labels))
    session.written.append(sheet)


def vocabulary(
    model: Model = "embedded", as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False
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
    not_over([check_output(out, (".png",))], clips)
    from tenku.media.sheet import contact_sheet
    from tenku.media.writer import write_png
    from tenku.sample.user_frames import read_user_clip

    loaded = [read_user_clip(clip) for clip in clips]
    labels = [clip.metadata.get("prompt", path.stem) for clip, path in zip(loaded, clips, strict=True)]
    write_png(out, contact_sheet([clip.frames for clip in loaded], columns=columns, labels=labels))
    print(out)


def doctor(
    file: Annotated[Path | None, typer.Argument(help="A video or picture: what it is, and what is made of it.")] = None,
    model: Model = "embedded",
    seconds: Annotated[float | None, typer.Option(help="Length of the clip whose memory is predicted.")] = None,
    size: Annotated[str | None, typer.Option(help="Its WIDTHxHEIGHT in pixels.")] = None,
) -> None:
    """Say what this machine can run, how long a video takes on it and, for open weights, how much memory.

    Of a FILE: what it is, what a model takes of it, and why it would be refused.
    """
    width_height = parse_size(size) if size is not None else None
    from rich.console import Console

    from tenku.doctor import findings
    from tenku.file_doctor import findings as findings_of

    console = Console(highlight=False)
    marks = {True: "[green]ok[/]", None: "[yellow]--[/]", False: "[red]no[/]"}
    bad = []
    for finding in findings(model, width_height, seconds) if file is None else findings_of(file, model, width_height):
        console.print(f"{marks[finding.good]}  {finding.subject:<10}", end=" ")
        console.print(finding.text, markup=False, soft_wrap=True)
        if finding.good is False:
            bad.append(finding.subject)
    if bad:
        wrong = "this machine cannot make a video yet" if file is None else f"{file} is not read as it is"
        raise ValueError(f"{wrong}: {', '.join(bad)}")
