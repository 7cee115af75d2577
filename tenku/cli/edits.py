"""Commands that start from pictures and clips: animate, extend, connect, loop, remix, storyboard."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tenku.cli._options import parse_insert, parse_seconds, parse_span, parse_strength
from tenku.cli._session import (
    Options,
    Prompt,
    Seconds,
    check_takes_text_alone,
    generation_session,
    note_unread_words,
    with_options,
)

ClipFile = Annotated[Path, typer.Argument(help="A video (mp4, mov, mkv, webm) or a moving picture.")]
Length = Annotated[str, typer.Option(help="Seconds, as 2 or 2s.")]


@with_options
def animate(
    picture: Annotated[Path, typer.Argument(help="The first frame: png, jpeg, gif or webp of any size.")],
    prompt: Prompt,
    last: Annotated[Path | None, typer.Option(help="A picture for the last frame.")] = None,
    as_last: Annotated[bool, typer.Option("--as-last", help="PICTURE is the last frame, not the first.")] = False,
    seconds: Seconds = None,
    **shared: Any,
) -> None:
    """Make a picture move: it is the first frame of the video, the last one, or both ends are given."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_user_clip

    if last is not None and as_last:
        raise ValueError("--as-last makes PICTURE the last frame: leave out --last, or --as-last")
    given = read_user_clip(picture)
    first, end = (None, given) if as_last else (given, read_user_clip(last) if last is not None else None)
    with generation_session(prompt, Options(**shared), (picture, last), seconds=seconds) as session:
        session.write(edits.animate(session.pipeline, prompt, first, end, **session.options))


@with_options
def extend(clip: ClipFile, prompt: Prompt, forward: Length = "0", backward: Length = "0", **shared: Any) -> None:
    """Make what comes after a clip, before it, or both."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_user_clip

    given = read_user_clip(clip)
    after, before = parse_seconds(forward), parse_seconds(backward)
    with generation_session(prompt, Options(**shared), [clip]) as session:
        session.write(edits.extend(session.pipeline, prompt, given, forward=after, backward=before, **session.options))


@with_options
def connect(before: ClipFile, after: ClipFile, prompt: Prompt, seconds: Length = "1.5", **shared: Any) -> None:
    """Join two clips by new frames that lead from the end of the first into the start of the second."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_user_clip

    a, b, length = read_user_clip(before), read_user_clip(after), parse_seconds(seconds)
    with generation_session(prompt, Options(**shared), (before, after)) as session:
        session.write(edits.connect(session.pipeline, prompt, a, b, length, **session.options))


@with_options
def loop(
    prompt: Prompt,
    clip: Annotated[Path | None, typer.Option(help="Lead the end of this clip back to its start.")] = None,
    seconds: Annotated[str | None, typer.Option(help="Length of the loop; of the way back, with --clip.")] = None,
    **shared: Any,
) -> None:
    """Make a video that can be played over and over without a seam."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_user_clip

    given = read_user_clip(clip) if clip is not None else None
    length = parse_seconds(seconds) if seconds is not None else None
    with generation_session(prompt, Options(**shared), [clip]) as session:
        session.write(edits.loop(session.pipeline, prompt, given, seconds=length, **session.options))


@with_options
def remix(
    clip: ClipFile,
    prompt: Prompt,
    strength: Annotated[
        str, typer.Option(help="Near 0 keeps nearly everything, 1 nothing; 0.2:0.9 goes from one to the other.")
    ] = "0.6",
    keep: Annotated[Path | None, typer.Option(help="A mask: what is white in it stays. A picture, or a clip.")] = None,
    **shared: Any,
) -> None:
    """Make a clip anew after another prompt, all of it or what a mask does not keep."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_user_clip

    options = Options(**shared)
    check_takes_text_alone(options.model)
    level = parse_strength(strength)
    given, mask = read_user_clip(clip), read_user_clip(keep) if keep is not None else None
    with generation_session(prompt, options, (clip, keep)) as session:
        session.write(edits.remix(session.pipeline, prompt, given, level, keep=mask, **session.options))


@with_options
def storyboard(
    board: Annotated[Path, typer.Argument(help=r"A TOML file: seconds, and \[\[card]] tables with at and prompt.")],
    video: Annotated[Path | None, typer.Option(help="The video that was made of the board: its frames stay.")] = None,
    trim: Annotated[str | None, typer.Option(help="Only this part, as 1:4.5 (seconds).")] = None,
    insert: Annotated[
        list[str] | None,
        typer.Option(help='Something new, as "2:1.5:The ball stops.": at 2 s (after --trim), for 1.5 s. Repeatable.'),
    ] = None,
    **shared: Any,
) -> None:
    """Make one video out of cards: prompts that change over time, with pictures and clips at their places.

    To re-cut one that is made, give it as --video: what is neither trimmed nor inserted stays as it is there.
    """
    from tenku.sample import recut
    from tenku.sample.storyboard import read_storyboard, render_storyboard
    from tenku.sample.user_frames import read_user_clip

    options, script = Options(**shared), read_storyboard(board)
    finished = read_user_clip(video) if video is not None else None
    span = parse_span(trim) if trim is not None else None
    inserts = sorted((parse_insert(each) for each in insert or []), key=lambda each: each[0])
    seed = script.seed if options.seed is None else options.seed
    negative = script.negative if options.negative_prompt is None else options.negative_prompt
    options = replace(options, size=options.size or script.size, seed=seed, negative_prompt=negative)
    prompt, files = script.cards[0].prompt, [video, *(card.file for card in script.cards)]
    with generation_session(prompt, options, files, like=finished) as session:
        step = session.pipeline.windows.group / session.pipeline.settings.fps
        if finished is not None:
            script = recut.over(script, finished, step)
        if span is not None:
            script = recut.trim(script, *span, step)
        for at, length, words in reversed(inserts):
            script = recut.insert(script, at, length, words, step)
        note_unread_words(session.pipeline, [card.prompt for card in script.cards if card.prompt != prompt])
        session.write(render_storyboard(session.pipeline, script, **session.options))
