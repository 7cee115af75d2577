"""Cards at their times: prompts that change, frames that stand where they are put, and files that are wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import tenku
from tenku.cli import main
from tenku.media.clip import Clip
from tenku.model.autoencoder import to_frames
from tenku.sample import conditioning
from tenku.sample.guidance import guided_velocity
from tenku.sample.storyboard import Card, Storyboard, card_at, produce, read_storyboard

ICE, BOXES = "a red rubber ball drops onto the ice", "the pyramid of green boxes topples"


@pytest.fixture(scope="module")
def pipeline(tiny_folder):
    """With a decoder that does not look ahead: what is given comes back exactly."""
    pipeline = tenku.load(tiny_folder, device="cpu")
    with torch.no_grad():
        pipeline.autoencoder.decoder.conv_in.weight[:, pipeline.autoencoder.latent_channels :] = 0
    return pipeline


def noisy_clip(frames, seed=0):
    return Clip(np.random.default_rng(seed).integers(0, 256, (frames, 64, 64, 3), dtype=np.uint8), 16)


@torch.no_grad()
def test_a_text_for_each_frame(text_encoder, transformer):
    """The same text everywhere is one text for all; another text changes its own frames' cross-attention."""
    plain = conditioning.from_text(text_encoder, [ICE], "blue cubes")
    same = conditioning.with_texts(plain, text_encoder, [ICE] * 4)
    mixed = conditioning.with_texts(plain, text_encoder, [ICE, ICE, BOXES, BOXES])
    assert same.text_embeds.ndim == 4 and same.text_embeds.shape[:2] == (1, 4)
    latents = torch.randn(1, 16, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    found = [
        guided_velocity(transformer, each, 3.0, sequential_cfg=sequential_cfg)(latents, torch.tensor([0.7]), 0.7)
        for each in (plain, same, mixed)
        for sequential_cfg in (False, True)
    ]
    for other in found[1:4]:
        torch.testing.assert_close(other, found[0], atol=1e-5, rtol=1e-5)
    assert (found[4] - found[0]).abs().max() > 1e-3
    torch.testing.assert_close(found[4], found[5], atol=1e-5, rtol=1e-5)


def test_prompts_hold_until_the_next_card():
    board = Storyboard(6.0, (Card(0, "a"), Card(2, "b"), Card(4.5, "c")))
    assert [card_at(board, moment).prompt for moment in (0, 1.9, 2, 4.4, 5.9)] == ["a", "a", "b", "b", "c"]


def test_given_frames_stand_at_their_time(pipeline):
    picture, clip = noisy_clip(1, seed=1), noisy_clip(8, seed=2)
    board = Storyboard(4.0, (Card(0, ICE, picture), Card(1.5, BOXES), Card(3, ICE, clip)))
    made = produce(pipeline, board, seed=1, steps=2).clip()
    assert len(made.frames) == 64 and [card["at"] for card in made.metadata["cards"]] == [0, 1.5, 3]
    with torch.inference_mode():
        own = [to_frames(pipeline.autoencoder.decode(pipeline.encode(each.frames))) for each in (picture, clip)]
    assert np.array_equal(made.frames[:4], own[0])
    assert np.abs(made.frames[52:56].astype(int) - own[1][4:].astype(int)).mean() < 1  # its second group at 3.25 s
    other = produce(
        pipeline, replace(board, cards=(board.cards[0], Card(1.5, ICE), board.cards[2])), seed=1, steps=2
    ).clip()
    assert not np.array_equal(other.frames[24:48], made.frames[24:48])


@pytest.mark.parametrize(
    "cards, message",
    [
        ((), "at least one card"),
        ((Card(1, "a"),), "the first card must be at 0, not at 1"),
        ((Card(0, "a"), Card(2, "b"), Card(1, "c")), "the card at 1 comes after the one at 2"),
        ((Card(0, "a"), Card(3, "b")), "the card at 3 lies past the end, 3 seconds"),
    ],
)
def test_boards_that_cannot_be(cards, message):
    with pytest.raises(ValueError, match=message):
        Storyboard(3.0, cards)


@pytest.mark.parametrize(
    "cards, message",
    [
        ((Card(0, ICE, noisy_clip(16)), Card(0.5, ICE, noisy_clip(1))), "the card at 0.5 shows overlaps"),
        ((Card(0, ICE), Card(1.5, ICE, noisy_clip(16))), "the card at 1.5 shows goes on past the end"),
    ],
)
def test_frames_that_do_not_fit(pipeline, cards, message):
    with pytest.raises(ValueError, match=message):
        produce(pipeline, Storyboard(2.0, cards)).clip()


CARD = '[[card]]\nat = 0\nprompt = "a red ball"\n'


@pytest.mark.parametrize(
    "text, message",
    [
        ("seconds = ", "is not TOML"),
        ("seconds = 3", "needs `seconds = …` and at least one"),
        (f"seconds = 3\nfps = 30\n{CARD}", "unknown key 'fps'; known are seconds, size, seed, negative, card"),
        (f"seconds = 'long'\n{CARD}", "seconds cannot be 'long'"),
        (f"seconds = 3\n{CARD}sound = 'x'", "card 1: unknown key 'sound'; known are at, prompt, picture, clip"),
        ("seconds = 3\n[[card]]\nat = 0", "card 1 needs prompt"),
        (f"seconds = 3\n{CARD}picture = 'a.png'\nclip = 'b.mp4'", "has a picture and a clip"),
        (f"seconds = 3\n{CARD}picture = 'nothing.png'", "card 1: there is no file"),
        (f"seconds = 3\n{CARD}picture = ''", "card 1: .* is a folder"),
        ("seconds = 3\ncard = [1]", "card 1 should be a table"),
        ("seconds = 3\n[card]\nat = 0\nprompt = 'a'", r"begins with \[\[card\]\], in two brackets"),
        (f"seconds = 3\n{CARD}[[card]]\nat = nan\nprompt = 'a'", "with cards at times: got 3 s, cards at 0, nan"),
        (f"seconds = 0\n{CARD}", "lasts up to 3600 s.* got 0 s"),
        (f"seconds = 3\n{CARD}[[card]]\nat = 1\nprompt = ' '", "card 2: its prompt is empty"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, message):
    (tmp_path / "board.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_storyboard(tmp_path / "board.toml")


def test_what_the_board_says_holds_from_python_too(pipeline, tmp_path):
    (tmp_path / "board.toml").write_text(f"seconds = 0.5\nseed = 11\nsize = '96x64'\nnegative = 'blue'\n{CARD}")
    board = read_storyboard(tmp_path / "board.toml")
    made = produce(pipeline, board, steps=1).clip()
    assert made.size == (96, 64) and (made.metadata["seed"], made.metadata["negative_prompt"]) == (11, "blue")
    made = produce(pipeline, board, steps=1, seed=3, size=(64, 64)).clip()
    assert made.size == (64, 64) and made.metadata["seed"] == 3


def test_a_mark_that_editors_put_first_is_passed_over(tmp_path):
    (tmp_path / "board.toml").write_text(f"seconds = 3\n{CARD}", encoding="utf-8-sig")
    assert read_storyboard(tmp_path / "board.toml").seconds == 3


def test_a_picture_at_the_end_stands_in_the_last_latent_frame(pipeline):
    picture = noisy_clip(1)
    made = produce(pipeline, Storyboard(2.0, (Card(0, ICE), Card(1.99, BOXES, picture))), seed=1, steps=1).clip()
    with torch.inference_mode():
        own = to_frames(pipeline.autoencoder.decode(pipeline.encode(picture.frames)))
    assert len(made.frames) == 32 and np.array_equal(made.frames[-4:], own[:4])


def test_a_large_video_is_cut_anew_in_a_size_that_can_be_made(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Clip(np.zeros((16, 480, 640, 3), np.uint8), 16).save("large.mp4")
    (tmp_path / "board.toml").write_text(f"seconds = 1\n{CARD}")
    command = ["storyboard", "board.toml", "--model", str(tiny_folder), "--steps", "1", "--video", "large.mp4"]
    assert main([*command, "--insert", "0.5:0.5:a ball", "--out", "out.mp4"]) == 0
    assert Clip.load("out.mp4").size == (96, 64)


def test_the_command(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    noisy_clip(1).save("a.png")
    text = f"seconds = 2\nseed = 4\n{CARD}picture = 'a.png'\n[[card]]\nat = 1\nprompt = '绿色的金字塔倒塌了'\n"
    (tmp_path / "board.toml").write_text(text, encoding="utf-8")
    assert main(["storyboard", "board.toml", "--model", str(tiny_folder), "--steps", "2", "--out", "out.mp4"]) == 0
    clip = Clip.load("out.mp4")
    assert len(clip.frames) == 32 and clip.metadata["seed"] == "4"
    assert main(["storyboard", "nothing.toml"]) == 2
    assert "there is no file nothing.toml" in capsys.readouterr().err
