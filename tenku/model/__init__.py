"""Networks: the video transformer, the video autoencoder and the text encoder, with their weights on disk.

The names here load torch when they are first used; the vocabulary beside them needs none.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenku.model.autoencoder import Autoencoder, AutoencoderConfig, load_autoencoder
    from tenku.model.text import TextConfig, TextEncoder, load_text_encoder
    from tenku.model.transformer import Transformer, TransformerConfig

_HOMES = {
    "tenku.model.autoencoder": ("Autoencoder", "AutoencoderConfig", "load_autoencoder"),
    "tenku.model.text": ("TextConfig", "TextEncoder", "load_text_encoder"),
    "tenku.model.transformer": ("Transformer", "TransformerConfig"),
}
__all__ = [
    "Autoencoder",
    "AutoencoderConfig",
    "TextConfig",
    "TextEncoder",
    "Transformer",
    "TransformerConfig",
    "load_autoencoder",
    "load_text_encoder",
]


def __getattr__(name: str) -> Any:
    for home, members in _HOMES.items():
        if name in members:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'tenku.model' has no attribute {name!r}")
