"""Blocks of a transformer that is too large for the GPU: they lie in main memory and come one after another.

While a block works, the next one is on its way on a stream of its own, so a step takes as long as the slower of the
two, and the GPU holds two blocks: each takes the place of the last but one, once that has done its work.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from tenku.model.transformer import Transformer

Tensors = dict[tuple[str, str], Tensor]  # of a block, by the name of the module and the tensor's own


class StreamedBlocks(nn.ModuleList):
    """Iterating yields each block with its weights on `device`, and drops them there when the next one is asked for.

    The blocks are alike in all but their numbers.
    """

    def __init__(self, blocks: nn.ModuleList, device: torch.device) -> None:
        super().__init__(blocks)
        self.device = device
        self.on_gpu = device.type == "cuda"
        self.copying = torch.cuda.Stream(device) if self.on_gpu else None
        self.at_rest: list[Tensors] = []
        self.places: list[Tensors] = []  # on the GPU, during an iteration
        self.left: list[torch.cuda.Event] = []  # when the block in each place has done its work
        for block in blocks:
            tensors = tensors_of(block)
            if self.on_gpu:  # pinned memory is copied without the processor
                tensors = {key: of_parts(tensor, Tensor.pin_memory) for key, tensor in tensors.items()}
                put(block, tensors)  # at once, so that there is never a second copy of all
            self.at_rest.append(tensors)

    def __iter__(self) -> Iterator[nn.Module]:
        blocks = list(super().__iter__())
        if not hasattr(self, "at_rest"):  # while it is being built
            yield from blocks
            return
        if self.copying is not None and blocks:
            self.places = [self._place() for _ in blocks[:2]]
            self.left = [torch.cuda.current_stream(self.device).record_event() for _ in self.places]
        k = 0
        try:
            ready = self._fetch(blocks[0], 0) if blocks else None
            for k, block in enumerate(blocks):
                arrived = ready
                if k + 1 < len(blocks):
                    ready = self._fetch(blocks[k + 1], k + 1)
                if arrived is not None:
                    torch.cuda.current_stream(self.device).wait_event(arrived)
                yield block
                put(block, self.at_rest[k])
                if self.on_gpu:
                    self.left[k % 2] = torch.cuda.current_stream(self.device).record_event()
        finally:  # also when whoever iterates stops early
            for j in range(k, min(k + 2, len(blocks))):
                put(blocks[j], self.at_rest[j])
            if self.copying is not None:
                torch.cuda.current_stream(self.device).wait_stream(self.copying)
            self.places, self.left = [], []

    @torch.inference_mode(False)  # tensors of that mode cannot become parameters
    def _place(self) -> Tensors:
        """Room for a block on the device."""
        empty = partial(torch.empty_like, device=self.device)
        return {key: of_parts(tensor, empty) for key, tensor in self.at_rest[0].items()}

    def _fetch(self, block: nn.Module, k: int) -> torch.cuda.Event | None:
        """Start copying a block to the device; the event says when it has arrived."""
        if self.copying is None:
            put(block, {key: tensor.to(self.device) for key, tensor in self.at_rest[k].items()})
            return None
        place = self.places[k % 2]
        # The processor is far ahead of the GPU here: without this, all blocks would be there at once.
        self.copying.wait_event(self.left[k % 2])
        with torch.cuda.stream(self.copying):
            for key, tensor in self.at_rest[k].items():
                for there, here in zip(parts_of(place[key]), parts_of(tensor), strict=True):
                    there.copy_(here, non_blocking=True)
        put(block, place)
        return self.copying.record_event()


def parts_of(tensor: Tensor) -> list[Tensor]:
    """What a tensor consists of: of one in 8 bits, its numbers and their scales."""
    if not is_traceable_wrapper_subclass(tensor):
        return [tensor]
    return [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]


def of_parts(tensor: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """A tensor of the same kind, each of its parts changed."""
    if not is_traceable_wrapper_subclass(tensor):
        return change(tensor)
    names, context = tensor.__tensor_flatten__()
    parts = {name: change(getattr(tensor, name)) for name in names}
    return type(tensor).__tensor_unflatten__(parts, context, tensor.shape, tensor.stride())


def tensors_of(block: nn.Module) -> Tensors:
    """Every parameter by the name of its module and its own."""
    return {
        (path, name): parameter.data
        for path, module in block.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
    }


@torch.inference_mode(False)
def put(block: nn.Module, tensors: Tensors) -> None:
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
