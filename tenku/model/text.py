"""Text encoder: a small transformer over byte-level BPE tokens, trained jointly with the video transformer.

Bytes let no prompt in any script fail; every Chinese character is pre-tokenized by itself, since Chinese has no
spaces that would keep whole sentences from becoming tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn

from tenku.model import weights
from tenku.model.attention import attention
from tenku.model.vocabulary import Vocabulary, normalize
from tenku.system.files import new_folder

__all__ = ["TextConfig", "TextEncoder", "Vocabulary", "load_text_encoder", "normalize", "train_tokenizer"]

PAD, END = "<pad>", "<end>"
PAD_ID, END_ID = 0, 1


@dataclass(frozen=True)
class TextConfig:
    """Sizes of a text encoder. hidden_size: width of the text embeddings. ValueError: it does not split into heads."""

    vocab_size: int = 2048
    hidden_size: int = 256
    depth: int = 4
    num_heads: int = 4
    ffn_factor: int = 4
    max_tokens: int = 96
    eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")


class TextEncoder(nn.Module):
    """Encode prompts to text embeddings B S D.

    The empty prompt is one end token: the unconditional input of classifier-free guidance, and of dropped captions
    in training.
    """

    def __init__(
        self, config: TextConfig, tokenizer: Tokenizer | None = None, vocabulary: Vocabulary | None = None
    ) -> None:
        super().__init__()
        if tokenizer is not None and tokenizer.get_vocab_size() > config.vocab_size:
            raise ValueError(
                f"the tokenizer has {tokenizer.get_vocab_size()} tokens, vocab_size is {config.vocab_size}"
            )
        self.config = config
        self.tokenizer = tokenizer
        if tokenizer is not None:
            tokenizer.encode_special_tokens = True  # "<pad>" in a prompt is five ordinary characters
        self.vocabulary = vocabulary or Vocabulary()
        self._token_cache: dict[str, list[int]] = {}
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_tokens, config.hidden_size)
        self.blocks: Any = nn.ModuleList(TextBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.eps)
        self.reset_parameters()

    @property
    def hidden_size(self) -> int:
        """Width of the text embeddings."""
        return self.config.hidden_size

    def unknown_words(self, prompt: str) -> list[str]:
        """Content words of the prompt that were in no caption of the training."""
        return self.vocabulary.unknown_words(prompt)

    def is_cut(self, prompt: str) -> bool:
        """Whether the prompt has more tokens than are read."""
        return self.tokenizer is not None and len(self.tokenizer.encode(prompt).ids) >= self.config.max_tokens

    def tokenize(self, prompts: list[str], remember: bool = False) -> tuple[Tensor, Tensor]:
        """(ids B S long, mask B S bool), padded to the longest prompt and truncated to max_tokens; on the CPU.

        remember: cache the tokens, for training, where captions repeat.
        """
        if self.tokenizer is None:
            raise ValueError("this text encoder has no tokenizer; pass one, or load a folder with tokenizer.json")
        keep = self.config.max_tokens - 1
        known = self._token_cache if remember else {}
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
        for prompt, encoding in zip(new, self.tokenizer.encode_batch(new), strict=True):
            known[prompt] = encoding.ids[:keep] + [END_ID]
        rows = [known[prompt] for prompt in prompts]
        length = max(len(row) for row in rows)
        ids = torch.tensor([row + [PAD_ID] * (length - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        return ids, torch.arange(length) < lengths[:, None]

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """text_embeds B S D of token ids B S; padded positions hold values that the mask must hide."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_embedding(ids) + self.position_embedding(positions)  # B S D
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)

    def encode(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """(text_embeds B S D, text_mask B S) of prompts, on the device of the weights."""
        device = self.token_embedding.weight.device
        ids, mask = (x.to(device) for x in self.tokenize(prompts))
        return self(ids, mask), mask

    def reset_parameters(self) -> None:
        """Initialize for training from scratch."""
        nn.init.normal_(self.position_embedding.weight, std=0.1)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            for last in (block.o, block.ffn[2]):
                nn.init.normal_(last.weight, std=0.02 / (2 * self.config.depth) ** 0.5)

    def save(self, folder: str | Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Save weights, config, tokenizer.json and vocabulary.json as a folder, atomically."""
        if self.tokenizer is None:
            raise ValueError("this text encoder has no tokenizer to save")
        with new_folder(folder) as new:
            weights.write_module(self, self.config, new, dtype)
            self.tokenizer.save(str(new / "tokenizer.json"))
            self.vocabulary.save(new / "vocabulary.json")


class TextBlock(nn.Module):
    """Pre-norm transformer block with bidirectional self-attention; padding is masked."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_heads
        self.norm1 = nn.LayerNorm(width, eps=config.eps)
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.o = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=config.eps)
        self.ffn = nn.Sequential(
            nn.Linear(width, config.ffn_factor * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(config.ffn_factor * width, width),
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.norm1(x)
        q, k, v = (layer(h).unflatten(-1, (self.num_heads, -1)) for layer in (self.q, self.k, self.v))
        x = x + self.o(attention(q, k, v, mask).flatten(2))
        return x + self.ffn(self.norm2(x))


def train_tokenizer(captions: Iterable[str], vocab_size: int = 2048) -> Tokenizer:
    """Train a byte-level BPE tokenizer on captions in any languages, in NFC and lower case; deterministic."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{Han}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    return tokenizer


def load_text_encoder(folder: str | Path) -> TextEncoder:
    """Load a text encoder from FOLDER/text or the folder itself. ValueError: a file is missing or wrong."""
    folder = weights.part_folder(folder, "text")
    config = weights.load_config(folder, TextConfig)
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception, for a missing file too
        raise ValueError(f"{path} is missing or not a tokenizer: {error}") from None
    vocabulary_path = folder / "vocabulary.json"
    vocabulary = Vocabulary.load(vocabulary_path) if vocabulary_path.exists() else None
    encoder = TextEncoder(config, tokenizer, vocabulary)
    weights.load_into(encoder, folder)
    return encoder
