"""Presets: named transformer and text encoder sizes, from `nano` for tests to Wan's 14 billion parameters.

Wan's presets (1.3b, 5b, 14b) have no text encoder of ours: those weights are used with UMT5-XXL (4096 wide).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tenku.model.text import TextConfig
from tenku.model.transformer import TransformerConfig


@dataclass(frozen=True)
class Preset:
    """Configs of `Transformer` and, where the text encoder is ours, of `TextEncoder`."""

    transformer: TransformerConfig
    text: TextConfig | None = None


def nano() -> Preset:
    """Tests: builds in milliseconds."""
    return Preset(
        TransformerConfig(hidden_size=48, depth=2, num_heads=2, ffn_size=96, text_size=32, time_size=64),
        TextConfig(vocab_size=400, hidden_size=32, depth=1, num_heads=2),
    )


def embedded() -> Preset:
    """The shipped model: trained for a quarter of an hour on a large GPU; with the autoencoder it takes 48 MiB."""
    return Preset(
        TransformerConfig(hidden_size=384, depth=5, num_heads=3, ffn_size=1024, text_size=192),
        TextConfig(hidden_size=192, depth=2, num_heads=4, ffn_factor=2),
    )


def embedded_cpu() -> Preset:
    """As `embedded`, smaller: an hour of training on two CPU cores that multiply bf16."""
    return Preset(
        TransformerConfig(hidden_size=256, depth=6, num_heads=2, ffn_size=1024, text_size=192),
        TextConfig(hidden_size=192, depth=2, num_heads=4, ffn_factor=2),
    )


def wan_1_3b() -> Preset:
    """Wan2.1-T2V-1.3B."""
    return Preset(TransformerConfig(hidden_size=1536, depth=30, num_heads=12, ffn_size=8960, text_size=4096))


def wan_5b() -> Preset:
    """Wan2.2-TI2V-5B: 48 latent channels from an autoencoder that compresses 16x16 in space."""
    return Preset(
        TransformerConfig(latent_channels=48, hidden_size=3072, depth=30, num_heads=24, ffn_size=14336, text_size=4096)
    )


def wan_14b() -> Preset:
    """Wan2.1-T2V-14B."""
    return Preset(TransformerConfig(hidden_size=5120, depth=40, num_heads=40, ffn_size=13824, text_size=4096))


def wan_14b_image() -> Preset:
    """An expert of Wan2.2-I2V-A14B: condition frames and their mask are concatenated to the latents' channels."""
    sizes = wan_14b().transformer
    return Preset(replace(sizes, concat_channels=4 + sizes.latent_channels))


def own_3b() -> Preset:
    """The size that Sora was estimated to have: 3.2 billion parameters, and 0.24 billion of a text encoder."""
    return Preset(
        replace(wan_1_3b().transformer, hidden_size=2304, depth=32, num_heads=18, ffn_size=12288, text_size=1024),
        TextConfig(vocab_size=32768, hidden_size=1024, depth=16, num_heads=16, max_tokens=256),
    )


PRESETS: dict[str, Callable[[], Preset]] = {
    "nano": nano,
    "embedded": embedded,
    "embedded-cpu": embedded_cpu,
    "1.3b": wan_1_3b,
    "3b": own_3b,
    "5b": wan_5b,
    "14b": wan_14b,
    # The published weights by their names. Both experts of wan2.2-a14b have the sizes of wan2.1-14b.
    "wan2.1-1.3b": wan_1_3b,
    "wan2.1-14b": wan_14b,
    "wan2.2-5b": wan_5b,
    "wan2.2-a14b": wan_14b,
    "wan2.2-i2v-a14b": wan_14b_image,
}


def get(name: str) -> Preset:
    """The preset of that name. Raises ValueError, naming those that exist."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]()
