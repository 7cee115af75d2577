"""Weight-only quantization, block-wise CPU offload and two experts with model offload give the same velocity."""

import pytest
import torch

from tenku.model.transformer import Transformer, TransformerConfig
from tenku.wan.experts import Experts
from tenku.wan.offload import offload_blocks
from tenku.wan.quantize import quantize

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def network(width=256, depth=3):
    torch.manual_seed(0)
    transformer = Transformer(
        TransformerConfig(4, hidden_size=width, depth=depth, num_heads=2, ffn_size=4 * width, text_size=64)
    )
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            if parameter.ndim > 1:
                spread = 0.3 if "modulation" in name else parameter[0].numel() ** -0.5
                parameter.normal_(std=spread)
    return transformer.to(torch.bfloat16).eval().requires_grad_(False)


def velocity(transformer, device="cpu"):
    generator = torch.Generator().manual_seed(1)
    latents, text = torch.randn(2, 4, 3, 8, 8, generator=generator), torch.randn(2, 5, 64, generator=generator)
    with torch.inference_mode():
        return transformer(latents.to(device), torch.tensor([0.3, 0.9], device=device), text.to(device)).cpu()


@pytest.mark.parametrize("weights, allowed", [("int8", 0.03), ("fp8", 0.08)])
def test_eight_bit_weights(weights, allowed):
    """Made on the CPU, they go to the GPU and back, as parts that take turns do."""
    pytest.importorskip("torchao")
    transformer = network()
    expected = velocity(transformer)
    quantize(transformer, "bf16")
    assert torch.equal(velocity(transformer), expected)
    quantize(transformer, weights)
    found = velocity(transformer.to(DEVICE), DEVICE)
    assert {parameter.device.type for parameter in transformer.parameters()} == {DEVICE.type}
    transformer.to("cpu")
    error = (found - expected).norm() / expected.norm()
    print(f"{weights}: relative error {error:.4f}")
    assert 0 < error < allowed
    block = transformer.blocks[0].ffn[0].weight
    inner = [getattr(block, name) for name in block.tensor_data_names]
    assert sum(tensor.nbytes for tensor in inner) < 0.52 * 2 * block.numel()


@pytest.mark.parametrize("weights", ["bf16", "int8", "fp8"])
def test_offloaded_blocks_give_the_same(weights):
    if weights != "bf16":
        pytest.importorskip("torchao")
    transformer = network()
    quantize(transformer, weights)
    expected = velocity(transformer)
    names = list(transformer.state_dict())
    offload_blocks(transformer, DEVICE)
    found = velocity(transformer, DEVICE)
    error = (found - expected).norm() / expected.norm()
    print(f"{weights}: relative error {error:.1e}")
    assert error == 0 if DEVICE.type == "cpu" else error < 0.02  # on another device, sums round differently in bf16
    assert torch.equal(velocity(transformer, DEVICE), found)
    assert list(transformer.state_dict()) == names
    assert {parameter.device.type for parameter in transformer.blocks.parameters()} == {"cpu"}


def test_the_next_block_is_prefetched_while_one_works():
    """On a device that only counts: at most two blocks are there at a time, and the next is prefetched."""
    transformer = offload_blocks(network(), "cpu")
    blocks, events = transformer.blocks, []
    prefetch = blocks._prefetch
    blocks._prefetch = lambda block, k: events.append(("prefetch", k)) or prefetch(block, k)
    for k, _ in enumerate(blocks):
        events.append(("work", k))
    assert events == [("prefetch", 0), ("prefetch", 1), ("work", 0), ("prefetch", 2), ("work", 1), ("work", 2)]


def test_stopping_early_leaves_the_blocks_offloaded():
    transformer = offload_blocks(network(), DEVICE)
    expected = velocity(transformer, DEVICE)
    for _ in transformer.blocks:
        break
    assert {parameter.device.type for parameter in transformer.blocks.parameters()} == {"cpu"}
    assert torch.equal(velocity(transformer, DEVICE), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_offloading_holds_two_blocks_on_the_gpu():
    """Also while the GPU is far behind: here it sleeps until all blocks have been asked for."""
    transformer = offload_blocks(network(1024, 8), DEVICE)
    assert all(parameter.is_pinned() for parameter in transformer.blocks.parameters())
    expected = velocity(transformer, DEVICE)  # also gives the GPU's libraries their memory
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    torch.cuda._sleep(500_000_000)  # cycles: a quarter of a second
    found = velocity(transformer, DEVICE)
    block = sum(parameter.nbytes for parameter in transformer.blocks[0].parameters())
    blocks = (torch.cuda.max_memory_allocated() - before) / block
    print(f"{blocks:.2f} blocks on the GPU")
    assert blocks < 2.5
    assert torch.equal(found, expected)


def test_experts():
    high, low = network(), network()
    with pytest.raises(ValueError, match="different sizes"):
        Experts(high, network(128), 0.875)
    with pytest.raises(ValueError, match="boundary must be a noise level between 0 and 1, got 875"):
        Experts(high, low, 875)
    experts = Experts(high, low, 0.875, model_offload=True)
    experts.take_turn(low)  # nothing to move without a GPU
    assert experts.parts() == (high, low) and high.device == low.device
