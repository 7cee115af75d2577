"""Mixed precision: the dtype that a device multiplies fastest, and autocast, for training, encoding and sampling."""

import torch


def fastest_dtype(device: torch.device | str) -> torch.dtype:
    """bf16 where the hardware multiplies it, else float32: a CPU that only emulates bf16 is 50 times slower with it."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16
    if kind == "cpu":
        return torch.bfloat16 if cpu_has("avx512_bf16") or cpu_has("amx_bf16") else torch.float32
    return torch.float32


def cpu_has(feature: str) -> bool:
    """Whether the CPU has instructions of this name, as far as PyTorch can tell."""
    return bool(torch.cpu.get_capabilities().get(feature)) if hasattr(torch.cpu, "get_capabilities") else False


def autocast(device: torch.device | str) -> torch.autocast:
    """torch.autocast to bf16 over float32 weights where that is faster, else disabled."""
    dtype = fastest_dtype(device)
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=dtype == torch.bfloat16)
