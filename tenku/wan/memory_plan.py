"""Memory plans: offloading, tiled decoding and weight-only quantization for weights that fill a device's memory."""

from dataclasses import dataclass

WEIGHT_DTYPES = ("bf16", "int8", "fp8")  # bf16 becomes float32 where a device only emulates it


@dataclass(frozen=True)
class MemoryPlan:
    """How open weights share the memory of a device; each step saves memory and costs time.

    weight_dtype: of the transformer's blocks (weight-only quantization). model_offload: text encoder, transformer(s)
    and autoencoder are on the device only while they work, as in diffusers' enable_model_cpu_offload. tiled: the
    autoencoder works in overlapping tiles. sequential_cfg: classifier-free guidance in two forward passes instead of
    one of twice the batch. block_offload: block-wise CPU offload of the transformer; the text encoder runs on the CPU.
    """

    weight_dtype: str = "bf16"
    model_offload: bool = False
    tiled: bool = False
    sequential_cfg: bool = False
    block_offload: bool = False

    def __post_init__(self) -> None:
        if self.weight_dtype not in WEIGHT_DTYPES:
            raise ValueError(f"weights are held as {', '.join(WEIGHT_DTYPES)}, not {self.weight_dtype!r}")
        if self.block_offload and self.weight_dtype != "bf16":
            raise ValueError(f"offloaded blocks are held as bf16, not {self.weight_dtype}")

    def __str__(self) -> str:
        parts = {
            "parts take turns": self.model_offload,
            "decode in tiles": self.tiled,
            "texts one by one": self.sequential_cfg,
            "blocks streamed": self.block_offload,
        }
        return ", ".join([self.weight_dtype, *(words for words, used in parts.items() if used)])
