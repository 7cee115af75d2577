"""Write and read videos: mp4 (H.264), gif, webp and png, whole or not at all; pictures are read by `picture.py`.

Frames are uint8 arrays T H W 3 of full-range RGB. A file is written under a hidden name beside its place,
flushed to the disk and renamed. Reading opens only real video and picture containers: an ffconcat text file
named .mp4 would otherwise make FFmpeg open other files of this machine.
"""

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from tenku.media.display import BT709, FULL_RANGE, ITU709, LIMITED_RANGE, at_even_times, frame_to_rgb
from tenku.media.limits import MAX_FRAMES, MAX_PIXELS, frame_limit, size_within
from tenku.media.picture import is_picture, read_picture

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
CONTAINER_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "creation_time"}
REPRODUCIBLE = {"x264-params": "cpu-independent=1"}  # else x264's fast routines give other bytes at times


# ----------------------------------------------------------------------------------------------------------
# writing


class VideoWriter:
    """Write an mp4 piece by piece; it is there, whole, when the block ends, and not at all after an error.

        with VideoWriter("a.mp4", fps=16, metadata={"prompt": "a red ball"}) as writer:
            writer.write(frames)  # uint8 k H W 3, again and again

    H.264, converted to and tagged as BT.709 in limited range, index first (faststart), metadata inside. yuv420p is what
    every browser plays. crf, preset: x264's. ValueError for frames of a wrong kind or another size than the first, none
    at all, an odd width or height in yuv420p, or a wrong fps; OSError where it cannot be written. An older file of that
    name stays until then.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        metadata: Mapping[str, str] | None = None,
        *,
        crf: int = 16,
        preset: str = "medium",
        pixel_format: str = "yuv420p",
        threads: int = 0,
    ) -> None:
        check_fps(fps)
        self.path, self.fps, self.metadata = Path(path), fps, metadata or {}
        self.pixel_format, self.threads = pixel_format, threads
        self.options = {"crf": str(crf), "preset": preset} | REPRODUCIBLE
        self.count = 0
        self._partial = _hidden_name(self.path)
        self._container: Any = None
        self._stream: Any = None

    def __enter__(self) -> Self:
        _check_folder(self.path)
        return self

    def write(self, frames: np.ndarray) -> None:
        """Append frames, uint8 k H W 3."""
        frames = np.ascontiguousarray(check_frames(frames))
        height, width = frames.shape[1:3]
        with _named_errors(self.path):
            if self._container is None:
                self._open(width, height)
            if (width, height) != (self._stream.width, self._stream.height):
                first = (self._stream.height, self._stream.width, 3)
                raise ValueError(f"frames of one video have one size: {frames.shape[1:]} after {first}")
            for array in frames:
                frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(
                    format=self.pixel_format,
                    dst_colorspace=ITU709,
                    src_color_range=FULL_RANGE,
                    dst_color_range=LIMITED_RANGE,
                )
                self._container.mux(self._stream.encode(frame))
                self.count += 1

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            if error is None:
                with _named_errors(self.path):
                    self._finish()
        finally:
            if self._container is not None:
                with suppress(FFmpegError, OSError):
                    self._container.close()
            self._partial.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> None:
        if self.pixel_format == "yuv420p" and (width % 2 or height % 2):
            raise ValueError(f"an mp4 needs an even width and height, got {width}x{height}")
        flags = {"movflags": "+faststart+use_metadata_tags"}
        self._container = av.open(str(self._partial), "w", format="mp4", options=flags)
        self._container.metadata.update(self.metadata)
        self._stream = self._container.add_stream("libx264", rate=Fraction(self.fps).limit_denominator(1001))
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt, self._stream.options = self.pixel_format, self.options
        context = self._stream.codec_context
        context.thread_count = self.threads
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED_RANGE

    def _finish(self) -> None:
        if not self.count:
            check_frames(np.empty((0, 0, 0, 3), np.uint8))
        self._container.mux(self._stream.encode())
        self._container.close()
        # FFmpeg keeps some errors of its last writes to itself: count what is really on the disk.
        with av.open(str(self._partial), format="mp4") as container:
            if container.streams.video[0].frames != self.count:
                raise OSError(f"cannot write {self.path}: the disk took only a part of it")
        _put_in_place(self._partial, self.path)


def write_video(
    path: str | Path,
    frames: np.ndarray | Iterable[np.ndarray],
    fps: float,
    metadata: Mapping[str, str] | None = None,
    *,
    crf: int = 16,
    preset: str = "medium",
) -> None:
    """Write an mp4 that every browser plays, by `VideoWriter`, which says more.

    frames: all of them, or pieces k H W 3 of one size, written as they come.
    """
    with VideoWriter(path, fps, metadata, crf=crf, preset=preset) as writer:
        for piece in [frames] if isinstance(frames, np.ndarray) else frames:
            writer.write(piece)


def write_clip(path: str | Path, frames: np.ndarray, fps: float) -> None:
    """Write a training clip: nearly lossless, full colour resolution; the same frames give the same bytes."""
    with VideoWriter(path, fps, crf=12, preset="veryfast", pixel_format="yuv444p", threads=1) as writer:
        writer.write(frames)


def write_gif(path: str | Path, frames: np.ndarray, fps: float) -> None:
    """Write an endless gif with a palette for each frame. Errors as of `VideoWriter`."""
    pictures = [Image.fromarray(frame).quantize(256) for frame in check_frames(frames)]
    _write_pictures(Path(path), pictures, "GIF", duration=_milliseconds(len(pictures), fps, 10), disposal=1)


def write_webp(path: str | Path, frames: np.ndarray, fps: float) -> None:
    """Write an endless animated webp. Errors as of `VideoWriter`."""
    pictures = [Image.fromarray(frame) for frame in check_frames(frames)]
    _write_pictures(Path(path), pictures, "WEBP", duration=_milliseconds(len(pictures), fps, 1), quality=85)


def write_png(path: str | Path, picture: np.ndarray) -> None:
    """Write one picture, uint8 H W 3. Errors as of `VideoWriter`."""
    with _written_whole(Path(path)) as partial:
        Image.fromarray(check_frames(picture[None])[0]).save(partial, "PNG")


def check_frames(frames: np.ndarray) -> np.ndarray:
    """The frames themselves; ValueError unless they are uint8 T H W 3 with at least one frame."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(f"frames must be uint8 of shape (T, H, W, 3), got {frames.dtype} {frames.shape}")
    return frames


def check_fps(fps: float) -> None:
    """ValueError unless it is a number of frames a second that a file can carry."""
    if not 0 < fps <= 1000:
        raise ValueError(f"fps must be above 0 and at most 1000, got {fps}")


def _write_pictures(path: Path, pictures: Sequence[Image.Image], kind: str, **options: Any) -> None:
    with _written_whole(path) as partial:
        pictures[0].save(partial, kind, save_all=True, append_images=pictures[1:], loop=0, **options)


def _milliseconds(count: int, fps: float, unit: int) -> list[int]:
    """Durations in whole units that add up to the true length, however odd the frame rate."""
    check_fps(fps)
    ends = [round(index * 1000 / fps / unit) * unit for index in range(count + 1)]
    return [end - start for start, end in zip(ends, ends[1:], strict=False)]


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to, renamed to `path` at the end and removed after any failure."""
    _check_folder(path)
    partial = _hidden_name(path)
    try:
        with _named_errors(path):
            yield partial
            _put_in_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise OSError(f"cannot write {path}: there is no folder {path.parent}")


def _hidden_name(path: Path) -> Path:
    return path.with_name(f".{uuid.uuid4().hex}.partial")


def _put_in_place(partial: Path, path: Path) -> None:
    """Flush a file to the disk, then rename it."""
    handle = os.open(partial, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(partial, path)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Errors of FFmpeg and of the system as OSError that names the file."""
    try:
        yield
    except (FFmpegError, OSError) as error:
        reason = error.strerror or str(error)
        raise OSError(reason if str(path) in reason else f"cannot write {path}: {reason}") from error


# ----------------------------------------------------------------------------------------------------------
# reading


def read_video(
    path: str | Path, *, max_frames: int = MAX_FRAMES, max_pixels: int = MAX_PIXELS, longest_side: int | None = None
) -> tuple[np.ndarray, float, dict[str, str]]:
    """Read a video file, or a picture, which is one frame: (frames uint8 T H W 3, fps, metadata).

    Frames come as a standard screen shows them (`display.py`): upright, HDR tone mapped, at even times.
    longest_side: larger frames are made as small as that while they are read, so that a long clip in 4K takes no more
    memory than one in 720p. ValueError in one line when the file is missing, empty, damaged, holds no video, or is
    larger than `max_frames`, `max_pixels` a frame, or what fits in memory.
    """
    path = Path(path)
    check_is_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise ValueError(f"{path} is empty")
    if is_picture(start):
        return read_picture(path, max_frames, max_pixels, longest_side)
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            return _decode(path, container, max_frames, max_pixels, longest_side)
    except FFmpegError as error:
        raise ValueError(
            f"{path} is no video (mp4, mov, mkv, webm) and no picture (png, jpeg, gif, webp) that can be read: "
            f"{error.strerror}"
        ) from error


def check_is_file(path: Path) -> None:
    """ValueError where there is none, or a folder."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")


def _decode(
    path: Path, container: Any, max_frames: int, max_pixels: int, longest_side: int | None
) -> tuple[np.ndarray, float, dict[str, str]]:
    if not container.streams.video:
        raise ValueError(f"{path} holds no video, only {container.streams[0].type if container.streams else 'nothing'}")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise ValueError(f"{path} holds video of an unknown kind")
    width, height = stream.width, stream.height
    size = size_within(width, height, longest_side)
    limit = frame_limit(path, width, height, size, max_frames, max_pixels)
    frames: list[np.ndarray] = []
    times: list[float] = []
    for frame in container.decode(stream):
        if len(frames) == limit:
            raise ValueError(f"{path} is too long: more than {limit} frames of {width}x{height}")
        if (frame.width, frame.height) != (width, height):
            raise ValueError(f"{path} changes its size from {width}x{height} to {frame.width}x{frame.height}")
        frames.append(frame_to_rgb(frame, size))
        times.append(-1.0 if frame.time is None else frame.time)
    if not frames:
        raise ValueError(f"{path} holds no whole frame: it is truncated")
    expected = stream.frames
    if expected and len(frames) < expected:
        raise ValueError(f"{path} is truncated: {len(frames)} of {expected} frames can be read")
    rate = stream.average_rate or stream.guessed_rate or 25
    metadata = {key: value for key, value in container.metadata.items() if key not in CONTAINER_KEYS}
    return np.stack(at_even_times(frames, times, float(rate))), float(rate), metadata
