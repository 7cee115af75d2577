"""A small transformer and LoRA files for it, made of random numbers."""

import torch
from safetensors.torch import save_file

from tenku.model.transformer import Transformer, TransformerConfig

RANK = 4
LAYERS = (
    *(f"{attention}.{part}" for attention in ("self_attn", "cross_attn") for part in "qkvo"),
    "ffn.0",
    "ffn.2",
)
OUTER = ("text_embedding.0", "text_embedding.2", "time_embedding.0", "time_embedding.2", "time_projection.1")


def pair(layer, seed):
    """Random down and up halves for a linear layer."""
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(RANK, layer.in_features, generator=generator) / layer.in_features**0.5
    return down, torch.randn(layer.out_features, RANK, generator=generator) / 2


def linear(network, name):
    return network.get_submodule(name)


def layers_of(network, outer=False):
    blocks = [f"blocks.{block}.{layer}" for block in range(network.config.depth) for layer in LAYERS]
    return [*blocks, *(OUTER if outer else ())]


def plain(network, prefix="diffusion_model.", halves=("lora_A", "lora_B"), outer=False, alpha=None):
    """A LoRA with the original names, for every layer."""
    tensors = {}
    for k, name in enumerate(layers_of(network, outer)):
        for half, tensor in zip(halves, pair(linear(network, name), k), strict=True):
            tensors[f"{prefix}{name}.{half}.weight"] = tensor
        if alpha is not None:
            tensors[f"{prefix}{name}.alpha"] = torch.tensor(alpha)
    return tensors


def small(seed=0):
    torch.manual_seed(seed)
    config = TransformerConfig(latent_channels=4, hidden_size=32, depth=2, num_heads=2, ffn_size=48, text_size=16)
    return Transformer(config).eval()


def written(path, tensors, metadata=None):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return path


def weight(network, name="blocks.1.ffn.0"):
    return linear(network, name).weight.detach().clone()
