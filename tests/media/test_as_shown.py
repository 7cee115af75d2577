"""Files as people have them, made here, and what a player shows of them: frames, seconds, size and colours."""

import shutil
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from tenku.media.clip import Clip
from tenku.media.colour import D65, matrix_to_srgb
from tenku.media.limits import size_covering

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg to make files")
RED, GREEN, BLUE, GREY = (200, 30, 30), (30, 160, 60), (40, 60, 190), (128, 128, 128)
# Of a frame in four quarters, none like another: what is where says how it was turned.
QUARTERS = {"top left": RED, "top right": GREEN, "bottom left": BLUE, "bottom right": GREY}
PLACES = {
    "top left": (0.25, 0.25),
    "top right": (0.75, 0.25),
    "bottom left": (0.25, 0.75),
    "bottom right": (0.75, 0.75),
}


@dataclass(frozen=True)
class Shown:
    """What a player shows: frames (None: any number), seconds (from, to), size, colours by place ± so much."""

    frames: int | None
    seconds: tuple[float, float]
    size: tuple[int, int]
    colours: dict[str, tuple[int, int, int]]
    tolerance: int = 4
    frame: int = 0


def quarters(width: int = 64, height: int = 48) -> np.ndarray:
    picture = np.empty((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2], picture[: height // 2, width // 2 :] = RED, GREEN
    picture[height // 2 :, : width // 2], picture[height // 2 :, width // 2 :] = BLUE, GREY
    return picture


def ffmpeg(path: Path, *arguments: str) -> Path:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments, str(path)], check=True, timeout=120)
    return path


def counting_video(folder: Path, seconds: int = 2) -> Path:
    """30 frames a second of 64x48 whose brightness grows by 3 from frame to frame; one keyframe."""
    luma = "format=yuv420p,geq=lum=20+3*N:cb=128:cr=128"
    source = f"color=black:s=64x48:r=30:d={seconds},{luma}"
    return ffmpeg(folder / "counting.mp4", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-qp", "4", "-g", "90")


def grey_of(luma: int) -> tuple[int, int, int]:
    return (round((luma - 16) * 255 / 219),) * 3


def everywhere(colour: tuple[int, int, int]) -> dict[str, tuple[int, int, int]]:
    return dict.fromkeys(PLACES, colour)


# ----------------------------------------------------------------------------------------------------------
# what a file shows is not what it stores


def trimmed(folder: Path) -> Path:
    return ffmpeg(folder / "trim.mp4", "-ss", "0.5", "-i", str(counting_video(folder)), "-c", "copy")


def open_group(folder: Path) -> Path:
    """Cut at a keyframe whose group is open: the frames that lead up to it cannot be decoded whole."""
    source = "testsrc2=s=64x48:r=30:d=4"
    given = ("-c:v", "libx264", "-g", "20", "-x264-params", "open-gop=1:bframes=3", "-pix_fmt", "yuv420p")
    whole = ffmpeg(folder / "open.mp4", "-f", "lavfi", "-i", source, *given)
    return ffmpeg(folder / "cut.mkv", "-ss", "1.5", "-i", str(whole), "-c", "copy")


def uneven(folder: Path) -> Path:
    """The first ten frames last 50 ms, the others 150 ms: brightness says which is seen."""
    source = "color=black:s=64x48:r=20:d=2,format=yuv420p,geq=lum=20+4*N:cb=128:cr=128"
    times = "setpts='if(lt(N,10),0.05*N,0.5+0.15*(N-10))/TB'"
    given = ("-fps_mode", "vfr", "-enc_time_base", "1/1000", "-c:v", "libx264", "-qp", "4")
    return ffmpeg(folder / "uneven.mkv", "-f", "lavfi", "-i", source, "-vf", times, *given)


def jittered(folder: Path) -> Path:
    source, times = "testsrc2=s=64x64:r=30:d=2", "setpts='(N*0.1+0.03*random(1))/TB'"
    return ffmpeg(
        folder / "jit.mkv",
        "-f",
        "lavfi",
        "-i",
        source,
        "-vf",
        times,
        "-vsync",
        "vfr",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
    )


def pixels_4_3(folder: Path) -> Path:
    source = "testsrc2=s=720x576:r=25:d=1"
    return ffmpeg(
        folder / "sar.mp4", "-f", "lavfi", "-i", source, "-vf", "setsar=64/45", "-c:v", "libx264", "-pix_fmt", "yuv420p"
    )


def narrow_pixels(folder: Path) -> Path:
    source = "color=red:s=64x48:r=25:d=1"
    return ffmpeg(
        folder / "sar.mkv", "-f", "lavfi", "-i", source, "-vf", "setsar=1/2", "-c:v", "libx264", "-pix_fmt", "yuv420p"
    )


def interlaced(folder: Path) -> Path:
    """A bar that moves 8 pixels a field, woven: combs where it is not deinterlaced."""
    source = "color=black:s=128x96:r=50:d=1,format=yuv420p,geq=lum='if(between(X,8*N,8*N+24),235,16)':cb=128:cr=128"
    given = (
        "-vf",
        "interlace=scan=tff:lowpass=0",
        "-c:v",
        "libx264",
        "-qp",
        "4",
        "-flags",
        "+ilme+ildct",
        "-x264opts",
        "tff=1",
    )
    return ffmpeg(folder / "i50.mp4", "-f", "lavfi", "-i", source, *given)


def cover_first(folder: Path) -> Path:
    Image.new("RGB", (96, 96), "blue").save(folder / "cover.png")
    counting = counting_video(folder)
    inputs = ("-i", str(folder / "cover.png"), "-i", str(counting), "-map", "0:v", "-map", "1:v")
    return ffmpeg(
        folder / "cover.mkv", *inputs, "-c:v:0", "mjpeg", "-c:v:1", "copy", "-disposition:v:0", "attached_pic"
    )


def cover_in_mp4(folder: Path) -> Path:
    Image.new("RGB", (96, 96), "blue").save(folder / "cover.png")
    inputs = ("-i", str(folder / "cover.png"), "-i", str(counting_video(folder)), "-map", "0:v", "-map", "1:v")
    return ffmpeg(folder / "cover.mp4", *inputs, "-c:v:0", "png", "-c:v:1", "copy", "-disposition:v:0", "attached_pic")


def two_tracks(folder: Path) -> Path:
    """A small preview first, then the film, which is the default."""
    inputs = (
        "-f",
        "lavfi",
        "-i",
        "color=blue:s=32x32:r=30:d=2",
        "-i",
        str(counting_video(folder)),
        "-map",
        "0:v",
        "-map",
        "1:v",
    )
    return ffmpeg(folder / "two.mkv", *inputs, "-c:v:0", "libx264", "-c:v:1", "copy", "-disposition:v:0", "0")


# ----------------------------------------------------------------------------------------------------------
# colour, alpha


def tagged(
    path: Path,
    picture: np.ndarray,
    primaries: int,
    transfer: int,
    matrix: int,
    *,
    kind: str = "yuv444p10le",
    codec: str = "libx264",
) -> Path:
    """A video of R'G'B' values (uint16 H W 3) with these codes of H.273."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16, options={"qp": "0"} if codec == "libx264" else {})
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = kind
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = (
            primaries,
            transfer,
            matrix,
            1,
        )
        for _ in range(4):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb48le")
            space = {1: 1, 6: 5, 9: 9}[matrix]
            container.mux(
                stream.encode(frame.reformat(format=kind, dst_colorspace=space, src_color_range=2, dst_color_range=1))
            )
        container.mux(stream.encode())
    return path


def flat16(colour: tuple[float, float, float]) -> np.ndarray:
    """16-bit R'G'B' of values from 0 to 1."""
    return np.broadcast_to((np.array(colour) * 65535).round().astype(np.uint16), (48, 64, 3)).copy()


def hlg_white(folder: Path) -> Path:
    return tagged(folder / "hlg.mp4", flat16((0.75,) * 3), 9, 18, 9)  # BT.2408: diffuse white is 75 % of HLG's signal


def pq_white(folder: Path) -> Path:
    return tagged(folder / "pq.mp4", flat16((0.5806888810416109,) * 3), 9, 16, 9)  # 203 nits (ST 2084)


def pq_without_primaries(folder: Path) -> Path:
    return tagged(folder / "pq.mp4", flat16((0.5806888810416109,) * 3), 2, 16, 9)


def hlg_by_ffmpeg(folder: Path) -> Path:
    luma = "format=yuv420p10,geq=lum=721:cb=512:cr=512"
    tags = ("-color_primaries", "bt2020", "-color_trc", "arib-std-b67", "-colorspace", "bt2020nc")
    params = "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc:log-level=none"
    source = f"color=black:s=64x64:r=16:d=1,{luma}"
    return ffmpeg(folder / "hlg.mov", "-f", "lavfi", "-i", source, "-c:v", "libx265", "-x265-params", params, *tags)


def wide(primaries: int, transfer: int = 1, matrix: int = 1) -> Callable[[Path], Path]:
    """A video that shows sRGB's (200, 30, 30) and is stored in other primaries, SDR."""

    def make(folder: Path) -> Path:
        light = to_light(np.array(RED) / 255)
        stored = np.linalg.inv(matrix_to_srgb(primaries).astype(float)) @ light
        return tagged(folder / "wide.mp4", flat16(tuple(to_signal(stored))), primaries, transfer, matrix)

    return make


def to_light(signal: np.ndarray) -> np.ndarray:
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def to_signal(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055).clip(0, 1)


def plain_709(folder: Path) -> Path:
    return tagged(folder / "plain.mp4", flat16(tuple(np.array(RED) / 255)), 1, 1, 1)


def with_alpha(codec: str, kind: str, ending: str) -> Callable[[Path], Path]:
    """Left half red, right half a blue that nobody is to see."""

    def make(folder: Path) -> Path:
        picture = np.zeros((48, 64, 4), np.uint8)
        picture[:, :32], picture[:, 32:] = (*RED, 255), (0, 0, 255, 0)
        with av.open(str(folder / f"alpha{ending}"), "w") as container:
            stream = container.add_stream(codec, rate=16)
            stream.height, stream.width, stream.pix_fmt = 48, 64, kind
            if codec == "libvpx-vp9":
                stream.options = {"auto-alt-ref": "0", "crf": "10", "b": "0"}
                stream.metadata["alpha_mode"] = "1"
            for _ in range(4):
                frame = av.VideoFrame.from_ndarray(picture, format="rgba")
                container.mux(stream.encode(frame.reformat(format=kind)))
            container.mux(stream.encode())
        return folder / f"alpha{ending}"

    return make


LEFT_RED = {"top left": RED, "bottom left": RED, "top right": (255, 255, 255), "bottom right": (255, 255, 255)}


# ----------------------------------------------------------------------------------------------------------
# pictures


def p3_profile() -> bytes:
    """An ICC profile of Display P3, as phones write it: made from its primaries and sRGB's curve."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    content = bytearray(profile.tobytes())
    to_d50 = d50_from_p3()
    count = int.from_bytes(content[128:132], "big")
    for index in range(count):
        at = 132 + 12 * index
        name, offset = bytes(content[at : at + 4]), int.from_bytes(content[at + 4 : at + 8], "big")
        if name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            column = to_d50[:, "rgb".index(chr(name[0]))]
            content[offset + 8 : offset + 20] = b"".join(
                round(65536 * each).to_bytes(4, "big", signed=True) for each in column
            )
    content[84:100] = bytes(16)  # its digest is another one's
    return bytes(content)


def d50_from_p3() -> np.ndarray:
    """3 3: linear P3 to XYZ at D50 (Bradford), as profiles have it."""
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    corners = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
    columns = np.array([[x, y, 1 - x - y] for x, y in corners]).T
    white = np.array([D65[0] / D65[1], 1, (1 - D65[0] - D65[1]) / D65[1]])
    to_xyz = columns * np.linalg.solve(columns, white)
    gains = (bradford @ [0.9642, 1, 0.8249]) / (bradford @ white)
    return np.linalg.inv(bradford) @ np.diag(gains) @ bradford @ to_xyz


def p3_picture(ending: str) -> Callable[[Path], Path]:
    """Shows sRGB's (200, 30, 30), stored in Display P3: (184, 55, 44)."""

    def make(folder: Path) -> Path:
        stored = np.linalg.inv(matrix_to_srgb(12).astype(float)) @ to_light(np.array(RED) / 255)
        colour = tuple(int(each) for each in (255 * to_signal(stored)).round())
        options = (
            {"quality": 98, "subsampling": 0} if ending == ".jpg" else {"lossless": True} if ending == ".webp" else {}
        )
        Image.new("RGB", (64, 48), colour).save(folder / f"p3{ending}", icc_profile=p3_profile(), **options)
        return folder / f"p3{ending}"

    return make


def p3_with_alpha(folder: Path) -> Path:
    picture = np.array(Image.open(p3_picture(".png")(folder)).convert("RGBA"))
    picture[:, 32:] = (0, 0, 255, 0)
    Image.fromarray(picture).save(folder / "p3a.png", icc_profile=p3_profile())
    return folder / "p3a.png"


def broken_profile(folder: Path) -> Path:
    Image.new("RGB", (64, 48), RED).save(folder / "broken.png", icc_profile=b"no profile at all")
    return folder / "broken.png"


def grey16(value: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        Image.fromarray(np.full((48, 64), value, np.uint16)).save(folder / "g16.png")
        return folder / "g16.png"

    return make


def gif(durations: int | list[int]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pictures = [Image.new("RGB", (64, 48), (0, 0, 25 * index)) for index in range(10)]
        pictures[0].save(folder / "a.gif", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
        return folder / "a.gif"

    return make


def oriented(orientation: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(quarters()).save(folder / "turned.png", exif=exif)
        return folder / "turned.png"

    return make


def animated_png(folder: Path) -> Path:
    pictures = [Image.new("RGBA", (64, 48), (*RED, 255)), Image.new("RGBA", (64, 48), (0, 0, 255, 0))]
    pictures[0].save(folder / "a.png", save_all=True, append_images=pictures[1:], duration=500, blend=0, disposal=1)
    return folder / "a.png"


def avif(folder: Path) -> Path:
    Image.fromarray(quarters()).save(folder / "a.avif", quality=95, subsampling="4:4:4")
    return folder / "a.avif"


def heic(folder: Path) -> Path:
    import pillow_heif

    pillow_heif.register_heif_opener()
    Image.fromarray(quarters(128, 96)).save(folder / "a.heic", quality=95, chroma=444)
    return folder / "a.heic"


STILL = (1 / 16, 1 / 16)
WHITE_246 = (246, 246, 246)
TABLE: dict[str, tuple[Callable[[Path], Path], Shown]] = {
    "hlg white": (hlg_white, Shown(4, (0.25, 0.25), (64, 48), everywhere(WHITE_246), 2)),
    "pq white": (pq_white, Shown(4, (0.25, 0.25), (64, 48), everywhere(WHITE_246), 2)),
    "pq, no primaries": (pq_without_primaries, Shown(4, (0.25, 0.25), (64, 48), everywhere(WHITE_246), 2)),
    "plain 709": (plain_709, Shown(4, (0.25, 0.25), (64, 48), everywhere(RED))),
    "sdr in 2020": (wide(9, 14, 9), Shown(4, (0.25, 0.25), (64, 48), everywhere(RED))),
    "display p3": (wide(12), Shown(4, (0.25, 0.25), (64, 48), everywhere(RED))),
    "dci-p3": (wide(11), Shown(4, (0.25, 0.25), (64, 48), everywhere(RED))),
    "601 of 525 lines": (wide(6, 6, 6), Shown(4, (0.25, 0.25), (64, 48), everywhere(RED))),
    "qtrle with alpha": (with_alpha("qtrle", "argb", ".mov"), Shown(4, (0.25, 0.25), (64, 48), LEFT_RED)),
    "png in mov with alpha": (with_alpha("png", "rgba", ".mov"), Shown(4, (0.25, 0.25), (64, 48), LEFT_RED)),
    "prores 4444": (with_alpha("prores_ks", "yuva444p10le", ".mov"), Shown(4, (0.25, 0.25), (64, 48), LEFT_RED, 6)),
    "vp9 with alpha": (with_alpha("libvpx-vp9", "yuva420p", ".webm"), Shown(4, (0.25, 0.25), (64, 48), LEFT_RED, 8)),
    "p3 png": (p3_picture(".png"), Shown(1, STILL, (64, 48), everywhere(RED), 3)),
    "p3 jpeg": (p3_picture(".jpg"), Shown(1, STILL, (64, 48), everywhere(RED), 4)),
    "p3 webp": (p3_picture(".webp"), Shown(1, STILL, (64, 48), everywhere(RED), 3)),
    "p3 png with alpha": (p3_with_alpha, Shown(1, STILL, (64, 48), LEFT_RED, 3)),
    "broken profile": (broken_profile, Shown(1, STILL, (64, 48), everywhere(RED), 0)),
    "16-bit grey": (grey16(0x4000), Shown(1, STILL, (64, 48), everywhere((64, 64, 64)), 0)),
    "16-bit white": (grey16(0xFFFF), Shown(1, STILL, (64, 48), everywhere((255, 255, 255)), 0)),
    "16-bit black": (grey16(0x0040), Shown(1, STILL, (64, 48), everywhere((0, 0, 0)), 0)),
    "gif of 10 ms": (gif(10), Shown(10, (1.0, 1.0), (64, 48), {"top left": (0, 0, 225)}, 2, frame=9)),
    "gif of 0 ms": (gif(0), Shown(10, (1.0, 1.0), (64, 48), {"top left": (0, 0, 225)}, 2, frame=9)),
    "gif of 20 ms": (gif(20), Shown(10, (0.2, 0.2), (64, 48), {"top left": (0, 0, 225)}, 2, frame=9)),
    "gif of 50 ms": (gif(50), Shown(10, (0.5, 0.5), (64, 48), {"top left": (0, 0, 125)}, 2, frame=5)),
    "animated png": (animated_png, Shown(2, (1.0, 1.0), (64, 48), everywhere((255, 255, 255)), 0, frame=1)),
    "avif": (avif, Shown(1, STILL, (64, 48), QUARTERS, 6)),
    "heic": (heic, Shown(1, STILL, (128, 96), QUARTERS, 6)),
}  # fmt: skip
MADE_BY_FFMPEG: dict[str, tuple[Callable[[Path], Path], Shown]] = {
    "edit list": (trimmed, Shown(45, (1.5, 1.5), (64, 48), everywhere(grey_of(20 + 3 * 15)))),
    "open group": (open_group, Shown(None, (2.4, 2.8), (64, 48), {})),
    "uneven times": (uneven, Shown(None, (4.8, 5.0), (64, 48), {})),
    "jitter": (jittered, Shown(None, (5.9, 6.1), (64, 64), {})),
    "wide pixels": (pixels_4_3, Shown(25, (1.0, 1.0), (1024, 576), {})),
    "narrow pixels": (narrow_pixels, Shown(25, (1.0, 1.0), (64, 96), {})),
    "cover first, mkv": (cover_first, Shown(60, (2.0, 2.0), (64, 48), everywhere(grey_of(20)))),
    "cover, mp4": (cover_in_mp4, Shown(60, (2.0, 2.0), (64, 48), everywhere(grey_of(20)))),
    "preview first": (two_tracks, Shown(60, (2.0, 2.0), (64, 48), everywhere(grey_of(20)))),
    "hlg of libx265": (hlg_by_ffmpeg, Shown(16, (1.0, 1.0), (64, 64), everywhere(WHITE_246), 2)),
}  # fmt: skip


def check(path: Path, shown: Shown) -> Clip:
    clip = Clip.load(path)
    assert shown.frames is None or clip.num_frames == shown.frames
    assert shown.seconds[0] - 0.02 <= clip.seconds <= shown.seconds[1] + 0.02, clip.seconds
    assert clip.size == shown.size
    for place, colour in shown.colours.items():
        x, y = PLACES[place]
        seen = clip.frames[shown.frame, int(y * clip.size[1]), int(x * clip.size[0])]
        assert np.abs(seen.astype(int) - colour).max() <= shown.tolerance, (place, seen.tolist(), colour)
    return clip


@pytest.mark.parametrize("name", TABLE)
def test_a_file_is_read_as_a_player_shows_it(name, tmp_path):
    make, shown = TABLE[name]
    check(make(tmp_path), shown)


@needs_ffmpeg
@pytest.mark.parametrize("name", MADE_BY_FFMPEG)
def test_a_file_of_ffmpeg_is_read_as_a_player_shows_it(name, tmp_path):
    make, shown = MADE_BY_FFMPEG[name]
    check(make(tmp_path), shown)


# x' = a x + c y, y' = b x + d y of the display matrix, as EXIF numbers the eight orientations -> what is seen where.
MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def seen_in(orientation: int) -> list[str]:
    """Names of the stored quarters that are seen top left, top right, bottom left, bottom right (EXIF 2.3, 4.6.4)."""
    grid = np.array([["top left", "top right"], ["bottom left", "bottom right"]])
    turned = {1: grid, 2: grid[:, ::-1], 3: grid[::-1, ::-1], 4: grid[::-1], 5: grid.T}
    turned |= {6: np.rot90(grid, -1), 7: grid[::-1, ::-1].T, 8: np.rot90(grid)}
    return list(turned[orientation].ravel())


@pytest.mark.parametrize("orientation", MATRICES)
@pytest.mark.parametrize("kind", ["picture", "video", "video with square pixels made"])
def test_all_eight_orientations(orientation, kind, tmp_path):
    colours = dict(zip(PLACES, (QUARTERS[name] for name in seen_in(orientation)), strict=True))
    size = (64, 48) if orientation < 5 else (48, 64)
    if kind == "picture":
        check(oriented(orientation)(tmp_path), Shown(1, STILL, size, colours, 0))
        return
    path = tagged(tmp_path / "turned.mp4", np.uint16(257) * quarters().astype(np.uint16), 1, 1, 1)
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = MATRICES[orientation]
    matrix = (a, b, 0, c, d, 0)
    content[at : at + 24] = b"".join((each << 16).to_bytes(4, "big", signed=True) for each in matrix)
    path.write_bytes(content)
    if kind == "video":
        check(path, Shown(4, (0.25, 0.25), size, colours))
        return
    clip = Clip.load(path, size_fn=lambda shown: size_covering(*shown, (24, 24)))  # made smaller before it is turned
    assert min(clip.size) == 24 and sorted(clip.size) == [24, 32]
    for (x, y), colour in zip(PLACES.values(), colours.values(), strict=True):
        assert np.abs(clip.frames[0, int(y * clip.size[1]), int(x * clip.size[0])].astype(int) - colour).max() <= 4


@needs_ffmpeg
def test_each_frame_is_seen_at_its_time(tmp_path):
    """At ten a second, a file whose first frames last 50 ms and whose others last 150."""
    clip = Clip.load(uneven(tmp_path), fps=10)
    assert clip.fps == 10 and 48 <= clip.num_frames <= 50
    brightness = clip.frames[:, 24, 32, 0].astype(float) * 219 / 255 + 16
    seen = (brightness - 20) / 4
    expected = [1, 3, 5, 7, 9, 10, 11, 11, 12, 13]  # at 0.05 s, 0.15 s, …
    assert np.abs(seen[:10] - expected).max() < 0.6


@needs_ffmpeg
def test_interlaced_footage_has_no_combs(tmp_path):
    frames = Clip.load(interlaced(tmp_path)).frames[..., 0].astype(int)
    assert len(frames) == 25
    combs = np.abs(frames[4:12, 1:-1] - (frames[4:12, :-2] + frames[4:12, 2:]) / 2)[:, 8:-8]
    with av.open(str(tmp_path / "i50.mp4")) as container:
        woven = np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(int)
    before = np.abs(woven[4:12, 1:-1] - (woven[4:12, :-2] + woven[4:12, 2:]) / 2)[:, 8:-8]
    assert before.mean() > 5 * combs.mean()


def test_a_picture_of_a_kind_that_cannot_be_read_says_what_would_do(tmp_path, monkeypatch):
    path = tmp_path / "a.heic"
    path.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200))
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(ValueError, match=r"a.heic is a HEIC picture: pip install .*heif"):
        Clip.load(path)


def test_profiles_are_those_of_p3():
    """The test's own profile, by its numbers: Display P3's red in XYZ at D50."""
    assert d50_from_p3()[:, 0] == pytest.approx([0.5151, 0.2412, -0.0011], abs=2e-3)
    assert zlib.crc32(p3_profile()) and Fraction(1, 2)
