"""Tokens of any script come back as text, and padding changes nothing."""

import pytest
import torch

from tenku.model.text import END_ID, PAD_ID, TextConfig, TextEncoder, load_text_encoder, train_tokenizer
from tenku.model.vocabulary import normalize

CAPTIONS = ["a red ball drops"] * 3 + ["一个红色的球落下"] * 3


@pytest.mark.parametrize(
    "prompt",
    [
        "a red ball",
        "A Red BALL, twice!",
        "一个红色的球",
        "red 球 🎉👩‍🚀",
        "Орёл café",
        "  two  spaces\n\ttab",
        "<pad><end>",
        "\x00",
    ],
)
def test_round_trip(text_encoder, prompt):
    ids = text_encoder.tokenizer.encode(prompt).ids
    assert text_encoder.tokenizer.decode(ids, skip_special_tokens=False) == normalize(prompt)


def test_composed_and_decomposed_letters_are_the_same(text_encoder):
    composed, _ = text_encoder.tokenize(["CAF\u00c9"])
    decomposed, _ = text_encoder.tokenize(["cafe\u0301"])
    assert torch.equal(composed, decomposed)


def test_common_words_and_characters_are_single_tokens():
    tokenizer = train_tokenizer(CAPTIONS, 400)
    assert len(tokenizer.encode("a red ball").ids) == 3
    assert len(tokenizer.encode("红色的球").ids) == 4  # never merged across characters
    assert train_tokenizer(CAPTIONS, 400).to_str() == tokenizer.to_str()


def test_rows_end_and_are_padded(text_encoder):
    ids, mask = text_encoder.tokenize(["", "a red ball"])
    assert ids[0].tolist() == [END_ID] + [PAD_ID] * (ids.shape[1] - 1)
    assert mask.sum(1).tolist() == [1, ids.shape[1]] and ids[1, -1] == END_ID


def test_special_tokens_cannot_be_written_in_a_prompt(text_encoder):
    ids, _ = text_encoder.tokenize(["<pad><end>"])
    assert PAD_ID not in ids and ids[0].tolist().index(END_ID) == ids.shape[1] - 1


def test_long_prompts_are_cut_and_still_end(text_encoder):
    ids, mask = text_encoder.tokenize(["ball " * 500])
    assert ids.shape == (1, text_encoder.config.max_tokens) and ids[0, -1] == END_ID and mask.all()


def test_padding_does_not_change_a_prompt(text_encoder):
    alone, _ = text_encoder.encode(["a red ball"])
    together, mask = text_encoder.encode(["a red ball", "a red ball rolls down the long green ramp"])
    torch.testing.assert_close(together[:1][:, mask[0]], alone, atol=1e-5, rtol=1e-5)


def test_the_end_sees_every_word_and_its_place(text_encoder):
    ends = [text_encoder.encode([p])[0][0, -1] for p in ("ball on cube", "cube on ball", "ball on ball")]
    for i in range(3):
        assert (ends[i] - ends[i - 1]).abs().max() > 1e-4


def test_save_and_load(text_encoder, tmp_path):
    text_encoder.save(tmp_path / "text", torch.float32)
    loaded = load_text_encoder(tmp_path)
    assert loaded.vocabulary == text_encoder.vocabulary
    for a, b in zip(loaded.encode(["红色 ball"]), text_encoder.encode(["红色 ball"]), strict=True):
        assert torch.equal(a, b)
    (tmp_path / "text" / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="tokenizer.json is missing or not a tokenizer"):
        load_text_encoder(tmp_path)


def test_a_tokenizer_that_is_too_large():
    with pytest.raises(ValueError, match="vocab_size is 100"):
        TextEncoder(TextConfig(vocab_size=100), train_tokenizer(CAPTIONS, 400))


def test_without_tokenizer():
    with pytest.raises(ValueError, match="no tokenizer"):
        TextEncoder(TextConfig(depth=1)).tokenize(["a"])
