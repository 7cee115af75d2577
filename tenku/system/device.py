"""The device that work is done on."""

import torch


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name; "auto" or None takes a GPU where there is one."""
    if name is not None and name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
