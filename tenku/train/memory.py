"""Predict the memory of a training step by a dry run on the meta device, where tensors have shapes and no numbers."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from tenku.model import TextEncoder, Transformer, presets
from tenku.system.live_bytes import LiveBytes
from tenku.train.optim import Optimizer, is_hidden

META = torch.device("meta")


class Bf16Products(TorchFunctionMode):
    """Matrix products in bf16 over float32 weights, as autocast has them: that one knows no meta device."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is F.linear:
            args = tuple(each.to(torch.bfloat16) if isinstance(each, torch.Tensor) else each for each in args)
        return function(*args, **(kwargs or {}))


def training_memory(preset: str, latent_shape: tuple[int, ...], tokens: int | None = None) -> dict[str, int]:
    """Bytes on a GPU that a step takes for latents B C T H W, by what they are for; "peak" is all at once.

    weights, ema and gradients are float32; optimizer: Muon's momentum and AdamW's two moments; activations: all that
    the forward pass leaves, not compiled, copies of the weights in bf16 included; update: what the optimizer holds for
    a moment, when the activations are gone and the gradients are there. tokens: of each text, by default the most that
    are read. ValueError when the preset has no text encoder to train. What CUDA's libraries take comes on top.
    """
    sizes = presets.get(preset)
    if sizes.text is None:
        raise ValueError(f"the preset {preset!r} has no text encoder to train with it")
    with META:
        modules: dict[str, nn.Module] = {
            "transformer": Transformer(sizes.transformer),
            "text": TextEncoder(sizes.text),
        }
    parameters = [parameter for module in modules.values() for parameter in module.parameters()]
    weights = sum(parameter.nbytes for parameter in parameters)
    optimizer = Optimizer(modules, hidden=is_hidden)
    states = sum(each.nbytes for each in optimizer.momentum.values())
    states += 2 * sum(each.nbytes for each in optimizer.rest.values())

    batch, _, frames = latent_shape[:3]
    with LiveBytes(parameters) as live, META, Bf16Products():
        latents, t = torch.empty(latent_shape), torch.empty(batch, frames)
        ids = torch.empty(batch, tokens or sizes.text.max_tokens, dtype=torch.long)
        mask = torch.empty(ids.shape, dtype=torch.bool)
        predicted = modules["transformer"](latents, t, modules["text"](ids, mask), mask).float()
        loss = (predicted - latents).square().mean()
        del predicted
        activations = live.peak
        loss.backward()
        del loss
    with LiveBytes([*parameters, *optimizer.momentum.values()]) as update:
        optimizer._muon_step(1.0)
    found = {"weights": weights, "ema": weights, "gradients": weights, "optimizer": states}
    found |= {"activations": activations, "update": update.peak}
    return found | {"peak": 2 * weights + states + max(live.peak, weights + update.peak)}
