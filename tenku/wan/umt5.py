"""UMT5-XXL text encoder of the Wan weights (transformers' UMT5EncoderModel): lazy loading and a prompt cache.

It has 5.7 billion parameters and is needed for a moment only, so it is loaded when a new prompt comes and freed after
it, unless there is room to keep it. Embeddings of the last prompts are cached.
"""

import gc
import html
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tenku.model.vocabulary import Vocabulary
from tenku.model.weights import read_config_file, tensor_files

MAX_TOKENS = 512  # as in training; embeddings of shorter texts are zero-padded, and attended to without a mask
CACHED_PROMPTS = 64  # some 4 MB of embeddings each


class UMT5:
    """Encode prompts, with the interface of `TextEncoder`."""

    def __init__(
        self,
        folder: str | Path,
        *,
        dtype: torch.dtype = torch.bfloat16,
        device: torch.device | str = "cpu",
        wanted_on: torch.device | str | None = None,
        keep: bool = False,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        """folder: a model folder in diffusers' layout, with text_encoder/ and tokenizer/. Loads no weights yet.

        wanted_on: device of the embeddings, None for `device`. keep: keep the weights in memory between prompts.
        ValueError: a file is missing or of another model.
        """
        from transformers import AutoTokenizer

        self.folder, self.dtype, self.device = Path(folder) / "text_encoder", dtype, torch.device(device)
        self.wanted_on = self.device if wanted_on is None else torch.device(wanted_on)
        self.keep, self.max_tokens = keep, max_tokens
        config = read_config_file(self.folder)
        if config.get("model_type") != "umt5":
            raise ValueError(f"{self.folder / 'config.json'}: model_type {config.get('model_type')!r} is not umt5")
        self.hidden_size: int = config["d_model"]
        tensor_files(self.folder)  # whole, and no pickle
        tokenizer = Path(folder) / "tokenizer"
        if not (tokenizer / "tokenizer.json").is_file():
            raise ValueError(f"{tokenizer / 'tokenizer.json'} is missing")
        read_config_file(tokenizer, "tokenizer_config.json")
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(
                tokenizer, local_files_only=True, trust_remote_code=False
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{tokenizer} holds no tokenizer that can be read: {type(error).__name__} {error}"
            ) from None
        self._model: Any = None
        self._cache: dict[str, Tensor] = {}

    @torch.inference_mode()
    def encode(self, prompts: list[str]) -> tuple[Tensor, None]:
        """text_embeds B max_tokens D, zero past the end of each text, and no mask: the zeros are attended to."""
        cleaned = [clean(prompt) for prompt in prompts]
        new = [text for text in dict.fromkeys(cleaned) if text not in self._cache]
        if new:
            model = self._loaded()
            for text in new:
                self._cache[text] = self._embed(model, text)
            del model
            if not self.keep:
                self.free()
        embeds = torch.stack([self._cache[text] for text in cleaned]).to(self.wanted_on)
        while len(self._cache) > CACHED_PROMPTS:
            del self._cache[next(iter(self._cache))]
        return embeds, None

    def _embed(self, model: Any, text: str) -> Tensor:
        """Embeddings max_tokens x D of one text."""
        tokens = self.tokenizer(
            [text], padding="max_length", max_length=self.max_tokens, truncation=True, return_tensors="pt"
        )
        ids, mask = tokens.input_ids.to(self.device), tokens.attention_mask.to(self.device)
        return model(ids, mask).last_hidden_state[0] * mask[0, :, None]

    def _loaded(self) -> Any:
        if self._model is None:
            from transformers import UMT5EncoderModel
            from transformers.utils import logging

            logging.disable_progress_bar()
            self._model = UMT5EncoderModel.from_pretrained(
                self.folder, dtype=self.dtype, use_safetensors=True, local_files_only=True
            ).to(self.device)
            self._model.eval()
        return self._model

    def free(self) -> None:
        """Free the weights; the next new prompt loads them again."""
        self._model = None
        gc.collect()
        if self.device.type != "cpu":
            torch.accelerator.empty_cache()

    @property
    def vocabulary(self) -> Vocabulary:
        raise ValueError("this model reads any words: there is no list of them")

    def unknown_words(self, prompt: str) -> list[str]:
        """None: it was trained on the text of the web."""
        return []

    def is_cut(self, prompt: str) -> bool:
        """Whether the prompt has more tokens than are read."""
        return len(self.tokenizer(clean(prompt)).input_ids) > self.max_tokens


def clean(prompt: str) -> str:
    """Clean a prompt as Wan's own pipelines do: fix its encoding (ftfy), unescape HTML, collapse white space."""
    import ftfy

    return re.sub(r"\s+", " ", html.unescape(html.unescape(ftfy.fix_text(prompt)))).strip()
