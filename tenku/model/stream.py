"""Blocks of a transformer that is too large for the GPU: they lie in main memory and come one after another.

While a block works, the next one is on its way on a stream of its own, so a step takes as long as the slower of the
two, and the GPU holds two blocks.
"""

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from tenku.model.transformer import Transformer


class StreamedBlocks(nn.ModuleList):
    """Iterating yields each block with its weights on `device`, and drops them there when the next one is asked for."""

    def __init__(self, blocks: nn.ModuleList, device: torch.device) -> None:
        super().__init__(blocks)
        self.device = device
        self.on_gpu = device.type == "cuda"
        self.at_rest = [dict(tensors_of(block)) for block in self]
        if self.on_gpu:  # pinned memory is copied without the processor
            self.at_rest = [{key: tensor.pin_memory() for key, tensor in rest.items()} for rest in self.at_rest]
        self.copying = torch.cuda.Stream(device) if self.on_gpu else None

    def __iter__(self) -> Iterator[nn.Module]:
        blocks = list(super().__iter__())
        if not hasattr(self, "at_rest"):  # while it is being built
            yield from blocks
            return
        ready = self._fetch(blocks[0], 0) if blocks else None
        for k, block in enumerate(blocks):
            arrived = ready
            if k + 1 < len(blocks):
                ready = self._fetch(blocks[k + 1], k + 1)
            if arrived is not None:
                torch.cuda.current_stream(self.device).wait_event(arrived)
                for _, tensor in tensors_of(block):
                    tensor.record_stream(torch.cuda.current_stream(self.device))
            yield block
            put(block, self.at_rest[k])

    def _fetch(self, block: nn.Module, k: int) -> torch.cuda.Event | None:
        """Start copying a block to the device; the event says when it has arrived."""
        with torch.cuda.stream(self.copying) if self.copying is not None else nullcontext():
            put(block, {key: tensor.to(self.device, non_blocking=True) for key, tensor in self.at_rest[k].items()})
            return self.copying.record_event() if self.copying is not None else None


def tensors_of(block: nn.Module) -> Iterator[tuple[tuple[str, str], Tensor]]:
    """Every parameter by the name of its module and its own."""
    for path, module in block.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            yield (path, name), parameter.data


def put(block: nn.Module, tensors: dict[tuple[str, str], Tensor]) -> None:
    """Replace the parameters of a block."""
    modules = dict(block.named_modules())
    for (path, name), tensor in tensors.items():
        modules[path]._parameters[name] = nn.Parameter(tensor, requires_grad=False)


def stream_blocks(transformer: Transformer, device: torch.device | str) -> Transformer:
    """The transformer with everything but its blocks on `device`, and its blocks streamed there; changed in place."""
    device = torch.device(device)
    blocks = transformer.blocks
    transformer.blocks = nn.ModuleList()
    transformer.to(device)
    transformer.blocks = StreamedBlocks(blocks, device)
    return transformer
