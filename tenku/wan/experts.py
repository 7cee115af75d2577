"""Two transformers that share the work: one for high noise, one for low, as in Wan2.2-A14B."""

from dataclasses import dataclass

import torch
from torch import nn

from tenku.model.transformer import Transformer, TransformerConfig


@dataclass
class Experts:
    """`high` works at noise levels from `boundary` up, `low` below.

    With `model_offload`, the one that does not work lies in main memory.
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
        """`expert` is about to work: with `model_offload`, it changes places with the other one if that was at work."""
        other = self.low if expert is self.high else self.high
        if self.model_offload and other.device != expert.device and expert.device.type == "cpu":
            device = other.device
            move(other, torch.device("cpu"))
            move(expert, device)


@torch.inference_mode(False)  # in which weights in 8 bits cannot be moved
def move(module: nn.Module, device: torch.device) -> None:
    """A module to a device, in place."""
    module.to(device)
