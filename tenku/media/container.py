"""Open a video file of a stranger: only real containers, no other file, and which of its streams is the video.

An ffconcat text file named .mp4 would otherwise make FFmpeg open other files of this machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from av.stream import Disposition

from tenku.media.limits import MAX_PIXELS

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
STILLS = ("mjpeg", "png", "bmp", "gif", "tiff", "webp", "jpeg2000")  # codecs of cover pictures
END_SLACK = 0.5  # seconds by which a file may end before the length that its header names
SEGMENT = bytes.fromhex("18538067")  # the element of an mkv or webm that holds everything after the EBML header
START = 64  # bytes that tell what a file is


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An `av` container, open while the block runs. ValueError in one line: it is none, or damaged."""
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file", "max_pixels": str(8 * MAX_PIXELS)}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            yield container
    except FFmpegError as error:
        raise ValueError(
            f"{path} is no video (mp4, mov, mkv, webm) and no picture (png, jpeg, gif, webp, avif, heic) "
            f"that can be read: {error.strerror}"
        ) from error


def check_is_file(path: Path) -> None:
    """ValueError where there is none, or a folder."""
    try:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: name a file in it")
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise ValueError(f"cannot read {path}: {error.strerror}") from error


def first_bytes(path: Path) -> bytes:
    """The first bytes of a file. ValueError: there is none, it is a folder, cannot be read, or is empty."""
    check_is_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(START)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise ValueError(f"{path} is empty")
    return start


def video_stream(path: Path, container: Any) -> Any:
    """The stream that a player shows: no cover picture, the default one, then the largest. ValueError: none."""
    streams = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
    moving = [each for each in streams if each.codec_context and each.codec_context.name not in STILLS]
    streams = moving or streams
    if not streams:
        there = sorted({each.type for each in container.streams} - {"video"})
        beside = " and a cover picture" if len(container.streams.video) else ""
        raise ValueError(f"{path} holds no video, only {(', '.join(there) or 'nothing') + beside}")
    known = [each for each in streams if each.codec_context is not None]
    if not known:
        raise ValueError(f"{path} holds video of an unknown kind")
    return max(known, key=lambda each: (bool(each.disposition & Disposition.default), each.width * each.height))


def length_of(container: Any, stream: Any) -> tuple[int | None, float | None]:
    """(frames, seconds) of a stream by the file's header and index; None where it says nothing."""
    length = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / av.time_base
    of_index = sum(not each.is_discard for each in stream.index_entries) if "mp4" in container.format.name else 0
    rate = stream.average_rate or stream.guessed_rate or 0
    return of_index or stream.frames or round(length * rate) or None, max(0.0, float(length)) or None


def missing_after(path: Path, container: Any, stream: Any) -> int | None:
    """The number of frames before the place where a file's bytes end, by its own index; None: it is all there.

    Nothing is decoded. Only mp4 and mov have such an index.
    """
    if "mp4" not in container.format.name:
        return None
    size, kept = path.stat().st_size, 0
    for entry in stream.index_entries:
        if entry.pos + entry.size > size:
            return kept
        kept += not entry.is_discard
    return None


def ends_early(path: Path, container: Any, end: float | None = None) -> bool:
    """Whether an mkv or webm is cut: it names more bytes, or a longer duration than where its last packet ends.

    end: seconds; None: nothing was read yet.
    """
    if "matroska" not in container.format.name:
        return False
    named = container.duration / av.time_base if container.duration else 0
    return path.stat().st_size < segment_end(path) or (end is not None and named - end > END_SLACK)


def segment_end(path: Path) -> int:
    """The offset at which the content of an mkv or webm ends by its own header; 0: it does not say (RFC 8794, 9559)."""
    with path.open("rb") as file:
        start = file.read(4096)
    at = start.find(SEGMENT)
    if at < 0 or not start[at + 4 : at + 12] or not start[at + 4]:
        return 0
    at += 4
    length = 9 - start[at].bit_length()  # bytes of the size: as many as there are leading zero bits, and one
    size = int.from_bytes(start[at : at + length], "big") & ((1 << 7 * length) - 1)
    return 0 if size == (1 << 7 * length) - 1 else at + length + size  # all ones: written as a stream
