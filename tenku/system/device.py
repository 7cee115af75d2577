"""Choose the device to run on: CUDA, MPS (Apple) or another accelerator that PyTorch sees, else the CPU."""

import torch


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The torch.device of that name; None or "auto": the accelerator where there is one, else the CPU."""
    if name is not None and name != "auto":
        return torch.device(name)
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
