"""Files as people have them: what can be read is read rightly, what cannot is said in one line with nothing written."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tenku.cli import main
from tenku.media.clip import Clip
from tenku.media.resize import at_rate
from tenku.sample.user_frames import LONGEST_SIDE, read_user_clip


def counting(count, height=32, width=48):
    """Frame k has the brightness 8 k; its left third is red."""
    frames = np.repeat((8 * np.arange(count, dtype=np.uint8))[:, None, None, None], 3, axis=-1)
    frames = np.broadcast_to(frames, (count, height, width, 3)).copy()
    frames[:, :, : width // 3] = (220, 30, 30)
    return frames


def encode(path, frames, *, times=None, pixel_format="yuv420p", fps=16, crf="8", colour=None):
    """An mp4 with frames at the given times (milliseconds), in the given pixel format."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": crf, "preset": "ultrafast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        if colour:
            context.color_primaries, context.color_trc, context.colorspace = colour
        context.time_base = Fraction(1, 1000)
        for index, array in enumerate(frames):
            kind = "gray" if array.ndim == 2 else "rgb48le" if array.dtype == np.uint16 else "rgb24"
            frame = av.VideoFrame.from_ndarray(array, format=kind).reformat(format=pixel_format)
            frame.time_base = Fraction(1, 1000)
            frame.pts = round(1000 * index / fps) if times is None else times[index]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_variable_rate_is_shown_at_even_times(tmp_path):
    times = [0, 50, 100, 150, 200, 250, 300, 350, 1350, 2350]  # eight quick frames, then two slow ones
    clip = read_user_clip(encode(tmp_path / "a.mp4", counting(10), times=times))
    shown = at_rate(clip, 10)[:, 0, -1, 0] / 8
    assert abs(len(shown) - 26) <= 3
    assert abs(shown[3] - 6) < 2  # 0.3 s: the seventh frame
    assert all(abs(value - 7) < 1.5 for value in shown[6:12])  # it stays for a second


def test_a_rotated_video_is_upright(tmp_path):
    path = encode(tmp_path / "a.mp4", counting(8))
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    one = (1 << 16).to_bytes(4, "big")
    assert content[matrix : matrix + 4] == one
    minus = (-(1 << 16)).to_bytes(4, "big", signed=True)
    none = bytes(4)
    content[matrix : matrix + 20] = none + one + none + minus + none  # a quarter turn to the right
    path.write_bytes(content)
    clip = read_user_clip(path)
    assert clip.size == (32, 48)
    top, bottom = clip.frames[0, 4, 16].astype(int), clip.frames[0, -4, 16].astype(int)
    assert top[0] > 150 and bottom[0] < 60  # what was left is above


def test_grey_video(tmp_path):
    path = encode(tmp_path / "a.mp4", counting(8)[..., 0].copy(), pixel_format="gray")
    frames = read_user_clip(path).frames
    assert frames.shape == (8, 32, 48, 3) and np.ptp(frames, axis=-1).max() <= 3
    assert abs(int(frames[5, 16, 40, 0]) - (40 - 16) * 255 / 219) < 4  # video range, as none is named


def test_hdr_video_looks_as_on_a_plain_screen(tmp_path):
    """White paper (203 nits) is nearly white, a lamp of 1000 nits no darker, and 20 nits a dark grey."""
    nits = np.array([20.0, 203, 1000]).repeat(16) / 10000
    powered = nits**0.1593017578125
    signal = ((0.8359375 + 18.8515625 * powered) / (1 + 18.6875 * powered)) ** 78.84375
    frame = np.broadcast_to((signal * 65535).astype(np.uint16)[None, :, None], (32, 48, 3))
    frames = np.repeat(frame[None], 4, axis=0).copy()
    path = encode(tmp_path / "a.mp4", frames, pixel_format="yuv420p10le", colour=(9, 16, 9))
    dark, paper, lamp = read_user_clip(path).frames[0, 16, [8, 24, 40]].mean(-1)
    assert 70 < dark < 110 and 225 < paper < 250 and paper < lamp <= 255


def test_large_frames_shrink_while_they_are_read(tmp_path):
    path = encode(tmp_path / "a.mp4", counting(3, 2160, 3840))
    assert read_user_clip(path).size == (LONGEST_SIDE, 720)
    Image.fromarray(counting(1, 2160, 3840)[0]).save(tmp_path / "a.png")
    assert read_user_clip(tmp_path / "a.png").size == (LONGEST_SIDE, 720)
    assert read_user_clip(encode(tmp_path / "b.mp4", counting(3))).size == (48, 32)


def test_photos_of_phones_are_taken(tmp_path):
    large, small = Image.new("RGB", (8064, 6048), (200, 30, 30)), Image.new("RGB", (80, 60))
    large.save(tmp_path / "large.jpg", quality=20)
    assert read_user_clip(tmp_path / "large.jpg").size == (1280, 960)
    large.resize((800, 600)).save(tmp_path / "two.jpg", "MPO", save_all=True, append_images=[small])
    assert read_user_clip(tmp_path / "two.jpg").frames.shape == (1, 600, 800, 3)
    with pytest.raises(ValueError, match="large.jpg is too large: 8064x6048"):
        Clip.load(tmp_path / "large.jpg")  # at full size, that is


def test_a_picture_that_would_not_fit_in_memory_is_refused(tmp_path):
    Image.new("1", (20_000, 10_000)).save(tmp_path / "bomb.png")
    with pytest.raises(ValueError, match="bomb.png is not a readable picture"):
        read_user_clip(tmp_path / "bomb.png")


def test_an_hour_is_too_long():
    hour = Clip(counting(120), 1 / 30)
    with pytest.raises(ValueError, match="a clip of 3600 s is too long: at most 1250 s can be taken up"):
        at_rate(hour, 16)


BAD = {
    "empty.mp4": b"",
    "text.mp4": b"hello\n" * 100,
    "list.mp4": b"ffconcat version 1.0\nfile good.mp4\n",
    "playlist.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ngood.mp4\n#EXT-X-ENDLIST\n",
    "broken.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
}


@pytest.mark.parametrize("name", [*BAD, "half.mp4", "sound.mp4", "missing.mp4", "short.mp4", "hour.mp4"])
def test_no_command_leaves_anything_behind(name, tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Clip(counting(24), 16).save("good.mp4")
    for each, content in BAD.items():
        Path(each).write_bytes(content)
    Path("half.mp4").write_bytes(Path("good.mp4").read_bytes()[:-900])
    encode("short.mp4", counting(1))
    encode("hour.mp4", counting(120), fps=Fraction(1, 30))
    with av.open("sound.mp4", "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    Path("board.toml").write_text(f'seconds = 3\n[[card]]\nat = 0\nprompt = "a ball"\nclip = "{name}"\n')
    before = sorted(path.name for path in tmp_path.iterdir())
    common = ["a ball", "--model", str(tiny_folder), "--steps", "1", "--out", "out.mp4"]
    commands = [
        ["extend", name, *common, "--forward", "1"],
        ["connect", "good.mp4", name, *common],
        ["loop", *common, "--clip", name],
        ["remix", name, *common],
        ["storyboard", "board.toml", *common[1:]],
    ]
    if name not in ("short.mp4", "hour.mp4"):  # whose first frame is a fine picture
        commands += [["animate", name, *common], ["remix", "good.mp4", *common, "--keep", name]]
    else:
        commands = commands[:4] if name == "short.mp4" else commands
    for command in commands:
        assert main(command) == 2, command
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1, (command, err)
        assert sorted(path.name for path in tmp_path.iterdir()) == before, command


def test_a_picture_named_mp4_is_a_picture(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(counting(1, 64, 64)[0]).save("photo.png")
    Path("photo.png").rename("photo.mp4")
    common = ["a ball", "--model", str(tiny_folder), "--steps", "1", "--seconds", "1", "--out", "out.mp4"]
    assert main(["animate", "photo.mp4", *common]) == 0
    assert main(["extend", "photo.mp4", "a ball", "--model", str(tiny_folder), "--forward", "1"]) == 2
    assert "a clip of 1 frames is too short" in capsys.readouterr().err


BOARD = "seconds = 1\n[[card]]\nat = 0\nprompt = 'a ball'\nclip = 'c.mp4'\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["animate", "p.png", "a ball", "--out", "p.mp4", "--png"],
        ["animate", "q.png", "a ball", "--last", "p.png", "--out", "here/../p.png"],
        ["extend", "c.mp4", "a ball", "--forward", "1", "--out", "c.mp4"],
        ["connect", "a.mp4", "c.mp4", "a ball", "--out", "c.mp4"],
        ["loop", "a ball", "--clip", "g.gif", "--out", "g.mp4", "--gif"],
        ["remix", "c.mp4", "a ball", "--keep", "p.png", "--out", "p.png"],
        ["storyboard", "board.toml", "--video", "a.mp4", "--out", "a.mp4"],
        ["storyboard", "board.toml", "--out", "c.mp4"],
        ["sheet", "p.png", "--out", "p.png"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_what_is_given_is_never_written_over(arguments, tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "c.mp4", "g.gif"):
        Clip(counting(16, 64, 64), 16).save(name)
    for name in ("p.png", "q.png"):
        Image.new("RGB", (64, 64), "red").save(name)
    (tmp_path / "here").mkdir()
    (tmp_path / "board.toml").write_text(BOARD)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.*")}
    model = [] if arguments[0] == "sheet" else ["--model", str(tiny_folder), "--steps", "1"]
    assert main([*arguments, *model]) == 2
    error = capsys.readouterr().err
    assert "is one of the files that are read: choose another name with --out" in error and error.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.glob("*.*")} == before


def test_a_moving_picture_shows_each_frame_for_its_time(tmp_path):
    path = tmp_path / "slow.gif"
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[1000, 100, 100], loop=0)
    clip = Clip.load(path)
    assert (clip.num_frames, clip.fps) == (12, pytest.approx(10))
    assert [tuple(frame[0, 0] > 100) for frame in clip.frames[[0, 9, 10, 11]]] == [
        (True, False, False),
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    for durations, count in (([0, 0, 1000], 12), ([10, 10, 200], 4), ([5000, 5000, 20], 60), ([0, 100, 100], 3)):
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
        clip = Clip.load(path)
        assert clip.num_frames == count and clip.frames[0, 0, 0, 0] > 100  # the first one is red
    even = [100] * 3
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=even, loop=0)
    assert Clip.load(path).num_frames == 3


@pytest.mark.parametrize(("name", "content"), [("a.avi", b"RIFF....AVI LIST"), ("a.bmp", b"BM" + bytes(60))])
def test_kinds_that_are_not_read_are_told_those_that_are(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        ValueError, match=r"no video \(mp4, mov, mkv, webm\) and no picture \(png, jpeg, gif, webp, avif, heic\)"
    ):
        read_user_clip(tmp_path / name)
    with pytest.raises(ValueError, match="is a folder: name a file in it"):
        read_user_clip(tmp_path)


def test_a_large_photo_goes_onto_a_sheet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (6000, 4000)).save("photo.jpg")
    assert main(["sheet", "photo.jpg", "--out", "sheet.png"]) == 0
