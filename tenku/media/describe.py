"""What a file is, said without reading it all: an hour of video takes no longer than its index and its first frame."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenku.media.container import ends_early, first_bytes, length_of, missing_after, opened, video_stream
from tenku.media.display import ORIENTATIONS, Look
from tenku.media.limits import MAX_PICTURE, MAX_PIXELS, check_pixels
from tenku.media.picture import EXIF_ORIENTATIONS, is_moving, is_picture, opened_picture
from tenku.media.reader import CONTAINER_KEYS, first_look
from tenku.media.remembered import from_picture


@dataclass(frozen=True)
class Description:
    """What a file is. shown, stored: (width, height) in pixels. frames, seconds: None where the header names none."""

    kind: str
    stored: tuple[int, int]
    shown: tuple[int, int]
    orientation: str
    colour: str
    metadata: dict[str, str]
    pixel_aspect: str = "1:1"
    interlaced: bool = False
    alpha: bool = False
    hdr: bool = False
    still: bool = False
    fps: float | None = None
    frames: int | None = None
    seconds: float | None = None
    sound: str | None = None
    damage: str | None = None


def describe(path: str | Path) -> Description:
    """What a video or picture file is. ValueError in one line when it is neither, or nothing of it can be decoded."""
    path = Path(path)
    if is_picture(first_bytes(path)):
        return describe_picture(path)
    with opened(path) as container:
        stream = video_stream(path, container)
        check_pixels(path, stream.width, stream.height, MAX_PIXELS)
        missing = missing_after(path, container, stream)
        damage = None if missing is None else f"its bytes end after frame {missing}"
        if ends_early(path, container):
            damage = "its bytes end before its header says"
        look, _ = first_look(path, container, stream, whole=False)
        return describe_stream(container, stream, look, damage)


def describe_stream(container: Any, stream: Any, look: Look, damage: str | None) -> Description:
    """Of a video's stream, and of what lies beside it."""
    frames, seconds = length_of(container, stream)
    names = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4 or mov", "matroska,webm": "mkv or webm"}
    codec = stream.codec_context.codec.canonical_name
    aspect = look.pixel_aspect
    return Description(
        kind=f"video, {names.get(container.format.name, container.format.name)}, {codec}, {look.pixel_format}",
        stored=look.stored,
        shown=look.shown,
        orientation=ORIENTATIONS[look.orientation],
        colour=look.colour(),
        metadata={key: value for key, value in container.metadata.items() if key not in CONTAINER_KEYS},
        pixel_aspect=f"{aspect.numerator}:{aspect.denominator}",
        interlaced=look.interlaced,
        alpha=look.alpha,
        hdr=look.hdr,
        fps=float(stream.average_rate or stream.guessed_rate or 0) or None,
        frames=frames,
        seconds=seconds,
        sound=describe_sound(container),
        damage=damage,
    )


def describe_sound(container: Any) -> str | None:
    """The audio streams in words; None: none."""
    heard = [each.codec_context for each in container.streams.audio if each.codec_context is not None]
    told = [f"{each.codec.canonical_name}, {each.sample_rate} Hz, {each.layout.name}" for each in heard]
    return "; ".join(told) or None


def describe_picture(path: Path) -> Description:
    with opened_picture(path) as picture:
        check_pixels(path, *picture.size, MAX_PICTURE)
        moving = is_moving(picture)
        orientation = EXIF_ORIENTATIONS.get(picture.getexif().get(0x0112, 1), (False, False, False))
        profile = picture.info.get("icc_profile")
        return Description(
            kind=f"{'moving ' if moving else ''}picture, {picture.format}, {picture.mode}",
            stored=picture.size,
            shown=picture.size[::-1] if orientation[0] else picture.size,
            orientation=ORIENTATIONS[orientation],
            colour="its own colour profile" if profile else "sRGB, as no profile is named",
            metadata=from_picture(picture),
            alpha=picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info,
            still=not moving,
            frames=getattr(picture, "n_frames", 1) if moving else 1,
        )
