"""Scaled-dot-product attention: one function that picks the fastest exact kernel for the device.

On accelerators, and on CPUs that multiply tiles (AMX), that is PyTorch's fused scaled-dot-product attention. On other
CPUs the fused kernel runs bf16 no faster than fp32, so there queries are taken in chunks whose scores stay in cache and
two plain matrix products do the work: about twice as fast for one clip.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tenku.model.precision import cpu_has

# The fused kernel multiplies bf16 in tiles where the CPU can: twice as fast as chunks, and faster in float32 too.
AMX = cpu_has("amx_bf16")
# Scores of one chunk: 0.9M bf16 elements fit the second-level cache of common server cores.
SCORE_BLOCK = 900_000
# Above this many scores (batch, heads, queries, keys together) training on CPU goes back to the fused kernel,
# which does not keep them all for the backward pass.
TRAINING_SCORES = 64_000_000


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Multi-head softmax attention.

    q: B N H D; k, v: B M H D; mask: B M bool, True where a key is attended to, or None for all of them.
    Returns B N H D. A fully masked row gives finite, meaningless values, never NaN.
    """
    if q.device.type == "meta":  # shapes without numbers, for counting memory: the fused kernel, which keeps no scores
        if not q.requires_grad:
            return v.new_empty(q.shape)
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        return torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[0].transpose(1, 2)
    if q.device.type != "cpu":
        return _fused(q, k, v, mask)
    if not (torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)):
        return _fused(q, k, v, mask) if AMX else _chunked(q, k, v, mask)
    if q.shape[0] * q.shape[1] * q.shape[2] * k.shape[1] <= TRAINING_SCORES:
        return _batched(q, k, v, mask)
    return _fused(q, k, v, mask)


def _bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask: 0 where True, elsewhere the most negative number: finite, so that no row becomes NaN."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


def _fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """PyTorch's fused kernel."""
    bias = None if mask is None else _bias(mask, q.dtype)[:, None, None]  # B 1 1 M
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=bias)
    return out.transpose(1, 2)


def _batched(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """All heads in two batched products; keeps the scores, which makes the backward pass cheap."""
    scores = (q * q.shape[-1] ** -0.5).transpose(1, 2) @ k.permute(0, 2, 3, 1)  # B H N M
    if mask is not None:
        scores = scores + _bias(mask, scores.dtype)[:, None, None]
    return (scores.softmax(-1).to(v.dtype) @ v.transpose(1, 2)).transpose(1, 2)


def _chunked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Head by head, a chunk of queries at a time."""
    batch, queries, heads, width = q.shape
    keys = k.shape[1]
    chunks = -(-queries * keys // SCORE_BLOCK)
    chunk = max(16, -(-queries // max(1, chunks)))
    bias = None if mask is None else _bias(mask, q.dtype)  # B M
    q = q * width**-0.5
    out = torch.empty(batch, queries, heads, width, dtype=v.dtype, device=q.device)
    for b in range(batch):
        for h in range(heads):
            keys_t, values = k[b, :, h].t(), v[b, :, h]
            for start in range(0, queries, chunk):
                scores = torch.mm(q[b, start : start + chunk, h], keys_t)
                if bias is not None:
                    scores += bias[b]
                out[b, start : start + chunk, h] = torch.mm(scores.softmax(-1).to(v.dtype), values)
    return out
