"""What a video or picture file is, what a model takes of it, and why it would be refused."""

from collections.abc import Iterator
from pathlib import Path

from tenku.doctor import Finding
from tenku.media.describe import Description, describe
from tenku.media.limits import MAX_FRAMES, frame_limit, too_long
from tenku.media.resize import nearest_size


def findings(path: Path, model: str, size: tuple[int, int] | None = None) -> Iterator[Finding]:
    """What is known of a file without reading all of it, for a video of a (width, height) by a model.

    ValueError when it is no video or picture, or nothing of it can be decoded.
    """
    file = describe(path)
    yield Finding("file", file.kind)
    yield Finding("size", stored_and_shown(file), None if file.shown != file.stored else True)
    yield Finding("colour", colour(file), None if file.hdr or file.alpha else True)
    if not file.still:
        yield Finding("length", length(file), None if file.seconds is None else True)
        yield Finding("sound", file.sound or "none", True if file.sound else None)
    if "prompt" in file.metadata:
        yield Finding("made", f"tenku show {path} says how: {file.metadata['prompt'][:60]!r}")

    from tenku.loading import find, settings_of  # loads torch: what is known without it has been said
    from tenku.sample.user_frames import Needed

    settings = settings_of(find(model))
    needed = Needed(settings.sizes, settings.fps).in_size(size)
    kept = needed.size_fn(file.shown)
    made = size or nearest_size(settings.sizes, file.shown)
    yield Finding("reading", "; ".join(steps(file, kept, made, settings.fps)))
    if file.damage is not None:
        yield Finding("damage", file.damage, False)
    limit = frame_limit(kept, MAX_FRAMES)
    wrong = None if file.still else too_long(file.frames, file.seconds, limit, settings.fps)
    if wrong is not None:
        yield Finding("too long", f"{wrong}: cut it first, as in ffmpeg -i {path.name} -t 60 -c copy part.mp4", False)
    if file.damage is None and wrong is None:
        yield Finding("taken", "nothing that its header says speaks against it; damage inside is found when it is read")


def stored_and_shown(file: Description) -> str:
    stored, shown = ("{}x{}".format(*size) for size in (file.stored, file.shown))
    pixels = "" if file.pixel_aspect == "1:1" else f", pixels {file.pixel_aspect}"
    return f"stored {stored}{pixels}, shown {shown}, {file.orientation}"


def colour(file: Description) -> str:
    return file.colour + (", with alpha" if file.alpha else "") + (", interlaced" if file.interlaced else "")


def length(file: Description) -> str:
    seconds = "its header names no length" if file.seconds is None else f"{file.seconds:.2f} s"
    frames = "" if file.frames is None else f", {file.frames} frames"
    return seconds + frames + ("" if file.fps is None else f", {file.fps:.4g} a second by its header")


def steps(file: Description, kept: tuple[int, int], made: tuple[int, int], fps: float) -> Iterator[str]:
    """What is done with the file, in order."""
    if file.interlaced:
        yield "deinterlaced"
    if file.hdr:
        yield "tone mapped to SDR"
    if file.alpha:
        yield "laid over white"
    if file.orientation != "upright":
        yield f"stored {file.orientation}, made upright"
    yield "kept at {}x{}, filling {}x{}, what overhangs cut off evenly".format(*kept, *made)
    if not file.still and file.seconds is not None:
        yield f"{max(1, round(file.seconds * fps))} frames at {fps:g} a second"
