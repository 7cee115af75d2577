"""Exponential moving average of weights: what is shown, validated and shipped.

Not `torch.optim.swa_utils.AveragedModel`: the same bytes in 1.8 times the time, under other names of tensors.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


class EMA:
    """Averages of named modules, themselves modules that can be called.

    The decay grows from 2/11 after the first step, whose weights are worth little, to `decay`.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        self.decay = decay
        self.modules: dict[str, Any] = {
            name: deepcopy(module).eval().requires_grad_(False) for name, module in modules.items()
        }
        self._averages: list[Tensor] = [average for name in modules for average in self.modules[name].parameters()]
        self._parameters: list[Tensor] = [parameter for module in modules.values() for parameter in module.parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step number `step` (the first is 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._parameters, 1 - decay)

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
