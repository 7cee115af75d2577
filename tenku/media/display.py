"""The one place that turns a decoded frame into what a player shows.

    deinterlaced → the size that is needed, pixels made square → full-range RGB → sRGB (`colour.py`) → over white
    → turned or mirrored

Everything comes out as uint8 H W 3 in full-range sRGB, upright. Still pictures come here too (`picture.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from tenku.media.colour import BT2020, HLG, PQ, PRIMARIES_NAMES, TRANSFER_NAMES, UNSPECIFIED, is_plain, to_srgb

LIMITED_RANGE, FULL_RANGE = 1, 2
ITU601, ITU709 = 5, 1  # swscale's codes for the two matrices of YCbCr that files without a name have
MATRIX_NAMES = {1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020", 10: "BT.2020"}
SideDisplayMatrix = "DISPLAYMATRIX"
# (transposed, mirrored left to right, mirrored top to bottom), after which it is upright -> in words.
ORIENTATIONS = {
    (False, False, False): "upright",
    (False, True, True): "turned by 180°",
    (False, True, False): "mirrored",
    (False, False, True): "mirrored top to bottom",
    (True, True, False): "turned by 90° to the right",
    (True, False, True): "turned by 90° to the left",
    (True, False, False): "mirrored and turned by 90° to the left",
    (True, True, True): "mirrored and turned by 90° to the right",
}
Orientation = tuple[bool, bool, bool]
SizeFn = Callable[[tuple[int, int]], tuple[int, int]]  # of shown (width, height): the one that is needed


@dataclass(frozen=True)
class Look:
    """How the frames of a stream are stored and are to be shown."""

    stored: tuple[int, int]  # width, height in pixels
    pixel_format: str
    pixel_aspect: Fraction = Fraction(1)
    orientation: Orientation = (False, False, False)
    matrix: int = ITU601
    full_range: bool = False
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    is_rgb: bool = False
    alpha: bool = False
    interlaced: bool = False

    @classmethod
    def of(cls, stream: Any, frame: Any) -> "Look":
        """Of a stream with its first frame (`av.VideoFrame`).

        YCbCr is converted by the matrix and range that the file names; where it names none, by custom: BT.709 from 720
        lines on, BT.601 below, limited range.
        """
        kind = frame.format
        matrix = int(frame.colorspace)
        if matrix == UNSPECIFIED or matrix == 0:
            matrix = ITU709 if frame.height >= 720 else ITU601
        primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
        if transfer in (PQ, HLG) and primaries == UNSPECIFIED:
            primaries = BT2020
        return cls(
            stored=(frame.width, frame.height),
            pixel_format=kind.name,
            pixel_aspect=sensible_aspect(stream.sample_aspect_ratio),
            orientation=orientation_of(frame),
            matrix=matrix,
            full_range=int(frame.color_range) == FULL_RANGE or kind.name.startswith("yuvj") or kind.is_rgb,
            primaries=primaries,
            transfer=transfer,
            is_rgb=kind.is_rgb,
            alpha=kind.has_palette or any(component.is_alpha for component in kind.components),
            interlaced=bool(frame.interlaced_frame),
        )

    @cached_property
    def square(self) -> tuple[int, int]:
        """(width, height) with square pixels, before it is turned; no pixel is given away."""
        width, height = self.stored
        if self.pixel_aspect >= 1:
            return max(1, round(width * self.pixel_aspect)), height
        return width, max(1, round(height / self.pixel_aspect))

    @property
    def shown(self) -> tuple[int, int]:
        """(width, height) that a player shows."""
        return self.square[::-1] if self.orientation[0] else self.square

    @property
    def hdr(self) -> bool:
        """Whether it is brighter than a standard screen can show, so that it is tone mapped."""
        return self.transfer in (PQ, HLG)

    @property
    def is_plain(self) -> bool:
        """Whether its RGB values are shown as they are."""
        return is_plain(self.primaries, self.transfer)

    def colour(self) -> str:
        """Its colour in words."""
        primaries = PRIMARIES_NAMES.get(self.primaries, "BT.709 (not named)")
        transfer = TRANSFER_NAMES.get(self.transfer, "SDR")
        values = "RGB" if self.is_rgb else f"YCbCr {MATRIX_NAMES.get(self.matrix, self.matrix)}"
        return f"{values}, {'full' if self.full_range else 'limited'} range, primaries {primaries}, {transfer}"


class Display:
    """A stream's frames as they are shown, each in the size that is needed.

    size_fn: from the shown (width, height) to the one that is needed.
    """

    def __init__(self, look: Look, size_fn: SizeFn) -> None:
        self.look = look
        width, height = size_fn(look.shown)
        self.size = (height, width) if look.orientation[0] else (width, height)  # before it is turned
        self._reformatter = VideoReformatter()

    def show(self, frame: Any) -> np.ndarray:
        """uint8 H W 3 of a decoded, deinterlaced frame."""
        if self.look.alpha:  # before it is scaled: what is hidden must not run into what is seen
            whole = self._over_white(self._rgb(frame, self.look.stored, "rgba" if self.look.is_plain else "rgba64le"))
            if self.size == self.look.stored:
                return upright(whole, self.look.orientation)
            frame = av.VideoFrame.from_ndarray(whole, format="rgb24")
            return upright(self._rgb(frame, self.size, "rgb24"), self.look.orientation)
        rgb = self._rgb(frame, self.size, "rgb24" if self.look.is_plain else "rgb48le")
        if not self.look.is_plain:
            rgb = to_srgb(rgb, self.look.primaries, self.look.transfer)
        return upright(rgb, self.look.orientation)

    def _rgb(self, frame: Any, size: tuple[int, int], kind: str) -> np.ndarray:
        """The frame's R'G'B' at a (width, height) in a pixel format, full range."""
        scaled = size != (frame.width, frame.height)
        range_ = FULL_RANGE if self.look.full_range or frame.format.is_rgb else LIMITED_RANGE
        colour = {} if frame.format.is_rgb else {"src_colorspace": self.look.matrix, "src_color_range": range_}
        converted = self._reformatter.reformat(
            frame,
            *size,
            format=kind,
            dst_color_range=FULL_RANGE,
            interpolation=Interpolation.BICUBIC if scaled else Interpolation.BILINEAR,
            **colour,
        )
        return converted.to_ndarray()

    def _over_white(self, rgba: np.ndarray) -> np.ndarray:
        """uint8 RGB of RGBA, uint8 or uint16."""
        colour, share = rgba[..., :3], rgba[..., 3:] / np.float32(np.iinfo(rgba.dtype).max)
        if not self.look.is_plain:
            colour = to_srgb(colour, self.look.primaries, self.look.transfer)
        return (colour * share + 255 * (1 - share)).round().astype(np.uint8)


def upright(picture: np.ndarray, orientation: Orientation) -> np.ndarray:
    """H W 3 transposed, then mirrored left to right and top to bottom, as the orientation says."""
    transposed, left_right, top_bottom = orientation
    picture = picture.swapaxes(0, 1) if transposed else picture
    picture = picture[:, ::-1] if left_right else picture
    return picture[::-1] if top_bottom else picture


def orientation_of(frame: Any) -> Orientation:
    """The nearest of eight to a frame's display matrix: x' = a x + c y, y' = b x + d y, all in 1/65536."""
    side = frame.side_data.get(SideDisplayMatrix)
    if side is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(side), "<i4")[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def sensible_aspect(aspect: Fraction | None) -> Fraction:
    """Width over height of a pixel; 1 where none is named, or one that no camera makes."""
    return aspect if aspect and Fraction(1, 8) <= aspect <= 8 else Fraction(1)


def deinterlaced(stream: Any, frames: Iterator[Any]) -> Iterator[Any]:
    """Frames as they come; from the first interlaced one on, those that are interlaced made whole (bwdif)."""
    graph = None
    for frame in frames:
        if graph is None:
            if not frame.interlaced_frame or frame.format.is_rgb:
                yield frame
                continue
            graph = bwdif(stream, frame)
        graph.vpush(frame)
        yield from pulled(graph)
    if graph is not None:
        graph.vpush(None)
        yield from pulled(graph)


def bwdif(stream: Any, frame: Any) -> Any:
    """A filter graph that gives one frame for each, of the frame's size and format."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or stream.time_base
    )
    filter_ = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    graph.link_nodes(source, filter_, graph.add("buffersink")).configure()
    return graph


def pulled(graph: Any) -> Iterator[Any]:
    """Frames that a filter graph has ready."""
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
