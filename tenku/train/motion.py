"""Measure where a clip moves; both the autoencoder's and the transformer's loss are weighted by it."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def either_side(change: Tensor) -> Tensor:
    """How much each frame differs from the one before or the one after it, whichever is more.

    change: … T-1 H W, from each frame to the next, none below 0; returns … T H W.
    """
    return torch.maximum(pad(change, (0, 0, 0, 0, 1, 0)), pad(change, (0, 0, 0, 0, 0, 1)))
