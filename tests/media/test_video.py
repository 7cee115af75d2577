"""Frames survive their files: colours, order, metadata; and nothing half-written or unsafe gets through."""

import errno
import json
import os
import resource
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import ImageFont

from tenku.media import reader, sheet, writer
from tenku.media.sheet import contact_sheet

COLOURS = {
    "red": (220, 20, 30),
    "green": (20, 200, 40),
    "blue": (30, 40, 210),
    "grey": (128, 128, 128),
    "white": (255,) * 3,
}


def solid(colour: tuple[int, ...], frames: int = 3) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (frames, 32, 48, 3)).copy()


def moving(frames: int = 8, height: int = 32, width: int = 48) -> np.ndarray:
    clip = np.full((frames, height, width, 3), 90, np.uint8)
    for index in range(frames):
        clip[index, 8:20, 2 + 4 * index : 14 + 4 * index] = (200, 60, 40)
    return clip


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))))


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("write", [writer.write_video, writer.write_clip])
def test_colours_come_back(tmp_path: Path, colour: str, write) -> None:
    frames = solid(COLOURS[colour])
    write(tmp_path / "a.mp4", frames, 16)
    back, _, _ = reader.read_video(tmp_path / "a.mp4")
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - frames).max() <= 3


def test_an_mp4_is_what_browsers_play(tmp_path: Path) -> None:
    writer.write_video(tmp_path / "a.mp4", moving(), 16)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        tags = context.color_primaries, context.color_trc, context.colorspace, context.color_range
        assert [int(tag) for tag in tags] == [1, 1, 1, 1]
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_frames_and_rate_come_back_in_order(tmp_path: Path) -> None:
    frames = moving()
    writer.write_clip(tmp_path / "a.mp4", frames, 12.5)
    back, fps, _ = reader.read_video(tmp_path / "a.mp4")
    assert fps == 12.5 and len(back) == len(frames)
    assert psnr(frames, back) > 38
    assert psnr(frames, back[::-1]) < 25


@pytest.mark.parametrize("write", [writer.write_video, writer.write_clip])
def test_the_same_frames_give_the_same_bytes_every_time(tmp_path: Path, write) -> None:
    """Without cpu-independent, x264 gives one of several files, by what lies in memory beside its own."""
    rng = np.random.default_rng(0)
    picture = rng.normal(size=(96, 96, 3)).cumsum(0).cumsum(1)
    picture = (255 * (picture - picture.min()) / np.ptp(picture)).astype(np.uint8)
    frames = np.stack([picture[3 * k : 3 * k + 64, 2 * k : 2 * k + 64] for k in range(8)])
    beside, found = [], set()
    for _ in range(40):
        beside = [rng.bytes(int(rng.integers(1_000, 200_000))), *beside[:20]]
        write(tmp_path / "a.mp4", frames, 16)
        found.add((tmp_path / "a.mp4").read_bytes())
    assert len(found) == 1


def test_a_training_clip_may_be_odd_and_has_the_same_bytes_twice(tmp_path: Path) -> None:
    frames = moving(height=33, width=47)
    for name in ("a.mp4", "b.mp4"):
        writer.write_clip(tmp_path / name, frames, 16)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert reader.read_video(tmp_path / "a.mp4")[0].shape == frames.shape


def test_frames_are_written_as_they_come(tmp_path: Path) -> None:
    """No more than two pieces are alive at a time, however long the video."""
    alive: list[weakref.ref] = []

    def pieces():
        for start in range(0, 64, 4):
            piece = moving(64)[start : start + 4].copy()
            alive.append(weakref.ref(piece))
            assert sum(each() is not None for each in alive) <= 3
            yield piece

    writer.write_video(tmp_path / "a.mp4", pieces(), 16)
    writer.write_video(tmp_path / "b.mp4", moving(64), 16)
    assert np.array_equal(reader.read_video(tmp_path / "a.mp4")[0], reader.read_video(tmp_path / "b.mp4")[0])


def test_a_video_that_is_not_made_to_its_end_is_not_there(tmp_path: Path) -> None:
    def pieces(last):
        yield moving()
        if isinstance(last, Exception):
            raise last
        yield last

    for last in (RuntimeError("out of memory"), moving(height=34), moving().astype(float)):
        with pytest.raises((RuntimeError, ValueError)):
            writer.write_video(tmp_path / "a.mp4", pieces(last), 16)
        assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="T, H, W, 3"):
        writer.write_video(tmp_path / "a.mp4", iter([]), 16)


def test_a_writer_takes_pieces_and_gives_the_bytes_of_the_whole(tmp_path: Path) -> None:
    frames, metadata = moving(8), {"prompt": "a red ball"}
    writer.write_video(tmp_path / "a.mp4", frames, 16, metadata)
    with writer.VideoWriter(tmp_path / "b.mp4", 16, metadata) as file:
        for start, end in ((0, 1), (1, 5), (5, 8)):
            file.write(frames[start:end])
            assert not (tmp_path / "b.mp4").exists()
        assert file.count == 8
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("written", [0, 1], ids=["before the first piece", "after one"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("not of the file")], ids=["ctrl-c", "another error"])
def test_a_writer_leaves_nothing_when_its_block_fails(tmp_path: Path, written: int, error: BaseException) -> None:
    """What failed is told as it was; an older file stays."""
    (tmp_path / "a.mp4").write_bytes(b"older")
    with pytest.raises(type(error)) as caught:
        with writer.VideoWriter(tmp_path / "a.mp4", 16) as file:
            for _ in range(written):
                file.write(moving())
            raise error
    assert caught.value is error
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]


def test_a_writer_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="T, H, W, 3"):
        with writer.VideoWriter(tmp_path / "a.mp4", 16):
            pass
    with pytest.raises(OSError, match="nowhere"):
        with writer.VideoWriter(tmp_path / "nowhere" / "a.mp4", 16):
            raise AssertionError("no work is done for a place that is not there")
    with pytest.raises(ValueError, match="fps"):
        writer.VideoWriter(tmp_path / "a.mp4", 0)
    assert not list(tmp_path.iterdir())


def test_metadata_comes_back(tmp_path: Path) -> None:
    metadata = {"prompt": 'a "red" ball; = 一个红球 🎈', "seed": "7", "settings": json.dumps({"steps": 8})}
    writer.write_video(tmp_path / "a.mp4", moving(), 16, metadata)
    assert reader.read_video(tmp_path / "a.mp4")[2] == metadata


@pytest.mark.parametrize("name, write", [("a.gif", writer.write_gif), ("a.webp", writer.write_webp)])
def test_moving_pictures_come_back(tmp_path: Path, name: str, write) -> None:
    frames = moving()
    write(tmp_path / name, frames, 16)
    back, fps, _ = reader.read_video(tmp_path / name)
    assert back.shape == frames.shape and psnr(frames, back) > 25
    assert fps == pytest.approx(16, rel=0.03)


def test_a_png_comes_back_exactly(tmp_path: Path) -> None:
    writer.write_png(tmp_path / "a.png", moving()[3])
    frames, _, _ = reader.read_video(tmp_path / "a.png")
    assert np.array_equal(frames, moving()[3:4])


def test_a_name_with_a_protocol_in_it_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer.write_clip("pipe:0.mp4", moving(), 16)
    assert len(reader.read_video("pipe:0.mp4")[0]) == 8


# Bad input


def bad_files(folder: Path) -> dict[str, Path]:
    good = folder / "good.mp4"
    writer.write_clip(good, np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), np.uint8), 16)
    content = good.read_bytes()
    files = {
        "missing": None,
        "empty": b"",
        "text": b"hello, I am not a video\n" * 50,
        "ffconcat": b"ffconcat version 1.0\nfile good.mp4\n",
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ngood.mp4\n#EXT-X-ENDLIST\n",
        "head": content[:600],
        "half": content[: len(content) // 2],
        "zeros": bytes(5000),
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    }
    for name, part in files.items():
        if part is not None:
            (folder / f"{name}.mp4").write_bytes(part)
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return {name: folder / f"{name}.mp4" for name in [*files, "sound"]}


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "text", "ffconcat", "playlist", "head", "half", "zeros", "picture", "sound"]
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = bad_files(tmp_path)[kind]
    with pytest.raises(ValueError) as caught:
        reader.read_video(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_too_much_is_refused(tmp_path: Path) -> None:
    writer.write_clip(tmp_path / "a.mp4", moving(), 16)
    with pytest.raises(ValueError, match="too long"):
        reader.read_video(tmp_path / "a.mp4", max_frames=7)
    with pytest.raises(ValueError, match="too large"):
        reader.read_video(tmp_path / "a.mp4", max_pixels=1000)
    writer.write_gif(tmp_path / "a.gif", moving(), 16)
    with pytest.raises(ValueError, match="too long"):
        reader.read_video(tmp_path / "a.gif", max_frames=7)


@pytest.mark.parametrize(
    "frames, fps, expected",
    [
        (moving(height=33), 16, "even"),
        (moving().astype(np.float32), 16, "uint8"),
        (moving()[0], 16, "T, H, W, 3"),
        (moving()[:0], 16, "T, H, W, 3"),
        (moving(), 0, "fps"),
        (moving(), float("nan"), "fps"),
    ],
)
def test_bad_frames_are_refused(tmp_path: Path, frames: np.ndarray, fps: float, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        writer.write_video(tmp_path / "a.mp4", frames, fps)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        writer.write_video(tmp_path / "nowhere" / "a.mp4", moving(), 16)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can write")
@pytest.mark.parametrize("write", [writer.write_video, writer.write_gif, writer.write_webp])
def test_an_unwritable_folder_is_named(write) -> None:
    with pytest.raises(OSError, match="/proc/a.mp4"):
        write(Path("/proc/a.mp4"), moving(), 16)


@pytest.mark.parametrize("name", ["write_video", "write_clip", "write_gif", "write_webp", "write_png"])
def test_a_failure_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "a").write_bytes(b"older")
    monkeypatch.setattr(os, "replace", full)
    arguments = (moving()[0],) if name == "write_png" else (moving(), 16)
    with pytest.raises(OSError, match="No space left"):
        getattr(writer, name)(tmp_path / "a", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"older"


@pytest.mark.parametrize("limit", [10, 1000, 20_000])
def test_a_disk_that_fills_up_while_writing(tmp_path: Path, limit: int) -> None:
    code = """
import numpy as np, sys
from tenku.media import writer
noise = np.random.default_rng(0).integers(0, 255, (24, 64, 64, 3), np.uint8)
try:
    writer.write_video("a.mp4", noise, 16)
except OSError as error:
    sys.exit(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(writer.__file__).parent.parent.parent)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1 and "cannot write a.mp4" in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


# Contact sheets


def test_contact_sheet_shows_first_and_last_frame_of_each_clip() -> None:
    clips = [moving(9), moving(3, height=20, width=30)]
    picture = contact_sheet(clips, columns=3, gap=2)
    assert picture.shape == (2 * 32 + 2, 3 * 48 + 2 * 2, 3)
    assert np.array_equal(picture[:32, :48], clips[0][0])
    assert np.array_equal(picture[:32, 100:148], clips[0][8])
    assert np.array_equal(picture[34:54, 100:130], clips[1][2])


LABELS = ("a red ball", "(Ågypt, jq)", "一个红色的橡胶球", "🎈 " * 300)


def font_of_tall_lines(path: Path, lowest: int, highest: int) -> Path:
    """A font in which every Latin and Chinese sign is a bar between two heights, in thousandths of its size."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, lowest))
    for corner in ((100, highest), (500, highest), (500, lowest)):
        pen.lineTo(corner)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "bar"])
    font.setupCharacterMap(dict.fromkeys([*range(0x21, 0x180), *range(0x4E00, 0x9FA6)], "bar"))
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "bar": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (600, 0), "bar": (600, 100)})
    font.setupHorizontalHeader(ascent=max(highest, 0), descent=min(lowest, 0))
    font.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return path


def check_labels(labels: Sequence[str] = LABELS) -> None:
    """Each label leaves ink in its own row of the sheet, and nowhere else."""
    clips = [moving()] * 3
    plain = contact_sheet(clips, labels=["", "", ""])
    for label in labels:
        labelled = contact_sheet(clips, labels=["", label, ""])
        assert labelled.shape == plain.shape
        changed = np.any(labelled != plain, axis=(1, 2)).nonzero()[0]
        row = 32 + 18 + 2
        assert len(changed) and changed.min() >= row and changed.max() < row + 18


@pytest.mark.parametrize("folders", [sheet.FONT_FOLDERS, ()], ids=["fonts of this machine", "fonts hidden"])
def test_labels_are_drawn_in_any_language(monkeypatch: pytest.MonkeyPatch, folders: tuple[str, ...]) -> None:
    monkeypatch.setattr(sheet, "FONT_FOLDERS", folders)
    sheet._font.cache_clear()
    check_labels()
    sheet._font.cache_clear()


def test_labels_fit_in_every_font(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [path for folder in sheet.FONT_FOLDERS for path in Path(folder).rglob("*.[to]t[fc]")]
    for path in found:
        try:
            sizes = [ImageFont.truetype(str(path), size) for size in range(1, 19)]
        except OSError:
            continue  # pictures instead of outlines
        drawn = [label for label in LABELS if sizes[-1].getmask(label).getbbox()]
        monkeypatch.setattr(sheet, "_font", lambda chinese, size, sizes=sizes: sizes[size - 1])
        check_labels(drawn)


@pytest.mark.parametrize("lowest, highest", [(-1500, 1000), (-4000, -3000), (3000, 4000), (-800, 9000)])
def test_labels_fit_in_fonts_of_tall_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lowest: int, highest: int
) -> None:
    """Found where system fonts are, by its name: low, high, and so tall that only small letters fit."""
    font_of_tall_lines(tmp_path / "NotoSansCJK-tall.ttf", lowest, highest)
    monkeypatch.setattr(sheet, "FONT_FOLDERS", (str(tmp_path),))
    sheet._font.cache_clear()
    assert sheet._font(True, 13).getname()[0] == "NotoSansCJK-tall"
    check_labels(["一个红色的橡胶球", "红 ball"])
    sheet._font.cache_clear()


def test_contact_sheet_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="at least one clip"):
        contact_sheet([])
    with pytest.raises(ValueError, match="1 labels for 2 clips"):
        contact_sheet([moving()] * 2, labels=["a"])
