"""Commands that start from pictures and clips: animate, extend, connect, loop, remix, storyboard."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenku.cli._options import parse_insert, parse_seconds, parse_span, parse_strength, say
from tenku.cli._session import (
    OUTPUT,
    Options,
    Prompt,
    Seconds,
    check_takes_text_alone,
    expanded_for,
    generation_session,
    needed,
    note_unread_words,
    option,
    with_options,
    with_seed,
)
from tenku.cli.prompts import say_notes

if TYPE_CHECKING:
    from tenku.media.clip import Clip
    from tenku.prompts.expand import Expansion
    from tenku.sample.pipeline import Pipeline
    from tenku.sample.storyboard import Storyboard

ClipFile = Annotated[Path, typer.Argument(help="A video (mp4, mov, mkv, webm) or a moving picture.")]
Length = Annotated[str, typer.Option(help="Seconds, as 2 or 2s.")]
Mute = Annotated[bool, option(OUTPUT, "Leave out the sound of what is given; what is made has none.", "--mute")]

# dB that the autoencoder that ships reaches on what it knows: 28 or more on 80 held-out clips, below 27 on photographs.
LIKE_THE_WORLD = 27.0


@with_options
def animate(
    picture: Annotated[Path, typer.Argument(help="The first frame: png, jpeg, gif, webp, avif or heic of any size.")],
    prompt: Prompt,
    last: Annotated[Path | None, typer.Option(help="A picture for the last frame.")] = None,
    as_last: Annotated[bool, typer.Option("--as-last", help="PICTURE is the last frame, not the first.")] = False,
    seconds: Seconds = None,
    **shared: Any,
) -> None:
    """Make a picture move: it is the first frame of the video, the last one, or both ends are given."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_user_picture

    if last is not None and as_last:
        raise ValueError("--as-last makes PICTURE the last frame: leave out --last, or --as-last")
    options = Options(**shared)
    takes = needed(options)
    shown = read_user_picture(picture, takes)
    first, end = (None, shown) if as_last else (shown, read_user_picture(last, takes) if last is not None else None)
    files = {"as_last" if as_last else "picture": picture, "last": last}
    with generation_session(prompt, options, files, seconds=seconds) as session:
        note_unlike(session.pipeline, options.model, {picture: shown, last: None if as_last else end})
        session.write(edits.animate(session.pipeline, session.request.prompt, first, end, **session.options))


def note_unlike(pipeline: "Pipeline", model: str, pictures: "dict[Path | None, Clip | None]") -> None:
    """Say which pictures look like nothing of the world that the model that ships was trained on."""
    from tenku.loading import SHIPPED, find

    if find(model) != SHIPPED / "embedded":
        return
    for path, given in pictures.items():
        if given is None or path is None:
            continue
        found = pipeline.engine.likeness(given.frames[:1])
        if found < LIKE_THE_WORLD:
            say(
                f"note: {path.name} looks like nothing of this model's world (its autoencoder gives it back with "
                f"{found:.0f} dB, what it knows with 28 and more): what is made of it will fall apart"
            )


@with_options
def extend(
    clip: ClipFile, prompt: Prompt, forward: Length = "0", backward: Length = "0", mute: Mute = False, **shared: Any
) -> None:
    """Make what comes after a clip, before it, or both."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_user_clip

    options = Options(**shared)
    given = read_user_clip(clip, needed(options), sound=not mute)
    after, before = parse_seconds(forward), parse_seconds(backward)
    with generation_session(prompt, options, {"clip": clip}) as session:
        stream = edits.extend(
            session.pipeline, session.request.prompt, given, forward=after, backward=before, **session.options
        )
        session.write(stream, mute=mute)


@with_options
def connect(
    before: ClipFile, after: ClipFile, prompt: Prompt, seconds: Length = "1.5", mute: Mute = False, **shared: Any
) -> None:
    """Join two clips by new frames that lead from the end of the first into the start of the second."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_user_clip

    options = Options(**shared)
    takes, length = needed(options), parse_seconds(seconds)
    a, b = (read_user_clip(each, takes, sound=not mute) for each in (before, after))
    with generation_session(prompt, options, {"before": before, "after": after}) as session:
        session.write(
            edits.connect(session.pipeline, session.request.prompt, a, b, length, **session.options), mute=mute
        )


@with_options
def loop(
    prompt: Prompt,
    clip: Annotated[Path | None, typer.Option(help="Lead the end of this clip back to its start.")] = None,
    seconds: Annotated[str | None, typer.Option(help="Length of the loop; of the way back, with --clip.")] = None,
    mute: Mute = False,
    **shared: Any,
) -> None:
    """Make a video that can be played over and over without a seam."""
    from tenku.sample import edits
    from tenku.sample.user_frames import read_user_clip

    options = Options(**shared)
    given = read_user_clip(clip, needed(options), sound=not mute) if clip is not None else None
    length = parse_seconds(seconds) if seconds is not None else None
    with generation_session(prompt, options, {"clip": clip}) as session:
        session.write(
            edits.loop(session.pipeline, session.request.prompt, given, seconds=length, **session.options), mute=mute
        )


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
    level, takes = parse_strength(strength), needed(options)
    given, mask = read_user_clip(clip, takes, sound=True), read_user_clip(keep, takes) if keep is not None else None
    with generation_session(prompt, options, {"clip": clip, "keep": keep}) as session:
        if given.sound is not None:
            say(f"note: the sound of {clip.name} is left out: none of its frames is kept as it is")
        session.write(edits.remix(session.pipeline, session.request.prompt, given, level, keep=mask, **session.options))


@with_options
def storyboard(
    board: Annotated[Path, typer.Argument(help=r"A TOML file: seconds, and \[\[card]] tables with at and prompt.")],
    video: Annotated[Path | None, typer.Option(help="The video that was made of the board: its frames stay.")] = None,
    trim: Annotated[str | None, typer.Option(help="Only this part, as 1:4.5 (seconds).")] = None,
    insert: Annotated[
        list[str] | None,
        typer.Option(help='Something new, as "2:1.5:The ball stops.": at 2 s (after --trim), for 1.5 s. Repeatable.'),
    ] = None,
    mute: Mute = False,
    **shared: Any,
) -> None:
    """Make one video out of cards: prompts that change over time, with pictures and clips at their places.

    To re-cut one that is made, give it as --video: what is neither trimmed nor inserted stays as it is there.
    """
    from tenku.media.describe import describe
    from tenku.sample import recut
    from tenku.sample.storyboard import read_storyboard, render_storyboard
    from tenku.sample.user_frames import read_user_clip

    options = Options(**shared)
    takes = needed(options)
    script = read_storyboard(board, takes)
    finished = read_user_clip(video, takes, sound=True) if video is not None else None
    shown = describe(video).shown if video is not None else None
    span = parse_span(trim) if trim is not None else None
    inserts = sorted((parse_insert(each) for each in insert or []), key=lambda each: each[0])
    seed = script.seed if options.seed is None else options.seed
    negative = script.negative if options.negative_prompt is None else options.negative_prompt
    options = with_seed(replace(options, size=options.size or script.size, seed=seed, negative_prompt=negative))
    script, expansion = expanded_cards(script, options)
    files = {"board": board, "video": video}
    with generation_session(expansion, options, files, [card.file for card in script.cards], shown) as session:
        step = session.pipeline.windows.group / session.pipeline.settings.fps
        if finished is not None:
            script = recut.over(script, finished, step)
        if span is not None:
            script = recut.trim(script, *span, step)
        for at, length, words in reversed(inserts):
            new = expanded_for(words, options, {}, expansion.text)
            say_notes(new)
            script = recut.insert(script, at, length, new.text, step)
        if options.expand is False:
            note_unread_words(session.pipeline, [card.prompt for card in script.cards[1:]])
        stream = render_storyboard(session.pipeline, script, **session.options)
        stream.sound = None if mute else stream.sound
        session.write(stream, trim=trim, insert=insert, mute=mute, no_expand=options.expand is False)


def expanded_cards(script: "Storyboard", options: Options) -> "tuple[Storyboard, Expansion]":
    """A storyboard whose prompts are made full, the first one's floor and light where another names none.

    Also the first one's expansion, with the notes of all.
    """
    made: list[Expansion] = []
    for card in script.cards:
        scene = made[0].text if made else None
        given = card.given is not None and scene is None
        made.append(expanded_for(card.prompt, options, {"clip": card.file if given else None}, scene))
    cards = tuple(replace(card, prompt=each.text) for card, each in zip(script.cards, made, strict=True))
    notes = tuple(dict.fromkeys(note for each in made for note in each.notes))
    return replace(script, cards=cards), replace(made[0], notes=notes)
