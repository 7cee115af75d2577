"""Read videos and pictures as a player shows them: each frame at its time, upright, in sRGB (`display.py`).

Frames are uint8 arrays T H W 3 of full-range RGB. A video is decoded frame by frame, and only what is needed is kept:
in the size and at the rate that are asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from tenku.media.container import ends_early, first_bytes, length_of, missing_after, opened, video_stream
from tenku.media.display import Display, Look, SizeFn, deinterlaced
from tenku.media.limits import (
    MAX_DECODED,
    MAX_FRAMES,
    MAX_PICTURE,
    MAX_PIXELS,
    check_pixels,
    frame_limit,
    size_within,
    too_long,
)
from tenku.media.picture import is_picture, read_picture
from tenku.media.timing import at_even_times, rate_of, seen_at

CONTAINER_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "creation_time"}


@dataclass
class Footage:
    """What was read of a file. frames: uint8 T H W 3. start: seconds in the file at which the first one is seen."""

    frames: np.ndarray
    fps: float
    metadata: dict[str, str] = field(default_factory=dict)
    start: float = 0.0


def read_video(
    path: str | Path, *, max_frames: int = MAX_FRAMES, max_pixels: int = MAX_PIXELS, longest_side: int | None = None
) -> tuple[np.ndarray, float, dict[str, str]]:
    """Read a video file, or a picture, as `read_footage`: (frames uint8 T H W 3, fps, metadata)."""
    read = read_footage(path, max_frames=max_frames, max_pixels=max_pixels, longest_side=longest_side)
    return read.frames, read.fps, read.metadata


def read_footage(
    path: str | Path,
    *,
    max_frames: int = MAX_FRAMES,
    max_pixels: int = MAX_PIXELS,
    longest_side: int | None = None,
    size_fn: SizeFn | None = None,
    fps: float | None = None,
    first_only: bool = False,
) -> Footage:
    """Read a video file, or a picture, which is one frame, as a player shows it.

    Frames are made smaller while they are read: longest_side: no side is longer than so many pixels; size_fn: from the
    shown (width, height) to the one that is wanted. fps: the rate that frames are wanted at; None: the file's own, or
    that of most frames where they come at uneven times. first_only: one frame is enough. ValueError in one line when
    the file is missing, empty, damaged, holds no video, or is larger than `max_frames`, `max_pixels` a frame, or what
    fits in memory.
    """
    path = Path(path)
    start = first_bytes(path)
    shrinks = longest_side is not None or size_fn is not None
    size_fn = size_fn or (lambda shown: size_within(*shown, longest_side))
    if is_picture(start):
        max_pixels = MAX_PICTURE if shrinks else max_pixels
        return Footage(*read_picture(path, max_frames, max_pixels, size_fn, fps, first_only=first_only))
    with opened(path) as container:
        stream = video_stream(path, container)
        check_pixels(path, stream.width, stream.height, max_pixels)
        return read_stream(path, container, stream, size_fn, fps, 1 if first_only else max_frames, first_only)


def read_stream(
    path: Path, container: Any, stream: Any, size_fn: SizeFn, fps: float | None, max_frames: int, first_only: bool
) -> Footage:
    """Decode a stream and keep what is needed; see `read_footage`."""
    look, frames = first_look(path, container, stream)
    display = Display(look, size_fn)
    limit = frame_limit(display.size, max_frames)
    if first_only:
        frames = islice(frames, 1)
    else:
        check_length(path, container, stream, limit, fps)
    times: list[float] = []
    end = 0.0

    def timed() -> Iterator[tuple[float, float, Any]]:
        nonlocal end
        for time, duration, frame in frames:
            times.append(time)
            end = max(end, time + duration)
            yield time, duration, frame

    at_rate = fps is not None and not first_only
    wanted = seen_at(timed(), fps or 1) if at_rate else (frame for _, _, frame in timed())
    shown = kept(path, display, wanted, limit)
    metadata = {key: value for key, value in container.metadata.items() if key not in CONTAINER_KEYS}
    if fps is not None:
        rate = fps
    else:
        rate, even = rate_of(times, end, stream.average_rate or stream.guessed_rate)
        shown = shown if even else at_even_times(shown, times, end, rate)
    return Footage(np.stack(shown), rate, metadata, times[0])


def first_look(
    path: Path, container: Any, stream: Any, whole: bool = True
) -> tuple[Look, Iterator[tuple[float, float, Any]]]:
    """How a stream is shown, and its frames with their times and durations in seconds, from the first one on.

    whole: refuse a file whose bytes end before its index does.
    """
    missing = missing_after(path, container, stream) if whole else None
    if missing is not None:
        raise damaged(path, missing, "the file ends there")
    frames = decoded(path, container, stream)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path} holds no whole frame: it is truncated")
    return Look.of(stream, first[2]), with_whole_frames(stream, chain([first], frames))


def with_whole_frames(stream: Any, frames: Iterator[tuple[float, float, Any]]) -> Iterator[tuple[float, float, Any]]:
    """Frames with their times and durations, deinterlaced, which gives them back a frame later."""
    waiting: list[tuple[float, float]] = []

    def remembered() -> Iterator[Any]:
        for time, duration, frame in frames:
            waiting.append((time, duration))
            yield frame

    for frame in deinterlaced(stream, remembered()):
        if waiting:
            yield *waiting.pop(0), frame


def kept(path: Path, display: Display, frames: Iterator[Any], limit: int) -> list[np.ndarray]:
    """The frames as they are shown; one that is seen for longer is converted once."""
    shown: list[np.ndarray] = []
    last = None
    for frame in frames:
        if len(shown) == limit:
            raise ValueError(f"{path} is too long: more than {limit} frames")
        shown.append(shown[-1] if frame is last else display.show(frame))
        last = frame
    return shown


def check_length(path: Path, container: Any, stream: Any, limit: int, fps: float | None) -> None:
    """ValueError where the header says that there is too much, before anything is decoded."""
    wrong = too_long(*length_of(container, stream), limit, fps)
    if wrong is not None:
        raise ValueError(f"{path} is too long: {wrong}")


# ----------------------------------------------------------------------------------------------------------
# decoding


def decoded(path: Path, container: Any, stream: Any) -> Iterator[tuple[float, float, Any]]:
    """(time, duration, frame) of a stream as they are decoded, in seconds.

    Frames that the file itself leaves out (edit lists) are left out. ValueError: damaged, and after which frame.
    """
    decoder = decoder_of(stream)
    first: Any = None
    packets: list[int] = []
    count, end, last = 0, 0.0, (0.0, 0.0)
    streams = container.streams if "matroska" in container.format.name else [stream]
    try:
        for packet in container.demux(*streams):
            if packet.pts is not None and packet.size:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index != stream.index:
                continue
            if packet.is_corrupt:
                raise damaged(path, count)
            if packet.size and not packet.is_discard and packet.pts is not None:
                packets.append(packet.pts)
            for frame in decoder.decode(packet):
                if frame.is_corrupt and not count:
                    continue  # leads up to the first whole one
                first = first or frame
                check_frame(path, first, frame, count)
                last = timed_frame(stream, frame, last)
                count += 1
                yield *last, frame
    except FFmpegError as error:
        raise damaged(path, count, error.strerror) from error
    of_mp4 = "mp4" in container.format.name and first is not None and first.pts is not None
    expected = sum(pts >= first.pts for pts in packets) if of_mp4 else count
    lost = count < expected and not expected - 1 <= 2 * count <= expected + 1
    if lost or (count and ends_early(path, container, end)):
        raise damaged(path, count)


def decoder_of(stream: Any) -> Any:
    """What decodes a stream, on all cores; FFmpeg's own VP8 and VP9 pass over alpha, libvpx does not."""
    context = stream.codec_context
    alpha = any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())
    if context.name in ("vp8", "vp9") and alpha:
        context = av.CodecContext.create({"vp8": "libvpx", "vp9": "libvpx-vp9"}[context.name], "r")
        context.extradata = stream.codec_context.extradata
    context.thread_type = "AUTO"
    return context


def timed_frame(stream: Any, frame: Any, last: tuple[float, float]) -> tuple[float, float]:
    """(time, duration) of a frame in seconds; what it does not say goes on from the last one's."""
    base = frame.time_base or stream.time_base
    usual = 1 / float(stream.average_rate or stream.guessed_rate or 25)
    time = sum(last) if frame.pts is None or base is None else float(frame.pts * base)
    duration = float(frame.duration * base) if frame.duration and base else 0.0
    return time, duration or usual


def check_frame(path: Path, first: Any, frame: Any, count: int) -> None:
    """ValueError for a frame that is broken, of another size than the first one, or one too many."""
    if count == MAX_DECODED:
        raise ValueError(f"{path} is too long: more than {MAX_DECODED} frames")
    if frame.is_corrupt:
        raise damaged(path, count)
    if (frame.width, frame.height) != (first.width, first.height):
        raise ValueError(
            f"{path} changes its size from {first.width}x{first.height} to {frame.width}x{frame.height} "
            f"at frame {count + 1}"
        )


def damaged(path: Path, count: int, reason: str | None = None) -> ValueError:
    told = f" ({reason})" if reason else ""
    return ValueError(f"{path} is damaged after frame {count}{told}: nothing of it was taken")
