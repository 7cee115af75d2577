"""Read pictures, still or moving: png, jpeg, gif and webp."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from tenku.media.display import for_durations, picture_to_rgb
from tenku.media.limits import MAX_PICTURE, frame_limit, size_within

STILL_FPS = 16.0  # of a picture that names no time


def is_picture(start: bytes) -> bool:
    """Whether a file that begins with these 16 bytes is one of the four (RIFF also holds avi and wav)."""
    return start.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8")) or (
        start.startswith(b"RIFF") and start[8:12] == b"WEBP"
    )


def read_picture(
    path: Path, max_frames: int, max_pixels: int, longest_side: int | None
) -> tuple[np.ndarray, float, dict[str, str]]:
    """(frames uint8 T H W 3, fps, no metadata). Arguments and errors as of `read_video`."""
    try:
        with Image.open(path, formats=("PNG", "JPEG", "GIF", "WEBP")) as picture:
            count = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)  # phones add a smaller copy
            max_pixels = MAX_PICTURE if longest_side and count == 1 else max_pixels
            limit = frame_limit(path, *picture.size, size_within(*picture.size, longest_side), max_frames, max_pixels)
            if count > limit:
                raise ValueError(f"{path} is too long: {count} frames, at most {limit} are read")
            frames, durations = [], []
            for index in range(count):
                picture.seek(index)
                shown = picture_to_rgb(picture)
                frames.append(np.asarray(shown.resize(size_within(*shown.size, longest_side))))
                durations.append(picture.info.get("duration", 0))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, EOFError) as error:
        raise ValueError(f"{path} is not a readable picture: {error}") from error
    if not sum(durations):
        return np.stack(frames), STILL_FPS, {}
    frames, fps = for_durations(frames, durations, limit)
    return np.stack(frames), fps, {}
