"""Boards cut anew: cards keep their words, given frames keep their moments, and only the new part is made."""

import numpy as np
import pytest
import torch

import tenku
from tenku.cli import main
from tenku.media.clip import Clip
from tenku.model.autoencoder import to_frames
from tenku.sample import recut
from tenku.sample.storyboard import Card, Storyboard, render_storyboard

A, B, C = "a red ball drops", "a green box slides", "the pyramid topples"
RATE = 16


def counting_clip(seconds):
    """Frame k is k everywhere."""
    count = round(seconds * RATE)
    return Clip(np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(3, axis=-1), RATE)


def told(board):
    """(at, prompt, first and last number of the frames given) of each card."""
    return [
        (card.at, card.prompt, None if card.given is None else tuple(card.given.frames[[0, -1], 0, 0, 0].tolist()))
        for card in board.cards
    ]


BOARD = Storyboard(6.0, (Card(0, A, counting_clip(1)), Card(2, B), Card(3, C, counting_clip(2))))


def test_trim_keeps_what_holds_and_what_is_seen():
    assert told(recut.trim(BOARD, 0, 6)) == told(BOARD)
    assert told(recut.trim(BOARD, 2.5, 4)) == [(0, B, None), (0.5, C, (0, 15))]
    assert told(recut.trim(BOARD, 3.5, 6)) == [(0, C, (8, 31))]
    assert told(recut.trim(BOARD, 0.5, 1)) == [(0, A, (8, 15))]
    assert recut.trim(BOARD, 2.5, 4).seconds == 1.5


def test_insert_moves_what_comes_later():
    new = recut.insert(BOARD, 4, 1.5, "x")
    assert new.seconds == 7.5
    assert told(new) == [*told(BOARD)[:2], (3, C, (0, 15)), (4, "x", None), (5.5, C, (16, 31))]
    assert told(recut.insert(BOARD, 2, 1, "x"))[1:3] == [(2, "x", None), (3, B, None)]
    assert told(recut.insert(BOARD, 0, 1, "x"))[:2] == [(0, "x", None), (1, A, (0, 15))]
    assert told(recut.insert(BOARD, 6, 1, "x"))[-1] == (6, "x", None)


def test_a_finished_video_stands_on_its_board():
    video = counting_clip(6)
    board = recut.insert(recut.trim(recut.over(BOARD, video), 1, 5), 2, 1, "x")
    assert told(board) == [(0, A, (16, 47)), (1, B, None), (2, "x", None), (3, C, (48, 79))]


@pytest.mark.parametrize(
    "start, end, at, seconds", [(1, 2.7, 1.3, 1.5), (1, 2.7, 1.7, 1.5), (0.1, 1.7, 1.6, 1), (0, 3, 2.9, 1)]
)
def test_any_times_come_to_whole_latent_frames(start, end, at, seconds):
    """What was made stays to its last frame, wherever the cuts lie, and only the inserted part is new."""
    whole = Storyboard(3.0, (Card(0, A),))
    cut = recut.trim(recut.over(whole, counting_clip(3.1)), start, end)
    new = recut.insert(cut, min(at, cut.seconds), seconds, "x")
    frames = [card.given.frames[:, 0, 0, 0].tolist() for card in new.cards if card.given is not None]
    together = sum(frames, [])
    assert together == list(range(together[0], together[0] + round(16 * cut.seconds)))
    assert all(len(each) % 4 == 0 for each in frames) and all(card.at % 0.25 == 0 for card in new.cards)
    assert new.seconds - cut.seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "cut, message",
    [
        (lambda: recut.trim(BOARD, 3, 3), "a part from 3 to 3 s is not on a storyboard of 6 s"),
        (lambda: recut.trim(BOARD, 3, 7), "a part from 3 to 7 s"),
        (lambda: recut.trim(BOARD, 3, 3.1), "a part must have at least one latent frame, 0.25 s"),
        (lambda: recut.over(BOARD, counting_clip(0.1)), "a video of 0.12 s is too short"),
        (lambda: recut.insert(BOARD, 7, 1, "x"), "1 s cannot be put at 7 s"),
        (lambda: recut.insert(BOARD, 1, 0, "x"), "0 s cannot be put at 1 s"),
    ],
)
def test_cuts_that_cannot_be(cut, message):
    with pytest.raises(ValueError, match=message):
        cut()


def test_what_was_made_stays(tiny_folder):
    pipeline = tenku.load(tiny_folder, device="cpu")
    with (
        torch.no_grad()
    ):  # no look ahead: what is given comes back exactly, but where it met other frames before the cut
        pipeline.autoencoder.decoder.conv_in.weight[:, pipeline.autoencoder.latent_channels :] = 0
    video = Clip(np.random.default_rng(0).integers(0, 256, (48, 64, 64, 3), dtype=np.uint8), RATE)
    board = recut.insert(recut.over(Storyboard(3.0, (Card(0, A), Card(1, B))), video), 1.5, 1, C)
    made = render_storyboard(pipeline, board, seed=1, steps=2).clip()
    with torch.inference_mode():
        own = to_frames(pipeline.autoencoder.decode(pipeline.engine.encode(video.frames)))
    assert len(made.frames) == 64
    assert np.array_equal(made.frames[:22], own[:22]) and np.array_equal(made.frames[-12:], own[-12:])
    assert [card["prompt"] for card in made.metadata["cards"]] == [A, B, C, B]


def test_the_command(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "board.toml").write_text(f'seconds = 3\n[[card]]\nat = 0\nprompt = "{A}"\n')
    common = ["--model", str(tiny_folder), "--steps", "2", "--size", "64x64"]
    assert main(["storyboard", "board.toml", *common, "--out", "made.mp4"]) == 0
    cuts = ["--video", "made.mp4", "--trim", "0:2s", "--insert", f"1:.5:{B}", "--insert", f"2:1:{C}: end"]
    assert main(["storyboard", "board.toml", *common, *cuts, "--out", "cut.mp4"]) == 0
    cut = Clip.load("cut.mp4")
    assert len(cut.frames) == 56 and f'"{C}: end"' in cut.metadata["cards"]
    for options, message in (
        (["--trim", "2"], "'2' should be two times in seconds, for example 1:4.5"),
        (["--insert", "1:2"], "'1:2' should be a time, a length and a prompt"),
        (["--video", "made.mp4", "--insert", "2.9:1:x", "--insert", "9:1:x"], "1 s cannot be put at 9 s"),
        (["--trim", "2:9"], "a part from 2 to 9 s is not on a storyboard of 3 s"),
    ):
        assert main(["storyboard", "board.toml", *common, *options]) == 2
        assert message in capsys.readouterr().err
