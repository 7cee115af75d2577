"""How much of a stranger's file is read: frames, pixels and bytes, so that no file can fill the memory."""

from pathlib import Path

MAX_FRAMES = 20_000
MAX_PIXELS = 4096 * 2304  # of one frame
MAX_PICTURE = 2**27  # pixels of a still picture that is made smaller at once: phones take 50 million
MAX_BYTES = 4 * 2**30  # of all decoded frames


def size_within(width: int, height: int, longest_side: int | None) -> tuple[int, int]:
    """(width, height) with no side longer than `longest_side` pixels, in the same proportions; None: as they are."""
    scale = min(1.0, longest_side / max(width, height, 1)) if longest_side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def frame_limit(path: Path, width: int, height: int, size: tuple[int, int], max_frames: int, max_pixels: int) -> int:
    """How many frames of width x height, kept at `size`, may be read from a file. ValueError for too large ones."""
    if width < 1 or height < 1:
        raise ValueError(f"{path} holds no video with a size")
    if width * height > max_pixels:
        raise ValueError(f"{path} is too large: {width}x{height}, at most {max_pixels} pixels a frame are read")
    return min(max_frames, MAX_BYTES // (size[0] * size[1] * 3))
