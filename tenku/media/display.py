"""What a decoded frame shows on a standard screen: rotation, colour matrix and range, HDR, alpha, and when it shows it.

Everything comes out as uint8 H W 3 in full-range sRGB, upright.
"""

from typing import Any

import numpy as np
from PIL import Image, ImageOps

# Codes of ITU-T H.273 as files carry them, and swscale's for the two matrices of YCbCr.
LIMITED_RANGE, FULL_RANGE = 1, 2
UNSPECIFIED = 2
BT709 = 1  # primaries, transfer curve and matrix
PQ = 16  # SMPTE ST 2084, the transfer curve of HDR10
ITU601, ITU709 = 5, 1

PAPER_WHITE = 203.0  # nits of diffuse white in HDR (ITU-R BT.2408)
BT2020_TO_SRGB = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
MOST_REPEATED = 20  # times that a frame of a moving picture is repeated in the mean, to be shown for its time


def frame_to_rgb(frame: Any, size: tuple[int, int]) -> np.ndarray:
    """A decoded video frame (`av.VideoFrame`) at (width, height), then turned upright by its display matrix.

    YCbCr is converted by the matrix and range that the file names; where it names none, by custom: BT.709 from 720
    lines on, BT.601 below, limited range. PQ is tone mapped; HLG is shown as it is, as it was made for SDR screens.
    """
    return np.rot90(_to_rgb(frame, size), round(frame.rotation / 90))


def _to_rgb(frame: Any, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    if frame.format.is_rgb:
        return frame.to_ndarray(format="rgb24", width=width, height=height)
    matrix = int(frame.colorspace)
    if matrix == UNSPECIFIED or matrix == 0:
        matrix = ITU709 if frame.height >= 720 else ITU601
    limited = int(frame.color_range) != FULL_RANGE and not frame.format.name.startswith("yuvj")
    hdr = int(frame.color_trc) == PQ
    converted = frame.reformat(
        width=width,
        height=height,
        format="rgb48le" if hdr else "rgb24",
        src_colorspace=matrix,
        src_color_range=LIMITED_RANGE if limited else FULL_RANGE,
        dst_color_range=FULL_RANGE,
    )
    return tone_map(converted.to_ndarray()) if hdr else converted.to_ndarray()


def tone_map(picture: np.ndarray) -> np.ndarray:
    """HDR to SDR: uint16 H W 3 in PQ and BT.2020 (ITU-R BT.2100) to uint8 sRGB.

    Light up to 0.8 of paper white (203 nits) keeps its place; what is brighter is rolled off towards white.
    """
    signal = (picture / np.float32(65535)) ** np.float32(1 / 78.84375)
    nits = 10000 * (np.maximum(signal - 0.8359375, 0) / (18.8515625 - 18.6875 * signal)) ** np.float32(
        1 / 0.1593017578125
    )
    light = np.maximum((nits / PAPER_WHITE) @ BT2020_TO_SRGB.T, 0)
    light = np.where(light > 0.8, 1 - 0.2 * np.exp(-(light - 0.8) / 0.2), light)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** np.float32(1 / 2.4) - 0.055)
    return (encoded.clip(0, 1) * 255).round().astype(np.uint8)


def picture_to_rgb(picture: Image.Image) -> Image.Image:
    """A picture in RGB: turned by its EXIF orientation, composed over white by its alpha; 16-bit grey brought to 8."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float32)
        picture = Image.fromarray((values / max(float(values.max()), 1.0) * 255).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def at_even_times(frames: list[np.ndarray], times: list[float], rate: float) -> list[np.ndarray]:
    """The frames of a file with a variable frame rate as its average rate shows them; others stay as they are.

    times: seconds of each frame, below 0 where unknown; rate: frames a second.
    """
    steps = np.diff(times)
    if len(times) < 3 or min(times) < 0 or steps.min() <= 0 or steps.max() - steps.min() < 0.5 / rate:
        return frames
    moments = times[0] + np.arange(len(frames)) * (times[-1] - times[0]) / (len(frames) - 1)
    return [frames[index] for index in np.searchsorted(times, moments + 1e-6, side="right") - 1]


def for_durations(frames: list[np.ndarray], milliseconds: list[float], limit: int) -> tuple[list[np.ndarray], float]:
    """Frames of a gif or webp, each shown for its own time, as a video of a constant rate: (frames, fps).

    At most `limit` frames. A duration of at most 10 ms counts as 100, as in browsers. No frame is left out unless its
    time is less than a part in MOST_REPEATED of the mean one.
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
