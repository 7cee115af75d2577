"""How much of a stranger's file is read: frames, pixels and bytes, so that no file can fill the memory."""

from pathlib import Path

MAX_FRAMES = 20_000  # kept
MAX_DECODED = 100_000  # frames, of which those that are needed are kept
MAX_PIXELS = 4096 * 2304  # of one frame
MAX_PICTURE = 2**27  # pixels of a still picture that is made smaller at once: phones take 50 million
MAX_BYTES = 4 * 2**30  # of all kept frames


def size_within(width: int, height: int, longest_side: int | None) -> tuple[int, int]:
    """(width, height) with no side longer than `longest_side` pixels, in the same proportions; None: as they are."""
    scale = min(1.0, longest_side / max(width, height, 1)) if longest_side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def size_covering(width: int, height: int, cover: tuple[int, int]) -> tuple[int, int]:
    """(width, height) made as small as still covers a (width, height), in the same proportions; never larger."""
    scale = min(1.0, max(cover[0] / max(width, 1), cover[1] / max(height, 1)))
    return max(1, round(width * scale)), max(1, round(height * scale))


def check_pixels(path: Path, width: int, height: int, max_pixels: int) -> None:
    """ValueError for frames without a size, and for too large ones."""
    if width < 1 or height < 1:
        raise ValueError(f"{path} holds no video with a size")
    if width * height > max_pixels:
        raise ValueError(f"{path} is too large: {width}x{height}, at most {max_pixels} pixels a frame are read")


def too_long(frames: int | None, seconds: float | None, limit: int, fps: float | None) -> str | None:
    """Why a video of so many frames and seconds (None: not known) is not read at a rate; None: it is.

    limit: frames that are kept. fps: None for the video's own.
    """
    kept = frames or 0 if fps is None else round((seconds or 0) * fps)
    if kept > limit:
        longest = f"{limit} frames" if fps is None else f"{limit / fps:.0f} s"
        return f"{seconds or 0:.0f} s, {frames or kept} frames; at most {longest} are read"
    if (frames or 0) > MAX_DECODED:
        return f"{frames} frames; at most {MAX_DECODED} are decoded"
    return None


def frame_limit(size: tuple[int, int], max_frames: int) -> int:
    """How many frames are kept at most, at a (width, height)."""
    return min(max_frames, MAX_BYTES // (size[0] * size[1] * 3))
