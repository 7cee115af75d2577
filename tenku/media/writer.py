"""Write videos: mp4 (H.264, and AAC where there is sound), gif, webp and png, whole or not at all.

Frames are uint8 arrays T H W 3 of full-range RGB. A file is written under a hidden name beside its place,
flushed to the disk and renamed.
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

from tenku.media.colour import BT709
from tenku.media.display import FULL_RANGE, ITU709, LIMITED_RANGE
from tenku.media.remembered import to_save
from tenku.media.sound import RATE, Sound

FASTEST = {"GIF": 50, "WEBP": 90}  # frames a second: browsers slow down what is shown for 10 ms or less
AAC_BITS = 128_000  # a second
REPRODUCIBLE = {"x264-params": "cpu-independent=1"}  # else x264's fast routines give other bytes at times


class VideoWriter:
    """Write an mp4 piece by piece; it is there, whole, when the block ends, and not at all after an error.

        with VideoWriter("a.mp4", fps=16, metadata={"prompt": "a red ball"}) as writer:
            writer.write(frames)  # uint8 k H W 3, again and again

    H.264, converted to and tagged as BT.709 in limited range, index first (faststart), metadata inside. yuv420p is what
    every browser plays. sound: int16 N 2 at 48 kHz, from the first frame on. crf, preset: x264's. ValueError for frames
    of a wrong kind or another size than the first, none at all, an odd width or height in yuv420p, or a wrong fps;
    OSError where it cannot be written. An older file of that name stays until then. keep_partial: after Ctrl-C, or a
    request to end, what was written by then stays as NAME.partial.mp4, which plays.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        metadata: Mapping[str, str] | None = None,
        *,
        sound: Sound | None = None,
        crf: int = 16,
        preset: str = "medium",
        pixel_format: str = "yuv420p",
        threads: int = 0,
        keep_partial: bool = False,
    ) -> None:
        check_fps(fps)
        self.keep_partial = keep_partial
        self.sound, self._heard = sound, 0
        self.path, self.fps, self.metadata = Path(path), fps, metadata or {}
        self.pixel_format, self.threads = pixel_format, threads
        self.options = {"crf": str(crf), "preset": preset} | REPRODUCIBLE
        self.count = 0
        self._partial = _hidden_name(self.path)
        self._container: Any = None
        self._stream: Any = None
        self._audio: Any = None

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
            self._write_sound(round(self.count / self.fps * RATE))

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            if error is None:
                with _named_errors(self.path):
                    self._finish(self.path)
            elif self.keep_partial and self.count and isinstance(error, KeyboardInterrupt | SystemExit):
                with suppress(FFmpegError, OSError):
                    self._finish(partial_name(self.path))
        finally:
            if self._container is not None:
                with suppress(FFmpegError, OSError):
                    self._container.close()
            self._partial.unlink(missing_ok=True)

    def _write_sound(self, until: int) -> None:
        """Encode the sound up to a sample, in whole packets."""
        if self._audio is None or self.sound is None:
            return
        size = self._audio.codec_context.frame_size
        until = min(until, len(self.sound))
        while until - self._heard >= size or (until == len(self.sound) and self._heard < until):
            part = self.sound[self._heard : min(until, self._heard + size)]
            planar = np.ascontiguousarray(part.T.astype(np.float32) / 32768)
            frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, self._heard, Fraction(1, RATE)
            self._container.mux(self._audio.encode(frame))
            self._heard += len(part)

    def _open(self, width: int, height: int) -> None:
        if self.pixel_format == "yuv420p" and (width % 2 or height % 2):
            raise ValueError(f"an mp4 needs an even width and height, got {width}x{height}")
        flags = {"movflags": "+faststart+use_metadata_tags"}
        self._container = av.open(f"file:{self._partial}", "w", format="mp4", options=flags)
        self._container.metadata.update(self.metadata)
        self._stream = self._container.add_stream("libx264", rate=Fraction(self.fps).limit_denominator(1001))
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt, self._stream.options = self.pixel_format, self.options
        context = self._stream.codec_context
        context.thread_count = self.threads
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED_RANGE
        if self.sound is not None:
            self._audio = self._container.add_stream("aac", rate=RATE, layout="stereo")
            self._audio.bit_rate = AAC_BITS
            self._audio.codec_context.open()

    def _finish(self, path: Path) -> None:
        """Write what the encoders still hold, and put the file in its place. OSError: it is not all on the disk."""
        if not self.count:
            check_frames(np.empty((0, 0, 0, 3), np.uint8))
        self._container.mux(self._stream.encode())
        if self._audio is not None and self.sound is not None:
            self.sound = self.sound[: round(self.count / self.fps * RATE)]
            self._write_sound(len(self.sound))
            self._container.mux(self._audio.encode())
        self._container.close()
        # FFmpeg keeps some errors of its last writes to itself: count what is really on the disk.
        with av.open(f"file:{self._partial}", format="mp4") as container:
            if container.streams.video[0].frames < self.count:
                raise OSError(f"cannot write {self.path}: the disk took only a part of it")
        _put_in_place(self._partial, path)


def partial_name(path: Path) -> Path:
    """Where a `VideoWriter` that is interrupted leaves what was written by then."""
    return path.with_suffix(".partial.mp4")


def write_video(
    path: str | Path,
    frames: np.ndarray | Iterable[np.ndarray],
    fps: float,
    metadata: Mapping[str, str] | None = None,
    *,
    sound: Sound | None = None,
    crf: int = 16,
    preset: str = "medium",
) -> None:
    """Write an mp4 that every browser plays, by `VideoWriter`, which says more.

    frames: all of them, or pieces k H W 3 of one size, written as they come.
    """
    with VideoWriter(path, fps, metadata, sound=sound, crf=crf, preset=preset) as writer:
        for piece in [frames] if isinstance(frames, np.ndarray) else frames:
            writer.write(piece)


def write_clip(path: str | Path, frames: np.ndarray, fps: float) -> None:
    """Write a training clip: nearly lossless, full colour resolution; the same frames give the same bytes."""
    with VideoWriter(path, fps, crf=12, preset="veryfast", pixel_format="yuv444p", threads=1) as writer:
        writer.write(frames)


def write_gif(path: str | Path, frames: np.ndarray, fps: float, metadata: Mapping[str, str] | None = None) -> None:
    """Write an endless gif with a palette for each frame, the metadata as its comment. Errors as of `VideoWriter`.

    At most 50 frames a second: browsers show a frame of 10 ms for 100.
    """
    frames, fps = thinned(check_frames(frames), fps, FASTEST["GIF"])
    pictures = [Image.fromarray(frame).quantize(256) for frame in frames]
    _write_pictures(Path(path), pictures, "GIF", fps, 10, metadata, disposal=1)


def write_webp(path: str | Path, frames: np.ndarray, fps: float, metadata: Mapping[str, str] | None = None) -> None:
    """Write an endless animated webp, the metadata in its XMP. Errors as of `VideoWriter`."""
    frames, fps = thinned(check_frames(frames), fps, FASTEST["WEBP"])
    _write_pictures(Path(path), [Image.fromarray(frame) for frame in frames], "WEBP", fps, 1, metadata, quality=85)


def write_png(path: str | Path, picture: np.ndarray, metadata: Mapping[str, str] | None = None) -> None:
    """Write one picture, uint8 H W 3, the metadata in text chunks. Errors as of `VideoWriter`."""
    with _written_whole(Path(path)) as partial:
        Image.fromarray(check_frames(picture[None])[0]).save(partial, "PNG", **to_save("PNG", metadata or {}))


def check_frames(frames: np.ndarray) -> np.ndarray:
    """The frames themselves; ValueError unless they are uint8 T H W 3 with at least one frame."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(f"frames must be uint8 of shape (T, H, W, 3), got {frames.dtype} {frames.shape}")
    return frames


def check_fps(fps: float) -> None:
    """ValueError unless it is a number of frames a second that a file can carry."""
    if not 0 < fps <= 1000:
        raise ValueError(f"fps must be above 0 and at most 1000, got {fps}")


def thinned(frames: np.ndarray, fps: float, most: float) -> tuple[np.ndarray, float]:
    """(frames, fps) with at most so many frames a second."""
    check_fps(fps)
    if fps <= most:
        return frames, fps
    count = max(1, int(len(frames) * most / fps))
    return frames[((np.arange(count) + 0.5) * len(frames) / count).astype(int)], count * fps / len(frames)


def _write_pictures(
    path: Path,
    pictures: Sequence[Image.Image],
    kind: str,
    fps: float,
    unit: int,
    metadata: Mapping[str, str] | None,
    **options: Any,
) -> None:
    """unit: milliseconds of which durations are multiples."""
    options |= to_save(kind, metadata or {}) | {"duration": _milliseconds(len(pictures), fps, unit)}
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
