"""Two experts by noise level (a mixture of experts in time): Wan2.2-A14B's high-noise and low-noise transformers."""

from dataclasses import dataclass

import torch
from torch import nn

from tenku.model.transformer import Transformer, TransformerConfig


@dataclass
class Experts:
    """`high` denoises at noise levels t >= `boundary`, `low` below it (`boundary_ratio` in diffusers).

    model_offload: the idle one is in main memory. ValueError: different sizes, or a boundary outside (0, 1).
    """

    high: Transformer
    low: Transformer
    boundary: float
    model_offload: bool = False

    def __post_init__(self) -> None:
        if self.high.config != self.low.config:
            raise ValueError("the two experts' transformers have different sizes")
        if not 0 < self.boundary < 1:
            raise ValueError(f"the experts' boundary must be a noise level between 0 and 1, got {self.boundary}")

    @property
    def config(self) -> TransformerConfig:
        return self.high.config

    def parts(self) -> tuple[Transformer, Transformer]:
        return self.high, self.low

    def take_turn(self, expert: Transformer) -> None:
        """Call it before `expert` works: with model_offload, swap it onto the device and the other one off it."""
        other = self.low if expert is self.high else self.high
        if self.model_offload and other.device != expert.device and expert.device.type == "cpu":
            device = other.device
            move(other, torch.device("cpu"))
            move(expert, device)


@torch.inference_mode(False)  # quantized weights cannot be moved in that mode
def move(module: nn.Module, device: torch.device) -> None:
    """Move a module to a device, in place."""
    module.to(device)
