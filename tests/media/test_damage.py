"""Damaged, endless and absurd files give one line that says what is wrong, in bounded time and memory."""

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tenku.media import reader
from tenku.media.clip import Clip
from tenku.media.describe import describe
from tenku.media.writer import VideoWriter


def noise(count: int = 48, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, height, width, 3), np.uint8)


def encoded(path: Path, codec: str, kind: str, **options: str) -> Path:
    """Noise, so that every part of the file matters; a keyframe every 12 frames."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=16)
        stream.width, stream.height, stream.pix_fmt = 64, 48, kind
        stream.codec_context.gop_size = 12
        for array in noise():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format=kind)))
        container.mux(stream.encode())
    return path


MADE: dict[str, Callable[[Path], Path]] = {
    "mp4": lambda folder: encoded(folder / "a.mp4", "libx264", "yuv420p", movflags="faststart"),
    "mov": lambda folder: encoded(folder / "a.mov", "prores_ks", "yuv422p10le", movflags="faststart"),
    "fragmented mp4": lambda folder: encoded(
        folder / "f.mp4", "libx264", "yuv420p", movflags="frag_keyframe+empty_moov"
    ),
    "mkv": lambda folder: encoded(folder / "a.mkv", "libx264", "yuv420p"),
    "webm": lambda folder: encoded(folder / "a.webm", "libvpx-vp9", "yuv420p"),
}


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_a_file_that_is_cut_names_the_last_frame(kind, share, tmp_path):
    path = MADE[kind](tmp_path)
    assert Clip.load(path).num_frames == 48
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"is damaged after frame \d+") as caught:
        Clip.load(path)
    frame = int(str(caught.value).split("after frame ")[1].split()[0].rstrip(":"))
    assert abs(frame - share * 48) <= 8 and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["mp4", "mov", "fragmented mp4", "mkv"])
def test_a_file_with_a_hole_is_refused(kind, tmp_path):
    path = MADE[kind](tmp_path)
    content = bytearray(path.read_bytes())
    hole = len(content) // 8
    content[len(content) // 2 : len(content) // 2 + hole] = bytes(hole)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged after frame \d+"):
        Clip.load(path)


def test_what_its_index_says_is_known_before_it_is_decoded(tmp_path, monkeypatch):
    path = MADE["mp4"](tmp_path)
    path.write_bytes(path.read_bytes()[: int(0.7 * path.stat().st_size)])
    assert "its bytes end after frame 3" in (describe(path).damage or "")
    monkeypatch.setattr(reader, "decoded", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match="is damaged after frame 3"):
        Clip.load(path)


def test_a_wrong_index_is_damage(tmp_path):
    """Offsets of chunks that point into the middle of other frames."""
    path = MADE["mp4"](tmp_path)
    content = bytearray(path.read_bytes())
    at = content.index(b"stco") + 8
    for index in range(int.from_bytes(content[at : at + 4], "big")):
        place = at + 4 + 4 * index
        content[place : place + 4] = (int.from_bytes(content[place : place + 4], "big") + 777).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged after frame"):
        Clip.load(path)


def test_a_video_that_changes_its_size_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=16)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        packets = []
        for width in (64, 96):
            coder = av.CodecContext.create("mjpeg", "w")
            coder.width, coder.height, coder.pix_fmt, coder.time_base = width, 48, "yuvj420p", Fraction(1, 16)
            for array in noise(4, 48, width):
                packets += coder.encode(av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format="yuvj420p"))
            packets += coder.encode()
        for index, packet in enumerate(packets):
            packet.pts = packet.dts = index
            packet.time_base, packet.stream = Fraction(1, 16), stream
            container.mux(packet)
    with pytest.raises(ValueError, match="changes its size from 64x48 to 96x48 at frame 5"):
        Clip.load(tmp_path / "a.mkv")


def test_ever_so_many_tiny_frames(tmp_path, monkeypatch):
    """Refused by the header where it says how many there are, else where the limit is reached."""
    many = tmp_path / "many.mp4"
    with av.open(str(many), "w") as container:
        stream = container.add_stream("mjpeg", rate=100)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuvj420p"
        packet = next(iter(stream.encode(av.VideoFrame(16, 16, "yuvj420p")) + stream.encode()))
        content = bytes(packet)
        for index in range(25_000):
            each = av.Packet(content)
            each.stream, each.pts, each.dts, each.time_base, each.is_keyframe = (
                stream,
                index,
                index,
                Fraction(1, 100),
                True,
            )
            container.mux(each)
    with monkeypatch.context() as patched:
        patched.setattr(reader, "decoded", lambda *_: iter([(0.0, 0.01, first_frame(many))]))
        with pytest.raises(ValueError, match="too long: 250 s, 25000 frames; at most 20000 frames are read"):
            Clip.load(many)
    monkeypatch.setattr(reader, "MAX_DECODED", 1000)
    with pytest.raises(ValueError, match="too long: more than 1000 frames"):
        Clip.load(many, fps=1)


def first_frame(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "avif"])
def test_a_picture_that_is_cut_is_refused(ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise(1)[0]).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(ValueError, match=f"a.{ending} is not a readable picture") as caught:
        Clip.load(path)
    assert "\n" not in str(caught.value)


def test_a_long_clip_takes_the_memory_of_what_is_kept(tmp_path):
    """Twenty seconds of 640x360 at 60 a second, 830 MB of frames, for a model of 128x128 at 16: 20 MB are kept."""
    with VideoWriter(tmp_path / "a.mp4", 60, preset="ultrafast") as writer:
        picture = np.repeat(np.repeat(noise(1, 45, 80), 8, axis=1), 8, axis=2)
        for shift in range(1200):
            writer.write(np.roll(picture, 4 * shift, axis=2))
    code = """
import resource, sys
from functools import partial
from tenku.media.clip import Clip
from tenku.media.resize import covering
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
clip = Clip.load(sys.argv[1], size_fn=partial(covering, sizes=((128, 128),)), fps=16)
print(clip.num_frames, *clip.size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.mp4")], capture_output=True, text=True, check=True
    )
    frames, width, height, megabytes = map(int, done.stdout.split())
    assert (frames, width, height) == (320, 228, 128)
    assert megabytes < 250
