"""Frames <-> files: mp4 (H.264), gif, webp and png, written whole or not at all and read with suspicion.

Frames are uint8 arrays T H W 3 of full-range RGB. A file is written under a hidden name beside its place,
flushed to the disk and renamed. Reading opens only real video and picture containers: an ffconcat text file
named .mp4 would otherwise make FFmpeg open other files of this machine.
"""

import itertools
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image, ImageOps, UnidentifiedImageError

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
MAX_FRAMES = 20_000
MOST_REPEATED = 20  # times that a frame of a moving picture is repeated in the mean, to be shown for its time
MAX_PIXELS = 4096 * 2304  # of one frame
MAX_PICTURE = 2**27  # pixels of a still picture that is made smaller at once: phones take 50 million
MAX_BYTES = 4 * 2**30  # of all decoded frames
REPRODUCIBLE = {"x264-params": "cpu-independent=1"}  # else x264's fast routines give other bytes at times
BT709 = 1  # the H.264 code of its primaries, transfer curve and matrix
LIMITED_RANGE, FULL_RANGE, UNSPECIFIED = 1, 2, 2
ITU601, ITU709 = 5, 1  # swscale's names for the two matrices
PQ = 16  # the code of HDR's transfer curve
PAPER_WHITE = 203.0  # nits of diffuse white in HDR (ITU-R BT.2408)
BT2020_TO_SRGB = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
CONTAINER_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "creation_time"}
PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")


# ----------------------------------------------------------------------------------------------------------
# writing


def write_video(
    path: str | Path,
    frames: np.ndarray | Iterable[np.ndarray],
    fps: float,
    metadata: Mapping[str, str] | None = None,
    *,
    crf: int = 16,
    preset: str = "medium",
) -> None:
    """H.264 mp4 that every browser plays: yuv420p, BT.709 converted and tagged, index first, metadata inside.

    frames: all of them, or pieces of one size, written as they come. ValueError for frames of a wrong kind or an odd
    width or height; OSError where it cannot be written. Then, and when making the pieces fails, nothing is left behind
    and an older file of that name stays.
    """
    pieces = [frames] if isinstance(frames, np.ndarray) else frames
    _encode(Path(path), pieces, fps, metadata or {}, "yuv420p", {"crf": str(crf), "preset": preset})


def write_clip(path: str | Path, frames: np.ndarray, fps: float) -> None:
    """A training clip: nearly lossless H.264, full colour resolution; the same frames give the same bytes."""
    _encode(Path(path), [frames], fps, {}, "yuv444p", {"crf": "12", "preset": "veryfast"}, threads=1)


def write_gif(path: str | Path, frames: np.ndarray, fps: float) -> None:
    """An endless gif with a palette for each frame. Errors as in `write_video`."""
    pictures = [Image.fromarray(frame).quantize(256) for frame in check_frames(frames)]
    _write_pictures(Path(path), pictures, "GIF", duration=_milliseconds(len(pictures), fps, 10), disposal=1)


def write_webp(path: str | Path, frames: np.ndarray, fps: float) -> None:
    """An endless animated webp. Errors as in `write_video`."""
    pictures = [Image.fromarray(frame) for frame in check_frames(frames)]
    _write_pictures(Path(path), pictures, "WEBP", duration=_milliseconds(len(pictures), fps, 1), quality=85)


def write_png(path: str | Path, picture: np.ndarray) -> None:
    """One uint8 picture H W 3. Errors as in `write_video`."""
    path = Path(path)
    with _written_whole(path) as partial:
        Image.fromarray(check_frames(picture[None])[0]).save(partial, "PNG")


def check_frames(frames: np.ndarray) -> np.ndarray:
    """The frames themselves; ValueError unless they are uint8 T H W 3 with at least one frame."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(f"frames must be uint8 of shape (T, H, W, 3), got {frames.dtype} {frames.shape}")
    return np.ascontiguousarray(frames)


def _encode(
    path: Path,
    pieces: Iterable[np.ndarray],
    fps: float,
    metadata: Mapping[str, str],
    pixel_format: str,
    options: dict[str, Any],
    threads: int = 0,
) -> None:
    if not 0 < fps <= 1000:
        raise ValueError(f"fps must be above 0 and at most 1000, got {fps}")
    pieces = map(check_frames, pieces)
    count = 0
    with _written_whole(path) as partial:
        first = check_frames(next(pieces, np.empty((0, 0, 0, 3), np.uint8)))
        height, width = first.shape[1:3]
        if pixel_format == "yuv420p" and (width % 2 or height % 2):
            raise ValueError(f"an mp4 needs an even width and height, got {width}x{height}")
        flags = {"movflags": "+faststart+use_metadata_tags"}
        with av.open(str(partial), "w", format="mp4", options=flags) as container:
            container.metadata.update(metadata)
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
            stream.height, stream.width = height, width
            stream.pix_fmt, stream.options = pixel_format, options | REPRODUCIBLE
            context = stream.codec_context
            context.thread_count = threads
            context.color_primaries = context.color_trc = context.colorspace = BT709
            context.color_range = LIMITED_RANGE
            for array in itertools.chain.from_iterable(itertools.chain([first], pieces)):
                if array.shape[:2] != (height, width):
                    raise ValueError(f"frames of one video have one size: {array.shape} after {first.shape[1:]}")
                frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(
                    format=pixel_format,
                    dst_colorspace=ITU709,
                    src_color_range=FULL_RANGE,
                    dst_color_range=LIMITED_RANGE,
                )
                container.mux(stream.encode(frame))
                count += 1
            container.mux(stream.encode())
        # FFmpeg keeps some errors of its last writes to itself: count what is really on the disk.
        with av.open(str(partial), format="mp4") as container:
            if container.streams.video[0].frames != count:
                raise OSError(f"cannot write {path}: the disk took only a part of it")


def _write_pictures(path: Path, pictures: Sequence[Image.Image], kind: str, **options: Any) -> None:
    with _written_whole(path) as partial:
        pictures[0].save(partial, kind, save_all=True, append_images=pictures[1:], loop=0, **options)


def _milliseconds(count: int, fps: float, unit: int) -> list[int]:
    """Durations in whole units that add up to the true length, however odd the frame rate."""
    if not 0 < fps <= 1000:
        raise ValueError(f"fps must be above 0 and at most 1000, got {fps}")
    ends = [round(index * 1000 / fps / unit) * unit for index in range(count + 1)]
    return [end - start for start, end in zip(ends, ends[1:], strict=False)]


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to, renamed to `path` at the end and removed after any failure."""
    if not path.parent.is_dir():
        raise OSError(f"cannot write {path}: there is no folder {path.parent}")
    partial = path.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        yield partial
        handle = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(partial, path)
    except (FFmpegError, OSError) as error:
        reason = error.strerror or str(error)
        raise OSError(reason if str(path) in reason else f"cannot write {path}: {reason}") from error
    finally:
        partial.unlink(missing_ok=True)


# ----------------------------------------------------------------------------------------------------------
# reading


def read_video(
    path: str | Path, *, max_frames: int = MAX_FRAMES, max_pixels: int = MAX_PIXELS, longest_side: int | None = None
) -> tuple[np.ndarray, float, dict[str, str]]:
    """(frames, fps, metadata) of a video file, or of a picture, which is one frame.

    longest_side: larger frames are made as small as that while they are read, so that a long clip in 4K takes no more
    memory than one in 720p. Frames in HDR (PQ) come as a standard screen shows them. ValueError in one line when the
    file is missing, empty, damaged, holds no video, or is larger than `max_frames`, `max_pixels` a frame, or what fits
    in memory.
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
    if start.startswith(PICTURES) and not (start.startswith(b"RIFF") and start[8:12] != b"WEBP"):
        return _read_picture(path, max_frames, max_pixels, longest_side)
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
    size = _shrunk(width, height, longest_side)
    limit = _frame_limit(path, width, height, size, max_frames, max_pixels)
    frames: list[np.ndarray] = []
    times: list[float] = []
    for frame in container.decode(stream):
        if len(frames) == limit:
            raise ValueError(f"{path} is too long: more than {limit} frames of {width}x{height}")
        if (frame.width, frame.height) != (width, height):
            raise ValueError(f"{path} changes its size from {width}x{height} to {frame.width}x{frame.height}")
        frames.append(np.rot90(_to_rgb(frame, size), round(frame.rotation / 90)))
        times.append(-1.0 if frame.time is None else frame.time)
    if not frames:
        raise ValueError(f"{path} holds no whole frame: it is truncated")
    expected = stream.frames
    if expected and len(frames) < expected:
        raise ValueError(f"{path} is truncated: {len(frames)} of {expected} frames can be read")
    rate = stream.average_rate or stream.guessed_rate or 25
    metadata = {key: value for key, value in container.metadata.items() if key not in CONTAINER_KEYS}
    return np.stack(_at_even_times(frames, times, float(rate))), float(rate), metadata


def _at_even_times(frames: list[np.ndarray], times: list[float], rate: float) -> list[np.ndarray]:
    """The frames of a file with a variable rate as its average rate shows them; others stay as they are."""
    steps = np.diff(times)
    if len(times) < 3 or min(times) < 0 or steps.min() <= 0 or steps.max() - steps.min() < 0.5 / rate:
        return frames
    moments = times[0] + np.arange(len(frames)) * (times[-1] - times[0]) / (len(frames) - 1)
    return [frames[index] for index in np.searchsorted(times, moments + 1e-6, side="right") - 1]


def _for_as_long(frames: list[np.ndarray], milliseconds: list[float], limit: int) -> tuple[list[np.ndarray], float]:
    """Pictures that are shown for different times as a video of a fitting rate shows them, and that rate.

    What asks for less than two hundredths of a second gets a tenth, as in browsers. None is left out unless its time is
    less than a part in MOST_REPEATED of the mean one.
    """
    if max(milliseconds) - min(milliseconds) > 10:  # what a whole hundredth of a second cannot tell
        milliseconds = [100 if each <= 10 else each for each in milliseconds]
    total = sum(milliseconds)
    if max(milliseconds) - min(milliseconds) <= 10:
        return frames, 1000 * len(frames) / total
    count = min(limit, round(total / min(milliseconds)), MOST_REPEATED * len(frames))
    moments = (np.arange(count) + 0.5) * total / count
    shown = np.searchsorted(np.cumsum(milliseconds), moments, side="right")
    return [frames[0], *(frames[index] for index in shown[1:])], 1000 * count / total


def _shrunk(width: int, height: int, longest_side: int | None) -> tuple[int, int]:
    """(width, height) with no side longer than `longest_side`, in the same proportions."""
    scale = min(1.0, longest_side / max(width, height, 1)) if longest_side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def _to_rgb(frame: Any, size: tuple[int, int]) -> np.ndarray:
    """By the matrix the file names; files that name none follow the custom of their size."""
    width, height = size
    if frame.format.is_rgb:
        return frame.to_ndarray(format="rgb24", width=width, height=height)
    matrix = int(frame.colorspace)
    if matrix == UNSPECIFIED or matrix == 0:
        matrix = ITU709 if frame.height >= 720 else ITU601
    limited = int(frame.color_range) != FULL_RANGE and not frame.format.name.startswith("yuvj")
    bright = int(frame.color_trc) == PQ
    converted = frame.reformat(
        width=width,
        height=height,
        format="rgb48le" if bright else "rgb24",
        src_colorspace=matrix,
        src_color_range=LIMITED_RANGE if limited else FULL_RANGE,
        dst_color_range=FULL_RANGE,
    )
    return _tone_mapped(converted.to_ndarray()) if bright else converted.to_ndarray()


def _tone_mapped(picture: np.ndarray) -> np.ndarray:
    """uint16 H W 3 in PQ and BT.2020 (ITU-R BT.2100) to uint8 sRGB: what is brighter than paper is rolled off."""
    signal = (picture / np.float32(65535)) ** np.float32(1 / 78.84375)
    nits = 10000 * (np.maximum(signal - 0.8359375, 0) / (18.8515625 - 18.6875 * signal)) ** np.float32(
        1 / 0.1593017578125
    )
    light = np.maximum((nits / PAPER_WHITE) @ BT2020_TO_SRGB.T, 0)
    light = np.where(light > 0.8, 1 - 0.2 * np.exp(-(light - 0.8) / 0.2), light)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** np.float32(1 / 2.4) - 0.055)
    return (encoded.clip(0, 1) * 255).round().astype(np.uint8)


def _frame_limit(path: Path, width: int, height: int, size: tuple[int, int], max_frames: int, max_pixels: int) -> int:
    if width < 1 or height < 1:
        raise ValueError(f"{path} holds no video with a size")
    if width * height > max_pixels:
        raise ValueError(f"{path} is too large: {width}x{height}, at most {max_pixels} pixels a frame are read")
    return min(max_frames, MAX_BYTES // (size[0] * size[1] * 3))


def _read_picture(
    path: Path, max_frames: int, max_pixels: int, longest_side: int | None
) -> tuple[np.ndarray, float, dict[str, str]]:
    """png, jpeg, gif and webp, moving or still."""
    try:
        with Image.open(path, formats=("PNG", "JPEG", "GIF", "WEBP")) as picture:
            count = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)  # phones add a smaller copy
            max_pixels = MAX_PICTURE if longest_side and count == 1 else max_pixels
            limit = _frame_limit(path, *picture.size, _shrunk(*picture.size, longest_side), max_frames, max_pixels)
            if count > limit:
                raise ValueError(f"{path} is too long: {count} frames, at most {limit} are read")
            frames, durations = [], []
            for index in range(count):
                picture.seek(index)
                upright = _upright(picture)
                frames.append(np.asarray(upright.resize(_shrunk(*upright.size, longest_side))))
                durations.append(picture.info.get("duration", 0))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, EOFError) as error:
        raise ValueError(f"{path} is not a readable picture: {error}") from error
    if not sum(durations):
        return np.stack(frames), 16.0, {}
    frames, fps = _for_as_long(frames, durations, limit)
    return np.stack(frames), fps, {}


def _upright(picture: Image.Image) -> Image.Image:
    """In RGB, turned as its EXIF data says, what is transparent over white; 16-bit grey brought to 8."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float32)
        picture = Image.fromarray((values / max(float(values.max()), 1.0) * 255).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")
