import pytest
import torch

from tenku.model.precision import autocast, fastest_dtype


@pytest.mark.parametrize(
    ("can", "dtype"),
    [({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32)],
)
def test_a_cpu_that_only_emulates_bf16_computes_in_float32(monkeypatch, can, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can, raising=False)
    assert fastest_dtype("cpu") == dtype
    with autocast("cpu"):
        product = torch.nn.Linear(4, 4)(torch.ones(1, 4))
    assert product.dtype == dtype


def test_gpus_multiply_bf16():
    assert fastest_dtype("cuda") == torch.bfloat16
