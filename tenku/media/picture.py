"""Read pictures, still or moving, as a browser shows them: png, jpeg, gif, webp, avif and (with an extra) heic."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from tenku.media.display import SizeFn
from tenku.media.limits import MAX_PIXELS, check_pixels, frame_limit
from tenku.media.remembered import from_picture
from tenku.media.timing import for_durations, seen_at, shown_for
from tenku.system.machine import install_command

# Of EXIF's tag 0x0112: transposed, mirrored left to right, mirrored top to bottom, as in `display.py`.
EXIF_ORIENTATIONS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
STILL_FPS = 16.0  # of a picture that names no time
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "HEIF")
# Brands of ISO containers (ftyp) that hold pictures, which a video player would show a tile of.
AVIF_BRANDS, HEIF_BRANDS = (b"avif", b"avis"), (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
SRGB = ImageCms.createProfile("sRGB")


def is_picture(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a picture (RIFF also holds avi and wav, ftyp videos)."""
    return (
        start.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8"))
        or (start.startswith(b"RIFF") and start[8:12] == b"WEBP")
        or iso_kind(start) is not None
    )


def iso_kind(start: bytes) -> str | None:
    """ "AVIF" or "HEIF" for the pictures that lie in an ISO container, else None."""
    brand = start[8:12] if start[4:8] == b"ftyp" else b""
    compatible = {start[index : index + 4] for index in range(16, min(len(start), int.from_bytes(start[:4], "big")), 4)}
    if brand in AVIF_BRANDS or (brand in (b"mif1", b"msf1") and compatible & {*AVIF_BRANDS}):
        return "AVIF"
    return "HEIF" if brand in HEIF_BRANDS else None


def read_picture(
    path: Path, max_frames: int, max_pixels: int, size_fn: SizeFn, fps: float | None, *, first_only: bool
) -> tuple[np.ndarray, float, dict[str, str]]:
    """(frames uint8 T H W 3, fps, metadata). Arguments and errors as of `read_footage`.

    max_pixels: of a still picture; a moving one is held to a video's, since all of its frames are kept.
    """
    frames: list[np.ndarray] = []
    durations: list[float] = []
    with opened_picture(path) as picture:
        moving = is_moving(picture) and not first_only
        check_pixels(path, *picture.size, min(max_pixels, MAX_PIXELS) if moving else max_pixels)
        limit = frame_limit(size_fn(picture.size), max_frames)
        for index in range(limit + 1 if moving else 1):
            try:
                picture.seek(index)
            except EOFError:
                break
            if index == limit:
                raise ValueError(f"{path} is too long: more than {limit} frames")
            picture.load()
            durations.append(float(picture.info.get("duration", 0) or 0))
            shown = shown_picture(picture)
            frames.append(np.asarray(shown.resize(size_fn(shown.size), Image.Resampling.LANCZOS)))
        metadata = from_picture(picture)
    if len(frames) == 1:
        return np.stack(frames), fps or STILL_FPS, metadata
    durations = shown_for(durations)
    if fps is None:
        frames, fps = for_durations(frames, durations, limit)
        return np.stack(frames), fps, metadata
    if sum(durations) / 1000 * fps > limit:
        raise ValueError(f"{path} is too long: {sum(durations) / 1000:.0f} s, at most {limit / fps:.0f} s are read")
    starts = np.cumsum([0, *durations[:-1]])
    timed = ((a / 1000, b / 1000, frame) for a, b, frame in zip(starts, durations, frames, strict=True))
    return np.stack(list(seen_at(timed, fps))), fps, metadata


@contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """A picture, open while the block runs. Whatever its decoder says about damage is one line, a ValueError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken EXIF, which is passed over
            with Image.open(path, formats=formats_for(path)) as picture:
                yield picture
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly every kind
        told = " ".join(str(error).split())
        if isinstance(error, ValueError) and str(path) in told:
            raise
        raise ValueError(f"{path} is not a readable picture: {told or type(error).__name__}") from error


def formats_for(path: Path) -> list[str]:
    """The formats that this installation reads. ValueError: the file is of another one."""
    kind = iso_kind(path.open("rb").read(64))
    if kind == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            raise ValueError(
                f"{path} is a HEIC picture: {install_command('heif')} to read it, or save it as jpeg or png"
            ) from None
        pillow_heif.register_heif_opener()
    Image.init()
    if kind == "AVIF" and "AVIF" not in Image.OPEN:
        raise ValueError(f"{path} is an AVIF picture, which needs Pillow 11.3 or newer; or save it as jpeg or png")
    return [name for name in FORMATS if name in Image.OPEN]


def is_moving(picture: Image.Image) -> bool:
    """Whether it has frames to show one after the other; a phone's second picture (MPO) is only a smaller copy."""
    return picture.format != "MPO" and bool(getattr(picture, "is_animated", False))


def shown_picture(picture: Image.Image) -> Image.Image:
    """A picture in RGB: upright by its EXIF orientation, in sRGB by its colour profile, over white by its alpha.

    16-bit grey is brought to 8 bits by its depth.
    """
    picture = ImageOps.exif_transpose(picture)
    profile = picture.info.get("icc_profile")
    if picture.mode == "F" or picture.mode.startswith("I"):  # of the kinds that are read, only 16-bit grey
        values = np.asarray(picture).astype(np.float32) / 257
        picture = Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    alpha = None
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
    picture = in_srgb(picture, profile)
    if alpha is None:
        return picture
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=alpha)
    return white


def in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB of a picture by its ICC profile; as it is where there is none, or one that does not fit."""
    if profile:
        for mode in (picture.mode, "RGB", "L"):  # a palette's colours are RGB; a grey profile wants grey
            if mode not in ("RGB", "L", "CMYK"):
                continue
            try:
                source = ImageCms.ImageCmsProfile(BytesIO(profile))
                changed = ImageCms.profileToProfile(picture.convert(mode), source, SRGB, outputMode="RGB")
            except (ImageCms.PyCMSError, OSError, ValueError):
                continue
            assert changed is not None
            return changed
    return picture.convert("RGB")
