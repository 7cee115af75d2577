"""A running average of weights: what is shown, validated and shipped.

The average forgets fast at first (its first steps are worth little) and settles at `decay`.
"""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn


class Average:
    """Averages of named modules, themselves modules that can be called."""

    def __init__(self, modules: Mapping[str, nn.Module], decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        self.decay = decay
        self.modules = {name: deepcopy(module).eval().requires_grad_(False) for name, module in modules.items()}
        self._pairs = [
            (average, parameter)
            for name, module in modules.items()
            for average, parameter in zip(self.modules[name].parameters(), module.parameters(), strict=True)
        ]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step number `step` (the first is 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, parameters = (list(side) for side in zip(*self._pairs, strict=True))
        torch._foreach_lerp_(averages, parameters, 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """Flat: MODULE.NAME."""
        return {
            f"{name}.{key}": value
            for name, module in self.modules.items()
            for key, value in module.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, module in self.modules.items():
            start = f"{name}."
            own = {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
            module.load_state_dict(own)
