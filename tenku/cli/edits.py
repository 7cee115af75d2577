"""Commands that start from pictures and clips: animate, extend, connect, loop, remix, storyboard."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tenku.cli._options import parse_insert, parse_seconds, parse_span, parse_strength
from tenku.cli._session import Options, Prompt, Seconds, check_takes_text_alone, made, note_unread_words, with_options

ClipFile = Annotated[Path, typer.Argument(help="A video (mp4, mov, mkv, webm) or a moving picture.")]
Length = Annotated[str, typer.Option(help="Seconds, as 2 or 2s.")]


@with_options
def animate(
    picture: Annotated[Path, typer.Argument(help="The first frame: png, jpeg, gif or webp of any size.")],
    prompt: Prompt,
    last: Annotated[Path | None, typer.Option(help="A picture for the last frame.")] = None,
    ends_with: Annotated[bool, typer.Option("--ends", help="PICTURE is the last frame, not the first.")] = False,
    seconds: Seconds = None,
    *,
    options: Options,
) -> None:
    """Make a picture move: it is the first frame of the video, the last one, or both ends are given."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_given

    if last is not None and ends_with:
        raise ValueError("--ends makes PICTURE the last frame: leave out --last, or --ends")
    given = read_given(picture)
    first, end = (None, given) if ends_with else (given, read_given(last) if last is not None else None)
    with made(prompt, options, (picture, last), seconds=seconds) as work:
        work.video = edits.animate(work.pipeline, prompt, first, end, on_progress=work.stages, **work.options)


@with_options
def extend(
    clip: ClipFile,
    prompt: Prompt,
    forward: Length = "0",
    backward: Length = "0",
    *,
    options: Options,
) -> None:
    """Make what comes after a clip, before it, or both."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_given

    given = read_given(clip)
    after, before = parse_seconds(forward), parse_seconds(backward)
    with made(prompt, options, [clip]) as work:
        work.video = edits.extend(
            work.pipeline, prompt, given, forward=after, backward=before, on_progress=work.stages, **work.options
        )


@with_options
def connect(
    before: ClipFile,
    after: ClipFile,
    prompt: Prompt,
    seconds: Length = "1.5",
    *,
    options: Options,
) -> None:
    """Join two clips by new frames that lead from the end of the first into the start of the second."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_given

    a, b, length = read_given(before), read_given(after), parse_seconds(seconds)
    with made(prompt, options, (before, after)) as work:
        work.video = edits.connect(work.pipeline, prompt, a, b, length, on_progress=work.stages, **work.options)


@with_options
def loop(
    prompt: Prompt,
    clip: Annotated[Path | None, typer.Option(help="Lead the end of this clip back to its start.")] = None,
    seconds: Annotated[str | None, typer.Option(help="Length of the loop; of the way back, with --clip.")] = None,
    *,
    options: Options,
) -> None:
    """Make a video that can be played over and over without a seam."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_given

    given = read_given(clip) if clip is not None else None
    length = parse_seconds(seconds) if seconds is not None else None
    with made(prompt, options, [clip]) as work:
        work.video = edits.loop(work.pipeline, prompt, given, seconds=length, on_progress=work.stages, **work.options)


@with_options
def remix(
    clip: ClipFile,
    prompt: Prompt,
    strength: Annotated[
        str, typer.Option(help="Near 0 keeps nearly everything, 1 nothing; 0.2:0.9 goes from one to the other.")
    ] = "0.6",
    keep: Annotated[Path | None, typer.Option(help="A mask: what is white in it stays. A picture, or a clip.")] = None,
    *,
    options: Options,
) -> None:
    """Make a clip anew after another prompt, all of it or what a mask does not keep."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_given

    check_takes_text_alone(options.model)
    level = parse_strength(strength)
    given, mask = read_given(clip), read_given(keep) if keep is not None else None
    with made(prompt, options, (clip, keep)) as work:
        work.video = edits.remix(
            work.pipeline, prompt, given, level, keep=mask, on_progress=work.stages, **work.options
        )


@with_options
def storyboard(
    board: Annotated[Path, typer.Argument(help=r"A TOML file: seconds, and \[\[card]] tables with at and prompt.")],
    video: Annotated[Path | None, typer.Option(help="The video that was made of the board: its frames stay.")] = None,
    trim: Annotated[str | None, typer.Option(help="Only this part, as 1:4.5 (seconds).")] = None,
    insert: Annotated[
        list[str] | None,
        typer.Option(help='Something new, as "2:1.5:The ball stops.": at 2 s (after --trim), for 1.5 s. Repeatable.'),
    ] = None,
    *,
    options: Options,
) -> None:
    """Make one video out of cards: prompts that change over time, with pictures and clips at their places.

    To re-cut one that is made, give it as --video: what is neither trimmed nor inserted stays as it is there.
    """
    from tenku.sample import recut
    from tenku.sample.storyboard import produce, read_storyboard
    from tenku.sample.user_frames import read_given

    script = read_storyboard(board)
    made_before = read_given(video) if video is not None else None
    span = parse_span(trim) if trim is not None else None
    inserts = sorted((parse_insert(each) for each in insert or []), key=lambda each: each[0])
    seed = script.seed if options.seed is None else options.seed
    size, negative = options.size or script.size, script.negative if options.negative is None else options.negative
    options = replace(options, size=size, seed=seed, negative=negative)
    prompt, files = script.cards[0].prompt, [video, *(card.file for card in script.cards)]
    with made(prompt, options, files, like=made_before) as work:
        step = work.pipeline.autoencoder.temporal_compression / work.pipeline.settings.fps
        if made_before is not None:
            script = recut.over(script, made_before, step)
        if span is not None:
            script = recut.trim(script, *span, step)
        for at, length, words in reversed(inserts):
            script = recut.insert(script, at, length, words, step)
        note_unread_words(work.pipeline, [card.prompt for card in script.cards if card.prompt != prompt])
        work.video = produce(work.pipeline, script, on_progress=work.stages, **work.options)
