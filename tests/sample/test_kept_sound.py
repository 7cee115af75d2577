"""Where frames of a given clip are kept, its sound is kept beside them; what is made is silent."""

from pathlib import Path

import av
import numpy as np
import pytest

from tenku.cli import main
from tenku.media.clip import Clip
from tenku.media.sound import FADE, RATE, beside, cut, read_sound
from tenku.media.writer import VideoWriter, write_video
from tenku.sample import edits, recut
from tenku.sample.pipeline import Pipeline
from tenku.sample.storyboard import Card, Storyboard, render_storyboard

FPS = 16


@pytest.fixture(scope="module")
def pipeline(tiny_folder: Path) -> Pipeline:
    return Pipeline.load(tiny_folder)


def tone(seconds: float, hertz: float = 440.0) -> np.ndarray:
    wave = 8000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)
    return np.stack([wave, wave / 2], axis=1).round().astype(np.int16)


def loud(seconds: float = 1.0, hertz: float = 440.0) -> Clip:
    """A clip of noise with a tone."""
    frames = np.random.default_rng(0).integers(0, 255, (round(seconds * FPS), 64, 64, 3), np.uint8)
    return Clip(frames, FPS, sound=tone(seconds, hertz))


def is_heard(sound: np.ndarray, start: float, end: float) -> bool:
    """Whether a part, a twentieth of a second off its ends, is loud all the time; ValueError when only at times."""
    part = sound[round((start + 0.05) * RATE) : round((end - 0.05) * RATE)].astype(float)
    loudness = np.sqrt((part[: len(part) // 480 * 480] ** 2).reshape(-1, 480 * 2).mean(1))
    if loudness.min() > 2000:
        return True
    assert loudness.max() < 400, "heard at times"
    return False


def test_an_mp4_keeps_its_sound_in_step(tmp_path):
    """A click at 0.5 s is at 0.5 s again, within a frame of the codec's own delay."""
    click = np.zeros((RATE, 2), np.int16)
    click[RATE // 2 : RATE // 2 + 480] = 20000
    write_video(tmp_path / "a.mp4", loud().frames, FPS, sound=click)
    back = Clip.load(tmp_path / "a.mp4").sound
    assert back is not None and back.shape == (RATE, 2)
    assert abs(int(np.abs(back[:, 0].astype(int)).argmax()) - RATE // 2) < 480 + 240
    write_video(tmp_path / "b.mp4", loud().frames, FPS, sound=click)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_sound_of_another_kind_comes_as_stereo_at_48_khz(tmp_path):
    """Mono at 22,050 Hz that begins a quarter of a second late and goes on after the last frame."""
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        video, sound = (
            container.add_stream("libx264", rate=FPS),
            container.add_stream("pcm_s16le", rate=22050, layout="mono"),
        )
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        for array in loud().frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(video.encode())
        frame = av.AudioFrame.from_ndarray(tone(2)[:44100, :1].T.copy(), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 22050, 22050 // 4
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    back = Clip.load(tmp_path / "a.mkv").sound
    assert back is not None and back.shape == (RATE, 2)
    assert not is_heard(back, 0, 0.25) and is_heard(back, 0.25, 1)


def test_what_has_no_sound_has_none(tmp_path):
    Clip(loud().frames, FPS).save(tmp_path / "a.mp4")
    assert Clip.load(tmp_path / "a.mp4").sound is None
    loud().save(tmp_path / "a.gif")
    assert Clip.load(tmp_path / "a.gif").sound is None
    assert read_sound(tmp_path / "a.gif", 0, 1) is None


def test_a_part_fades_where_it_is_cut():
    part = cut(tone(1), 0.25, 0.5)
    assert len(part) == RATE // 2 and not part[0].any() and not part[-1].any()
    assert np.array_equal(part[FADE:-FADE], tone(1)[RATE // 4 + FADE : RATE * 3 // 4 - FADE])
    assert np.array_equal(cut(tone(1), 0, 2)[:RATE], tone(1)) and not cut(tone(1), 0, 2)[RATE:].any()
    clip = loud().part(4, 8)
    assert clip.num_frames == 4 and clip.sound is not None and len(clip.sound) == RATE // 4


def test_silence_is_where_nothing_is_heard():
    whole = beside(32, FPS, [(8, tone(0.5)), (24, None)])
    assert whole is not None and len(whole) == 2 * RATE
    assert [is_heard(whole, *span) for span in ((0, 0.5), (0.5, 1), (1, 2))] == [False, True, False]
    assert beside(32, FPS, [(0, None)]) is None


def test_extend_keeps_it(pipeline):
    stream = edits.extend(pipeline, "a ball", loud(), forward=0.5, backward=0.25, seed=1, steps=1)
    sound, count = stream.sound, stream.clip().num_frames
    assert sound is not None and len(sound) == round(count / FPS * RATE)
    assert [is_heard(sound, *span) for span in ((0, 0.25), (0.25, 1.25), (1.25, 1.75))] == [False, True, False]


def test_of_a_clip_that_is_trimmed_the_kept_end_is_heard(pipeline):
    """18 frames: two of them are given up, at the start when it is extended forward."""
    clip = loud(18 / FPS)
    clip.sound[: RATE * 2 // FPS] = 0
    stream = edits.extend(pipeline, "a ball", clip, forward=0.25, seed=1, steps=1)
    assert is_heard(stream.sound, 0, 1) and not is_heard(stream.sound, 1, 1.25)
    clip = loud(18 / FPS)
    clip.sound[-RATE * 2 // FPS :] = 0
    stream = edits.extend(pipeline, "a ball", clip, backward=0.25, seed=1, steps=1)
    assert not is_heard(stream.sound, 0, 0.25) and is_heard(stream.sound, 0.25, 1.25)


def test_connect_keeps_both(pipeline):
    silent = Clip(loud().frames, FPS)
    stream = edits.connect(pipeline, "a ball", loud(), loud(0.5), 0.5, seed=1, steps=1)
    assert [is_heard(stream.sound, *span) for span in ((0, 1), (1, 1.5), (1.5, 2))] == [True, False, True]
    stream = edits.connect(pipeline, "a ball", silent, loud(0.5), 0.5, seed=1, steps=1)
    assert [is_heard(stream.sound, *span) for span in ((0, 1.5), (1.5, 2))] == [False, True]


def test_loop_keeps_it_and_remix_does_not(pipeline):
    stream = edits.loop(pipeline, "a ball", loud(), seconds=0.5, seed=1, steps=1)
    assert is_heard(stream.sound, 0, 1) and not is_heard(stream.sound, 1, 1.5)
    assert edits.loop(pipeline, "a ball", seconds=0.5, seed=1, steps=1).sound is None
    assert edits.remix(pipeline, "a ball", loud(), 0.5, seed=1, steps=1).sound is None


def test_a_storyboard_keeps_what_stands_on_it(pipeline):
    board = Storyboard(2.0, (Card(0, "a ball"), Card(1, "a cube", loud(0.5))))
    stream = render_storyboard(pipeline, board, seed=1, steps=1)
    assert [is_heard(stream.sound, *span) for span in ((0, 1), (1, 1.5), (1.5, 2))] == [False, True, False]


def test_a_video_that_is_cut_anew_takes_its_sound_along():
    board = recut.over(Storyboard(2.0, (Card(0, "a ball"),)), loud(2))
    board = recut.insert(recut.trim(board, 0.5, 1.5), 0.5, 0.5, "a cube")
    lengths = [0 if card.given is None or card.given.sound is None else len(card.given.sound) for card in board.cards]
    assert lengths == [RATE // 2, 0, RATE // 2]


@pytest.mark.parametrize("rate", [24, 30000 / 1001])
def test_at_another_rate_it_stays_in_step(rate, pipeline, tmp_path):
    frames = np.zeros((round(rate), 64, 64, 3), np.uint8)
    sound = tone(round(rate) / rate)
    sound[: RATE // 2] = 0
    with VideoWriter(tmp_path / "a.mp4", rate, sound=sound) as writer:
        writer.write(frames)
    clip = Clip.load(tmp_path / "a.mp4")
    stream = edits.extend(pipeline, "a ball", clip, forward=0.25, seed=1, steps=1)
    assert not is_heard(stream.sound, 0, 0.5) and is_heard(stream.sound, 0.5, 1)


def test_the_commands(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    loud().save("a.mp4")
    common = ["a ball", "--model", str(tiny_folder), "--steps", "1", "--seed", "1"]
    assert main(["extend", "a.mp4", *common, "--forward", "0.5", "--out", "b.mp4"]) == 0
    heard = Clip.load("b.mp4").sound
    assert is_heard(heard, 0, 1) and not is_heard(heard, 1, 1.5)
    assert "sound" not in capsys.readouterr().err
    assert main(["extend", "a.mp4", *common, "--forward", "0.5", "--out", "c.mp4", "--mute"]) == 0
    assert Clip.load("c.mp4").sound is None
    assert main(["extend", "a.mp4", *common, "--forward", "0.5", "--out", "d.gif"]) == 0
    assert capsys.readouterr().err.count("note: the sound is left out of the .gif") == 1
    assert main(["remix", "a.mp4", *common, "--out", "e.mp4"]) == 0
    assert capsys.readouterr().err.count("note: the sound of a.mp4 is left out") == 1
    Path("board.toml").write_text('seconds = 1\n[[card]]\nat = 0\nprompt = "a ball"\nclip = "a.mp4"\n')
    assert main(["storyboard", "board.toml", *common[1:], "--out", "f.mp4"]) == 0
    assert is_heard(Clip.load("f.mp4").sound, 0, 1)
