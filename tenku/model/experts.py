"""Two transformers that share the work: one for high noise, one for low, as in Wan2.2-A14B."""

from dataclasses import dataclass

import torch

from tenku.model.transformer import Transformer, TransformerConfig


@dataclass
class Experts:
    """`high` works at noise levels from `boundary` up, `low` below. low_guidance None: the same guidance for both."""

    high: Transformer
    low: Transformer
    boundary: float
    low_guidance: float | None = None

    def __post_init__(self) -> None:
        if self.high.config != self.low.config:
            raise ValueError("the two experts' transformers have different sizes")
        if not 0 < self.boundary < 1:
            raise ValueError(f"the experts' boundary must be a noise level between 0 and 1, got {self.boundary}")

    @property
    def config(self) -> TransformerConfig:
        return self.high.config

    @property
    def device(self) -> torch.device:
        return self.high.device
