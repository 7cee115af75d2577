"""How the parts of large weights share the memory of a device."""

from dataclasses import dataclass

WEIGHTS = ("bf16", "int8", "fp8")  # how a transformer's weights may be held; float32 where bf16 is only emulated


@dataclass(frozen=True)
class Plan:
    """How the parts of large weights are held, from most memory and speed to least.

    weights: bf16, int8 or fp8, of the transformer's blocks. apart: text encoder, transformer and autoencoder take turns
    on the device. tiled: large pictures are decoded in tiles. one_by_one: prompt and negative prompt run one after the
    other. stream: the blocks lie in main memory and come to the GPU one at a time; the text encoder stays there.
    """

    weights: str = "bf16"
    apart: bool = False
    tiled: bool = False
    one_by_one: bool = False
    stream: bool = False

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights are held as {', '.join(WEIGHTS)}, not {self.weights!r}")
        if self.stream and self.weights != "bf16":
            raise ValueError(f"streamed blocks are held as bf16, not {self.weights}")

    def __str__(self) -> str:
        told = {
            "parts take turns": self.apart,
            "decode in tiles": self.tiled,
            "texts one by one": self.one_by_one,
            "blocks streamed": self.stream,
        }
        return ", ".join([self.weights, *(words for words, yes in told.items() if yes)])
