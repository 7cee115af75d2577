import pytest
import torch
from torch import nn

from tenku.train.optim import Optimizer, is_hidden_matrix


def small_network() -> nn.ModuleDict:
    torch.manual_seed(0)
    layers = {"up": (8, 32), "down": (32, 8), "q": (8, 8)}
    blocks = nn.ModuleList(nn.ModuleDict({name: nn.Linear(*sides) for name, sides in layers.items()}) for _ in range(2))
    return nn.ModuleDict({"patch_embedding": nn.Linear(4, 8), "blocks": blocks, "head": nn.Linear(8, 4)})


def give_gradients(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_muon_takes_hidden_matrices_and_kernels_only():
    names = {
        "blocks.0.self_attn.q.weight": (8, 8),
        "layers.1.ffn.0.weight": (32, 8),
        "decoder.up.weight": (16, 8, 3, 3),
        "patch_embedding.weight": (8, 4, 1, 2, 2),
        "token_embedding.weight": (100, 8),
        "blocks.0.modulation": (6, 8),
        "blocks.0.norm3.weight": (8,),
        "time_projection.1.weight": (48, 8),
        "head.head.weight": (16, 8),
    }
    chosen = {name for name, shape in names.items() if is_hidden_matrix(name, torch.empty(shape))}
    assert chosen == {"blocks.0.self_attn.q.weight", "layers.1.ffn.0.weight", "decoder.up.weight"}


def test_batched_muon_equals_torch_muon():
    ours, theirs = small_network(), small_network()
    optimizer = Optimizer(ours, muon_lr=0.02, adamw_lr=1e-3, weight_decay=0.1)
    matrices = [p for n, p in theirs.named_parameters() if is_hidden_matrix(n, p)]
    assert len(matrices) == 6
    reference = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for seed in range(3):
        give_gradients(ours, seed)
        give_gradients(theirs, seed)
        optimizer.step()
        reference.step()
    for name, parameter in ours.named_parameters():
        if is_hidden_matrix(name, parameter):
            torch.testing.assert_close(parameter, theirs.get_parameter(name), atol=2e-3, rtol=0)
            assert (parameter - small_network().get_parameter(name)).abs().max() > 0.01


def test_muon_update_of_a_kernel_has_the_size_of_adamw_whatever_its_memory_format():
    plain, channels_last = nn.Conv2d(16, 8, 3, bias=False), nn.Conv2d(16, 8, 3, bias=False)
    channels_last.load_state_dict(plain.state_dict())
    channels_last.to(memory_format=torch.channels_last)
    before = plain.weight.detach().clone()
    for module in (plain, channels_last):
        give_gradients(module, 1)
        Optimizer(module, muon_lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(plain.weight, channels_last.weight, atol=1e-5, rtol=0)
    size = (plain.weight.detach() - before).square().mean().sqrt().item()
    assert size == pytest.approx(0.1 * 0.2, rel=0.15)


def test_some_parameters_may_have_a_lower_rate():
    before, module = small_network(), small_network()
    give_gradients(module, 1)
    share = {"patch_embedding.weight": 0.1, "head.weight": 1.0}
    Optimizer(module, adamw_lr=1e-2, lr_mult=lambda name: share.get(name, 0.0)).step(0.5)
    moved = {n: (p - before.get_parameter(n)).abs().max().item() for n, p in module.named_parameters()}
    # The first step of AdamW moves every number by its rate.
    assert moved["head.weight"] == pytest.approx(5e-3, rel=1e-3)
    assert moved["patch_embedding.weight"] == pytest.approx(5e-4, rel=1e-3)
    assert moved["head.bias"] == 0


def test_resumed_optimizer_goes_on_bit_for_bit():
    whole, resumed = small_network(), small_network()
    first = Optimizer({"net": whole}, muon_lr=0.02, adamw_lr=1e-2)
    for seed in range(2):
        give_gradients(whole, seed)
        first.step(0.5)
    resumed.load_state_dict(whole.state_dict())
    second = Optimizer({"net": resumed}, muon_lr=0.02, adamw_lr=1e-2)
    second.load_state_dict({key: value.clone() for key, value in first.state_dict().items()})
    for module, optimizer in ((whole, first), (resumed, second)):
        give_gradients(module, 7)
        optimizer.step(0.25)
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name)), name


def test_state_of_another_model_is_refused_by_name():
    optimizer = Optimizer(small_network())
    with pytest.raises(ValueError, match="lacks muon.blocks.0.up.weight"):
        optimizer.load_state_dict({})
    state = optimizer.state_dict()
    state["muon.blocks.0.up.weight.momentum"] = torch.zeros(3, 3)
    with pytest.raises(ValueError, match=r"\[3, 3\], not \[32, 8\]"):
        optimizer.load_state_dict(state)


def test_nothing_to_train_is_an_error():
    with pytest.raises(ValueError, match="nothing to train"):
        Optimizer(nn.Identity())
