"""Block-wise CPU offload with one-block prefetch on a second CUDA stream, for transformers larger than the GPU.

While a block computes, the next one is copied from pinned memory, so a step takes as long as the slower of the two.
The GPU holds two blocks; their memory is allocated once a step and reused. `diffusers.hooks.apply_group_offloading`
does it by hooks on a block's forward, which `Transformer.text_keys_values` goes around; the speed of both has not been
compared yet, which takes a GPU.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from tenku.model.transformer import Transformer

BlockTensors = dict[tuple[str, str], Tensor]  # parameters of a block by (path of the module, name of the parameter)


class OffloadedBlocks(nn.ModuleList):
    """A module list in main memory: iterating yields each block on `device` and offloads it again after its turn.

    The blocks must have the same shapes. Without CUDA they are copied without prefetch or pinned memory.
    """

    def __init__(self, blocks: nn.ModuleList, device: torch.device) -> None:
        super().__init__(blocks)
        self.device = device
        self.on_gpu = device.type == "cuda"
        self.copy_stream = torch.cuda.Stream(device) if self.on_gpu else None
        self.cpu_tensors: list[BlockTensors] = []
        self.buffers_on_gpu: list[BlockTensors] = []  # two, during an iteration
        self.computed: list[torch.cuda.Event] = []  # when the block in each buffer has done its work
        for block in blocks:
            tensors = block_tensors(block)
            if self.on_gpu:
                tensors = {key: map_parts(tensor, Tensor.pin_memory) for key, tensor in tensors.items()}
                set_parameters(block, tensors)  # at once, so that there is never a second copy of all
            self.cpu_tensors.append(tensors)

    def __iter__(self) -> Iterator[nn.Module]:
        blocks = list(super().__iter__())
        if not hasattr(self, "cpu_tensors"):  # while it is being built
            yield from blocks
            return
        if self.copy_stream is not None and blocks:
            self.buffers_on_gpu = [self._allocate_buffer() for _ in blocks[:2]]
            self.computed = [torch.cuda.current_stream(self.device).record_event() for _ in self.buffers_on_gpu]
        k = 0
        try:
            prefetched = self._prefetch(blocks[0], 0) if blocks else None
            for k, block in enumerate(blocks):
                copied = prefetched
                if k + 1 < len(blocks):
                    prefetched = self._prefetch(blocks[k + 1], k + 1)
                if copied is not None:
                    torch.cuda.current_stream(self.device).wait_event(copied)
                yield block
                set_parameters(block, self.cpu_tensors[k])
                if self.on_gpu:
                    self.computed[k % 2] = torch.cuda.current_stream(self.device).record_event()
        finally:  # also when whoever iterates stops early
            for j in range(k, min(k + 2, len(blocks))):
                set_parameters(blocks[j], self.cpu_tensors[j])
            if self.copy_stream is not None:
                torch.cuda.current_stream(self.device).wait_stream(self.copy_stream)
            self.buffers_on_gpu, self.computed = [], []

    @torch.inference_mode(False)  # tensors of that mode cannot become parameters
    def _allocate_buffer(self) -> BlockTensors:
        """Uninitialised memory for one block on the device."""
        empty = partial(torch.empty_like, device=self.device)
        return {key: map_parts(tensor, empty) for key, tensor in self.cpu_tensors[0].items()}

    def _prefetch(self, block: nn.Module, k: int) -> torch.cuda.Event | None:
        """Start copying a block to the device; returns the event of its arrival, None where it was copied at once."""
        if self.copy_stream is None:
            set_parameters(block, {key: tensor.to(self.device) for key, tensor in self.cpu_tensors[k].items()})
            return None
        buffer = self.buffers_on_gpu[k % 2]
        # The CPU is far ahead of the GPU here: the buffer may still be read by the block before the last.
        self.copy_stream.wait_event(self.computed[k % 2])
        with torch.cuda.stream(self.copy_stream):
            for key, tensor in self.cpu_tensors[k].items():
                for on_gpu, on_cpu in zip(plain_parts(buffer[key]), plain_parts(tensor), strict=True):
                    on_gpu.copy_(on_cpu, non_blocking=True)
        set_parameters(block, buffer)
        return self.copy_stream.record_event()


def plain_parts(tensor: Tensor) -> list[Tensor]:
    """The plain tensors that a tensor consists of: of a quantized one, its integers and their scales."""
    if not is_traceable_wrapper_subclass(tensor):
        return [tensor]
    return [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]


def map_parts(tensor: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """A tensor of the same class with `function` applied to each of its plain parts."""
    if not is_traceable_wrapper_subclass(tensor):
        return function(tensor)
    names, context = tensor.__tensor_flatten__()
    parts = {name: function(getattr(tensor, name)) for name in names}
    return type(tensor).__tensor_unflatten__(parts, context, tensor.shape, tensor.stride())


def block_tensors(block: nn.Module) -> BlockTensors:
    """Every parameter of a block by the path of its module and its own name."""
    return {
        (path, name): parameter.data
        for path, module in block.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
    }


@torch.inference_mode(False)
def set_parameters(block: nn.Module, tensors: BlockTensors) -> None:
    """Replace the parameters of a block by tensors, without copying."""
    modules = dict(block.named_modules())
    for (path, name), tensor in tensors.items():
        modules[path]._parameters[name] = nn.Parameter(tensor, requires_grad=False)


def offload_blocks(transformer: Transformer, device: torch.device | str) -> Transformer:
    """Offload a transformer's blocks to main memory and move the rest to `device`, in place; returns it."""
    device = torch.device(device)
    blocks = transformer.blocks
    transformer.blocks = nn.ModuleList()
    transformer.to(device)
    transformer.blocks = OffloadedBlocks(blocks, device)
    return transformer
