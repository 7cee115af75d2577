"""Networks: the video transformer, the video autoencoder and the text encoder, with their weights on disk."""

from tenku.model.autoencoder import Autoencoder, AutoencoderConfig, load_autoencoder
from tenku.model.text import TextConfig, TextEncoder, load_text_encoder
from tenku.model.transformer import Transformer, TransformerConfig

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
