"""How much memory a generation takes, found out beforehand by running it on the meta device, where nothing is stored.

Every stage is run for real (text aside, whose weights outweigh all else) on tensors that have shapes and no numbers,
while the bytes of all tensors alive are counted. So the answer follows the code, whatever it does, for any size and
length. What a GPU's libraries take for themselves comes on top.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tenku.loading import open_weights_settings, recognise
from tenku.model.precision import fastest_dtype
from tenku.model.presets import get
from tenku.model.settings import ModelSettings
from tenku.model.transformer import Transformer
from tenku.sample.conditioning import Conditioning
from tenku.sample.guidance import guided_velocity
from tenku.system.device import choose_device
from tenku.system.machine import available_memory
from tenku.wan.catalogue import TEXT_PARAMETERS, OpenWeights
from tenku.wan.memory_plan import MemoryPlan
from tenku.wan.vae import WanAutoencoder, published_autoencoder

GPU_OVERHEAD = 800 * 2**20  # what CUDA's context and libraries take outside the allocator: 0.80 GB on an H200
WORKSPACE = 1.13  # of what decoding needs: cuDNN's convolutions work in a part of the allocator's memory
USABLE = 0.94  # of the free memory: the allocator's blocks are never filled to the last byte
TEXT_TOKENS, TEXT_SIZE = 512, 4096
META = torch.device("meta")

# From the fastest to the most frugal: the first that fits is taken.
PLANS = (
    MemoryPlan(),
    MemoryPlan(model_offload=True),
    MemoryPlan(model_offload=True, tiled=True),
    MemoryPlan(model_offload=True, tiled=True, sequential_cfg=True),
    MemoryPlan("int8", model_offload=True, tiled=True, sequential_cfg=True),
    MemoryPlan(model_offload=True, tiled=True, sequential_cfg=True, block_offload=True),
)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors made within it that are alive: `now`, and `peak` at the worst moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                if storage._cdata not in self._alive:
                    self._alive.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return result

    def _gone(self, storage: int, size: int) -> None:
        self._alive.discard(storage)
        self.now -= size


@contextmanager
def counting() -> Iterator[LiveBytes]:
    with LiveBytes() as live, torch.inference_mode():
        yield live


def stages(entry: OpenWeights, plan: MemoryPlan, size: tuple[int, int], num_frames: int, device: str) -> dict[str, int]:
    """Bytes on the device ("cuda" or "cpu") at the worst moment of each stage: text, denoise, decode.

    size: (width, height) in pixels. The weights that lie there are part of each. A CPU holds all of them anyway, the
    text encoder aside.
    """
    config = get(entry.preset).transformer
    autoencoder = published_autoencoder(config.latent_channels)
    dtype = fastest_dtype(device)
    with META:
        transformer = Transformer(config).to(dtype)
    compression = autoencoder.spatial_compression
    height, width = size[1] // compression, size[0] // compression
    shape = (1, config.latent_channels, autoencoder.latent_frames(num_frames), height, width)

    weights = {
        "text": 0 if plan.block_offload and device == "cuda" else dtype.itemsize * TEXT_PARAMETERS,
        "denoise": transformer_bytes(transformer, entry.experts, plan, device),
        "decode": bytes_of(autoencoder),
    }
    work = {
        "text": 0,
        "denoise": _denoising(entry.preset, shape, dtype, plan.sequential_cfg),
        "decode": _decoding(config.latent_channels, shape, plan.tiled),
    }
    if device == "cuda":
        work["decode"] = int(WORKSPACE * work["decode"])
    # Of streamed transformers, what lies around their blocks stays on the GPU.
    staying = entry.experts * around(transformer) if plan.block_offload and device == "cuda" else 0
    found = {}
    for stage in weights:
        others = [size for part, size in weights.items() if part != stage]
        if plan.model_offload and device == "cpu":
            others = [weights[part] for part in ("denoise", "decode") if part != stage]
        elif plan.model_offload:
            others = [] if stage == "denoise" else [staying]
        found[stage] = weights[stage] + sum(others) + work[stage] + (GPU_OVERHEAD if device == "cuda" else 0)
    return found


def transformer_bytes(transformer: Transformer, experts: int, plan: MemoryPlan, device: str) -> int:
    """Of its weights on the device, of all experts that are there at the same time."""
    blocks = bytes_of(transformer.blocks)
    if plan.weight_dtype != "bf16":
        blocks //= transformer.dtype.itemsize  # a byte a weight
    if plan.block_offload and device == "cuda":
        # The block at work and the one on its way; of another expert, only what lies around its blocks.
        return experts * around(transformer) + 2 * blocks // transformer.config.depth
    return (around(transformer) + blocks) * (1 if plan.model_offload and device == "cuda" else experts)


def around(transformer: Transformer) -> int:
    """Bytes of the weights that are in no block."""
    return bytes_of(transformer) - bytes_of(transformer.blocks)


@lru_cache(maxsize=64)
def _denoising(preset: str, shape: tuple[int, ...], dtype: torch.dtype, sequential_cfg: bool) -> int:
    with META:
        return denoising(Transformer(get(preset).transformer).to(dtype), shape, sequential_cfg)


@lru_cache(maxsize=64)
def _decoding(latent_channels: int, shape: tuple[int, ...], tiled: bool) -> int:
    autoencoder = published_autoencoder(latent_channels)
    autoencoder.tiled = tiled
    return decoding(autoencoder, shape)


def denoising(transformer: Transformer, shape: tuple[int, ...], sequential_cfg: bool) -> int:
    """Bytes that a step takes beside the weights: latents, texts' keys and values, activations."""
    with counting() as live, META:
        text = torch.empty(1, TEXT_TOKENS, TEXT_SIZE, dtype=transformer.dtype)
        beside = transformer.config.concat_channels
        given = torch.empty(shape[0], beside, *shape[2:]) if beside else None
        conditioning = Conditioning(text, None, torch.empty_like(text), None, concat_latents=given)
        velocity = guided_velocity(transformer, conditioning, 5.0, sequential_cfg=sequential_cfg)
        remembered = torch.empty(3, *shape)  # by the solver
        velocity(torch.empty(shape), torch.empty(1), 1.0)
        del remembered
    return live.peak


def decoding(autoencoder: WanAutoencoder, shape: tuple[int, ...]) -> int:
    """Bytes that decoding takes beside the weights. A stream is at its worst from its third latent frame on.

    In tiles, the worst is either the last tile, when all others lie there decoded, or joining them.
    """
    few = (*shape[:2], min(3, shape[2]), *shape[3:])
    if not autoencoder.tiled:
        with counting() as live, META:
            state: Any = None
            for part in torch.empty(few).split(1, dim=2):
                _, state = autoencoder.decode_next(part, state)
        return live.peak
    rows, columns = autoencoder.tiles(shape[3]), autoencoder.tiles(shape[4])
    with counting() as live, META:
        frame, _ = autoencoder.stream(torch.empty(few)[..., rows[0], columns[0]], autoencoder.nothing())
    of_a_tile = live.peak - frame.nbytes
    scale, channels, frames = frame.shape[-1] // (columns[0].stop - columns[0].start), frame.shape[1], 4 * shape[2] - 3
    with counting() as live, META:
        decoded = [
            torch.empty(1, channels, frames, scale * length(row, shape[3]), scale * length(column, shape[4]))
            for row in rows
            for column in columns
        ]
        tiles = live.now
        autoencoder.finish(autoencoder.join(decoded, len(columns), shape[3], shape[4]))
    return max(tiles + of_a_tile, live.peak)


def length(tile: slice, side: int) -> int:
    return min(tile.stop, side) - tile.start


def bytes_of(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in [*module.parameters(), *module.buffers()])


def choose_plan(
    entry: OpenWeights, size: tuple[int, int], num_frames: int, free: int, device: str
) -> tuple[MemoryPlan, dict[str, int]]:
    """The fastest plan whose worst stage fits into `free` bytes, and its stages.

    ValueError, with the least that is needed, when none does.
    """
    for plan in plans_for(device):
        need = stages(entry, plan, size, num_frames, device)
        if max(need.values()) <= USABLE * free:
            return plan, need
    width, height = size
    stage = max(need, key=need.__getitem__)
    raise ValueError(
        f"{entry.name} at {width}x{height} with {num_frames} frames needs {need[stage] / 1e9:.1f} GB at least (to "
        f"{stage}), {free / 1e9:.1f} GB are free: ask for a smaller size or fewer seconds"
    )


def plan_for(
    folder: Path,
    size: tuple[int, int] | None = None,
    seconds: float | None = None,
    device: str | torch.device | None = None,
) -> MemoryPlan:
    """The fastest plan in which a clip fits into the memory that is free; size and length default to the model's own.

    What is longer than that is made window by window, each as large as one clip. ValueError when no plan does. Weights
    that are not one of the known sets are held the plain way.
    """
    device = choose_device(device)
    settings, entry = open_weights_settings(folder), recognise(folder)
    if entry is None:
        return MemoryPlan()
    frames = settings.max_frames if seconds is None else clip_frames(settings, seconds)
    return choose_plan(entry, size or settings.sizes[0], frames, free_memory(device), device.type)[0]


def clip_frames(settings: ModelSettings, seconds: float) -> int:
    """Frames that are made at once of so many seconds."""
    return min(max(1, round(seconds * settings.fps)), settings.max_frames)


def plans_for(device: str) -> list[MemoryPlan]:
    """Blocks are streamed from main memory to a GPU; a CPU has nowhere to stream them from."""
    return [plan for plan in PLANS if device == "cuda" or not plan.block_offload]


def free_memory(device: torch.device) -> int:
    """Bytes that a new generation may take on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory()
