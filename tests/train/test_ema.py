import pytest
import torch
from torch import nn

from tenku.train.ema import EMA


def test_average_follows_and_settles():
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.0)
    average = EMA({"m": module}, decay=0.9)
    with torch.no_grad():
        module.weight.fill_(1.0)
    average.update(1)
    assert average.modules["m"].weight.item() == pytest.approx(1 - 2 / 11)  # forgets fast at first
    for step in range(2, 200):
        average.update(step)
    with torch.no_grad():
        module.weight.fill_(2.0)
    before = average.modules["m"].weight.item()
    average.update(1000)
    assert average.modules["m"].weight.item() == pytest.approx(before + 0.1 * (2 - before))
    assert not average.modules["m"].weight.requires_grad


def test_state_goes_round():
    module = nn.Linear(2, 3)
    average, fresh = EMA({"a": module}), EMA({"a": nn.Linear(2, 3)})
    assert set(average.state_dict()) == {"a.weight", "a.bias"}
    fresh.load_state_dict(average.state_dict())
    assert torch.equal(fresh.modules["a"].weight, module.weight)
