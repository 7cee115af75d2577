"""Convert Wan state-dict keys and config.json between our layout, the original one and diffusers'.

Ours and the original repository's (github.com/Wan-Video) share the tensor names; diffusers renamed them. Each of the
three has its own config.json.
"""

from typing import Any

from tenku.model.transformer import TransformerConfig

HEAD_SIZE = 128  # of every published Wan transformer
MASK_CHANNELS = 4  # one for each of the four frames in a latent frame


def concat_channels(latent_channels: int) -> int:
    """Condition channels of Wan's image-to-video networks: a mask of the condition frames, and their latents."""
    return MASK_CHANNELS + latent_channels


# Prefixes of names: ours (the original ones) and diffusers'. In a block the longer prefix comes first.
OUTSIDE: tuple[tuple[str, str], ...] = (
    ("time_embedding.0.", "condition_embedder.time_embedder.linear_1."),
    ("time_embedding.2.", "condition_embedder.time_embedder.linear_2."),
    ("text_embedding.0.", "condition_embedder.text_embedder.linear_1."),
    ("text_embedding.2.", "condition_embedder.text_embedder.linear_2."),
    ("time_projection.1.", "condition_embedder.time_proj."),
    ("head.modulation", "scale_shift_table"),
    ("head.head.", "proj_out."),
)
INSIDE: tuple[tuple[str, str], ...] = (
    ("modulation", "scale_shift_table"),
    ("norm3.", "norm2."),
    ("ffn.0.", "ffn.net.0.proj."),
    ("ffn.2.", "ffn.net.2."),
    *(
        (f"{ours}.{ours_part}.", f"{theirs}.{their_part}.")
        for ours, theirs in (("self_attn", "attn1"), ("cross_attn", "attn2"))
        for ours_part, their_part in (
            ("q", "to_q"),
            ("k", "to_k"),
            ("v", "to_v"),
            ("o", "to_out.0"),
            ("norm_q", "norm_q"),
            ("norm_k", "norm_k"),
        )
    ),
)


def to_diffusers(name: str) -> str:
    """Our state-dict key in diffusers' names."""
    return _renamed(name, 0, 1)


def from_diffusers(name: str) -> str:
    """diffusers' state-dict key in our names; any other key stays as it is."""
    return _renamed(name, 1, 0)


def _renamed(name: str, old: int, new: int) -> str:
    block, pairs = "", OUTSIDE
    if name.startswith("blocks."):
        number = name.split(".")[1]
        block, pairs = f"blocks.{number}.", INSIDE
    inner = name[len(block) :]
    for pair in pairs:
        if inner.startswith(pair[old]):
            return block + pair[new] + inner[len(pair[old]) :]
    return name


def is_diffusers(config: dict[str, Any]) -> bool:
    """Whether a config.json is the one that diffusers writes beside a Wan transformer."""
    return config.get("_class_name") == "WanTransformer3DModel"


def is_original(config: dict[str, Any]) -> bool:
    """Whether a config.json is the one beside the original repository's weights."""
    return config.get("_class_name") == "WanModel" or "model_type" in config


def read_config(values: dict[str, Any]) -> TransformerConfig:
    """TransformerConfig from diffusers' or the original config.json. ValueError: it is not supported."""
    theirs = is_diffusers(values)

    def number(diffusers_key: str, original_key: str, diffusers_default: int, original_default: int) -> int:
        """Of whichever config it is; the defaults are those of the two libraries."""
        return _value(values, *((diffusers_key, diffusers_default) if theirs else (original_key, original_default)))

    in_channels = number("in_channels", "in_dim", 16, 16)
    unset = theirs and not values.get("out_channels")  # null in diffusers' config: as many as it reads
    channels = in_channels if unset else number("out_channels", "out_dim", in_channels, in_channels)
    _refuse(values, in_channels, channels)
    heads = number("num_attention_heads", "num_heads", 40, 16)
    return TransformerConfig(
        latent_channels=channels,
        concat_channels=in_channels - channels,
        hidden_size=heads * _value(values, "attention_head_dim", HEAD_SIZE) if theirs else _value(values, "dim", 2048),
        depth=number("num_layers", "num_layers", 40, 32),
        num_heads=heads,
        ffn_size=_value(values, "ffn_dim", 13824 if theirs else 8192),
        text_size=_value(values, "text_dim", 4096),
        time_size=_value(values, "freq_dim", 256),
        patch_size=tuple(values.get("patch_size", (1, 2, 2))),
        eps=float(values.get("eps", 1e-6)),
    )


def _value(values: dict[str, Any], key: str, default: int) -> int:
    value = values.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{key} should be a whole number above 0, got {value!r}")
    return value


def _refuse(values: dict[str, Any], in_channels: int, out_channels: int) -> None:
    """ValueError for Wan networks with other parts: 2.1's image-to-video (CLIP), VACE, Animate."""
    if in_channels not in (out_channels, out_channels + concat_channels(out_channels)):
        raise ValueError(
            f"this transformer reads {in_channels} channels and writes {out_channels}, which is not supported: "
            f"text-to-video networks read as many, image-to-video networks {concat_channels(out_channels)} more"
        )
    for key in ("image_dim", "added_kv_proj_dim", "vace_layers"):
        if values.get(key) is not None:
            raise ValueError(f"{key} is set: of Wan's networks, only those that `tenku models` lists are supported")
    if values.get("qk_norm", "rms_norm_across_heads") not in ("rms_norm_across_heads", True):
        raise ValueError(f"qk_norm {values['qk_norm']!r} is not supported, only rms_norm_across_heads")
    if values.get("cross_attn_norm", True) is not True:
        raise ValueError("cross_attn_norm must be true")
    if values.get("model_type", "t2v") not in ("t2v", "ti2v", "i2v"):
        raise ValueError(f"model_type {values['model_type']!r} is not supported, only t2v, ti2v and i2v")


def diffusers_config(config: TransformerConfig) -> dict[str, Any]:
    """config.json for diffusers' WanTransformer3DModel."""
    return {
        "_class_name": "WanTransformer3DModel",
        "patch_size": list(config.patch_size),
        "num_attention_heads": config.num_heads,
        "attention_head_dim": config.hidden_size // config.num_heads,
        "in_channels": config.in_channels,
        "out_channels": config.latent_channels,
        "text_dim": config.text_size,
        "freq_dim": config.time_size,
        "ffn_dim": config.ffn_size,
        "num_layers": config.depth,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "eps": config.eps,
        "image_dim": None,
        "added_kv_proj_dim": None,
        "rope_max_seq_len": 1024,
        "pos_embed_seq_len": None,
    }
