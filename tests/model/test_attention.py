"""Every way of computing attention gives what PyTorch's own gives."""

import pytest
import torch
import torch.nn.functional as F

from tenku.model import attention as module
from tenku.model.attention import attention


def reference(q, k, v, mask=None):
    bias = None if mask is None else mask[:, None, None]
    heads_first = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(*heads_first, attn_mask=bias).transpose(1, 2)


def example(batch=2, queries=70, keys=50, heads=3, width=16):
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(batch, queries, heads, width, generator=generator)
    k, v = torch.randn(2, batch, keys, heads, width, generator=generator)
    mask = torch.rand(batch, keys, generator=generator) > 0.4
    return q, k, v, mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("block", [900_000, 1200])  # the second makes chunks whose last one is shorter
@pytest.mark.parametrize("amx", [False, True])
def test_equals_fused(masked, training, block, amx, monkeypatch):
    monkeypatch.setattr(module, "SCORE_BLOCK", block)
    monkeypatch.setattr(module, "AMX", amx)
    q, k, v, mask = example()
    mask = mask if masked else None
    with torch.set_grad_enabled(training):
        out = attention(q.requires_grad_(training), k, v, mask)
    torch.testing.assert_close(out, reference(q, k, v, mask), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("limit", [64_000_000, 10])  # the second sends training to the fused kernel
def test_gradients_equal_fused(limit, monkeypatch):
    monkeypatch.setattr(module, "TRAINING_SCORES", limit)
    *inputs, mask = example(queries=9, keys=7)
    inputs = [x.requires_grad_() for x in inputs]
    ours = torch.autograd.grad(attention(*inputs, mask).square().sum(), inputs)
    theirs = torch.autograd.grad(reference(*inputs, mask).square().sum(), inputs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_bf16_is_close():
    q, k, v, mask = example()
    out = attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), mask)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), reference(q, k, v, mask), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("training", [False, True])
def test_a_row_without_keys_is_finite(training):
    q, k, v, mask = example()
    mask[0] = False
    assert torch.isfinite(attention(q.requires_grad_(training), k, v, mask)).all()
