"""Memory of a training step, counted without any: the numbers follow the network."""

import pytest
import torch
from torch import nn

from tenku.model import TextEncoder, Transformer, presets
from tenku.system.live_bytes import LiveBytes
from tenku.train.memory import training_memory

CLIP = (1, 16, 12, 16, 16)


def test_what_a_graph_keeps_is_counted_until_it_is_gone():
    layers = nn.Sequential(*(nn.Linear(64, 64, bias=False, device="meta") for _ in range(3)))
    with LiveBytes(layers.parameters()) as live:
        x = torch.empty(100, 64, device="meta")
        loss = layers(x).sum()
        assert live.now == 4 * (3 * 100 * 64 + 1)  # what went into each layer, and a number
        loss.backward()
        del loss, x
        assert live.now == 4 * 3 * 64 * 64  # gradients


def test_the_preset_of_three_billion_can_be_trained():
    found = training_memory("3b", CLIP)
    sizes = presets.get("3b")
    with torch.device("meta"):
        modules = Transformer(sizes.transformer), TextEncoder(sizes.text)
    count = [sum(parameter.numel() for parameter in module.parameters()) for module in modules]
    assert 3.2e9 < count[0] < 3.3e9 and 0.2e9 < count[1] < 0.3e9
    assert found["weights"] == found["gradients"] == found["ema"] == 4 * sum(count)
    assert 4 * sum(count) < found["optimizer"] < 8 * sum(count)
    assert found["peak"] >= 2 * found["weights"] + found["optimizer"] + max(found["activations"], found["gradients"])
    print({name: f"{value / 1e9:.1f} GB" for name, value in found.items()})


def test_activations_grow_with_the_batch_and_weights_do_not():
    one, four = (training_memory("embedded", (batch, *CLIP[1:])) for batch in (1, 4))
    assert one["weights"] == four["weights"]
    copies = one["weights"] / 2  # in bf16
    assert 3 < (four["activations"] - copies) / (one["activations"] - copies) < 5


def test_a_preset_without_a_text_encoder_is_refused():
    with pytest.raises(ValueError, match="no text encoder"):
        training_memory("14b", CLIP)
