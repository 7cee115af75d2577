"""LoRA files of every layout give, merged into our weights, what diffusers makes of them."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent.parent / "sample"))

from tiny_lora import RANK, layers_of, linear, pair, plain, small, weight, written
from tiny_wan import diffusers, randomised, write_pipeline

from tenku.loading import load_transformer
from tenku.sample.pipeline import Pipeline
from tenku.wan import names
from tenku.wan.lora import Lora, check, merge, merge_into
from tenku.wan.memory_plan import MemoryPlan

ALPHA = 2.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pipeline(tmp_path_factory.mktemp("wan") / "2.1", "2.1")


def theirs(folder, file):
    """diffusers' transformer with a LoRA."""
    pytest.importorskip("peft")
    pipeline = diffusers.WanPipeline.from_pretrained(folder)
    pipeline.load_lora_weights(str(file))
    return pipeline.transformer


def ours(folder):
    return load_transformer(folder / "transformer", dtype=torch.float32)


def question(config, seed=0):
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(2, config.latent_channels, 2, 6, 8, generator=generator)
    return latents, torch.tensor([0.3, 0.9]), torch.randn(2, 5, config.text_size, generator=generator)


@torch.no_grad()
def answers(ours, theirs):
    latents, t, text = question(ours.config)
    return ours(latents, t, text), theirs(latents, 1000 * t, text, return_dict=False)[0]


def in_layout(network, layout):
    if layout == "diffusers":
        return {
            "transformer." + names.to_diffusers(name): tensor for name, tensor in plain(network, "", outer=True).items()
        }
    if layout == "original":
        return plain(network)
    if layout == "original with alpha":
        return plain(network, halves=("lora_down", "lora_up"), alpha=ALPHA)
    if layout == "musubi-tuner":
        tensors = plain(network, "", ("lora_down", "lora_up"), alpha=ALPHA)
        return {
            "lora_unet_" + layer.replace(".", "_") + "." + rest: tensor
            for name, tensor in tensors.items()
            for layer, rest in [name.split(".lora_") if ".lora_" in name else name.rsplit(".", 1)]
            for rest in [f"lora_{rest}" if ".lora_" in name else rest]
        }
    assert layout == "lightx2v"
    tensors = plain(network, halves=("lora_down", "lora_up"), outer=True)
    generator = torch.Generator().manual_seed(99)
    for name in layers_of(network, outer=True):
        bias = linear(network, name).bias
        tensors[f"diffusion_model.{name}.diff_b"] = torch.randn(bias.shape, generator=generator)
    return tensors


@pytest.mark.parametrize("layout", ["diffusers", "original", "original with alpha", "musubi-tuner", "lightx2v"])
def test_same_velocity_as_diffusers(folder, tmp_path, layout):
    network = ours(folder)
    latents, t, text = question(network.config)
    with torch.no_grad():
        before = network(latents, t, text)
    save_file(in_layout(network, layout), tmp_path / "lora.safetensors")
    merge(network, Lora(tmp_path / "lora.safetensors"))
    mine, his = answers(network, theirs(folder, tmp_path / "lora.safetensors"))
    error = float((mine - his).abs().max() / his.abs().max())
    print(f"{layout}: largest relative error {error:.1e}")
    assert error < 1e-5
    assert (mine - before).abs().max() > 0.1 * before.abs().max()


@pytest.mark.parametrize(
    "beginning",
    [
        "pipe.dit.",
        "dit.",
        "model.diffusion_model.",
        "unet.",
        "lora_unet_",
        "lora_unet__",
        "lycoris_",
        "lora_transformer_",
    ],
)
@pytest.mark.parametrize("theirs", [False, True], ids=["original", "diffusers"])
def test_names_that_other_trainers_write(beginning, theirs, tmp_path):
    network, expected = small(), small()
    tensors = plain(network, "", outer=True)
    save_file(tensors, tmp_path / "plain.safetensors")
    merge(expected, Lora(tmp_path / "plain.safetensors"))
    renamed = {}
    for name, tensor in tensors.items():
        layer, rest = name.split(".lora_")
        layer = names.to_diffusers(layer + ".").removesuffix(".") if theirs else layer
        renamed[f"{beginning}{layer if beginning.endswith('.') else layer.replace('.', '_')}.lora_{rest}"] = tensor
    save_file(renamed, tmp_path / "renamed.safetensors")
    merge(network, Lora(tmp_path / "renamed.safetensors"))
    wanted = expected.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in network.state_dict().items())


def test_the_alpha_that_peft_keeps_in_the_header_counts(folder, tmp_path):
    peft = pytest.importorskip("peft")
    network = diffusers.WanTransformer3DModel.from_pretrained(folder / "transformer")
    network.add_adapter(peft.LoraConfig(r=RANK, lora_alpha=3 * RANK, target_modules=["to_q", "to_v", "net.2"]))
    randomised(network, 7)
    tensors = peft.get_peft_model_state_dict(network)
    diffusers.WanPipeline.save_lora_weights(
        tmp_path,
        transformer_lora_layers=tensors,
        transformer_lora_adapter_metadata=network.peft_config["default"].to_dict(),
    )
    (file,) = tmp_path.glob("*.safetensors")
    mine = ours(folder)
    merge(mine, Lora(file))
    got, wanted = answers(mine, theirs(folder, file))
    assert (got - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_strength_scales_what_is_added_and_nothing_is_lost(tmp_path):
    network = small()
    file = written(tmp_path / "a.safetensors", plain(network))
    before = weight(network)
    merge(network, Lora(file, 0.5))
    half = weight(network) - before
    merge(network, Lora(file, -0.5))
    assert torch.allclose(weight(network), before, atol=1e-6)
    down, up = pair(linear(network, "blocks.1.ffn.0"), layers_of(network).index("blocks.1.ffn.0"))
    assert torch.allclose(half, 0.5 * up @ down, atol=1e-6)


def test_weights_keep_their_dtype_and_products_are_computed_in_float32(tmp_path):
    network, exact = small().to(torch.bfloat16), small()
    file = written(tmp_path / "a.safetensors", {k: v.half() for k, v in plain(exact).items()})
    exact.load_state_dict({k: v.float() for k, v in network.state_dict().items()})
    for each in (network, exact):
        merge(each, Lora(file))
    assert network.dtype == torch.bfloat16
    assert torch.equal(weight(network), weight(exact).to(torch.bfloat16))


def test_whole_differences_reach_norms_modulation_and_the_patches(tmp_path):
    network = small()
    changes = {
        "diffusion_model.blocks.0.norm3.diff": torch.full((32,), 0.5),
        "diffusion_model.blocks.0.norm3.diff_b": torch.full((32,), 0.25),
        "diffusion_model.blocks.1.diff_m": torch.full((1, 6, 32), 2.0),
        "diffusion_model.head.diff_m": torch.full((1, 2, 32), 3.0),
        "diffusion_model.patch_embedding.diff": torch.ones(32, 4, 1, 2, 2),
        "diffusion_model.head.head.diff": torch.ones(16, 32),
    }
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    merge(network, Lora(written(tmp_path / "a.safetensors", changes)))
    added = {name: tensor - before[name] for name, tensor in network.state_dict().items()}
    changed = {name: float(tensor.mean()) for name, tensor in added.items() if bool(tensor.any())}
    assert changed == pytest.approx(
        {
            "blocks.0.norm3.weight": 0.5,
            "blocks.0.norm3.bias": 0.25,
            "blocks.1.modulation": 2.0,
            "head.modulation": 3.0,
            "patch_embedding.weight": 1.0,
            "head.head.weight": 1.0,
        }
    )


def test_a_pair_for_the_patches_is_a_convolution(tmp_path):
    network = small()
    tensors = {
        "transformer.patch_embedding.lora_A.weight": torch.randn(RANK, 4, 1, 2, 2),
        "transformer.patch_embedding.lora_B.weight": torch.randn(32, RANK, 1, 1, 1),
    }
    before = network.patch_embedding.weight.detach().clone()
    merge(network, Lora(written(tmp_path / "a.safetensors", tensors)))
    down, up = tensors.values()
    wanted = torch.nn.functional.conv3d(down.permute(1, 0, 2, 3, 4), up).permute(1, 0, 2, 3, 4)
    assert torch.allclose(network.patch_embedding.weight - before, wanted, atol=1e-5)


def test_each_expert_takes_what_is_for_it(tmp_path):
    high, low, before = small(), small(), weight(small())
    tensors = plain(high)
    one, other = (written(tmp_path / f"{k}.safetensors", {n: k * t for n, t in tensors.items()}) for k in (1.0, 2.0))
    loras = [Lora.parse(f"high={one}"), Lora.parse(f"low={other}:0.5")]
    merge_into(high, loras, "high")
    merge_into(low, loras, "low")
    assert torch.allclose(weight(low) - before, 2 * (weight(high) - before), atol=1e-6)
    with pytest.raises(ValueError, match="one of two experts, which this model has not"):
        check(loras, small())
    assert check(loras, small(), experts=2) == []


def test_two_experts_with_a_lora_each_are_diffusers(tmp_path):
    pytest.importorskip("peft")
    folder = write_pipeline(tmp_path / "a14b", "a14b")
    tensors = plain(load_transformer(folder / "transformer_2", dtype=torch.float32))
    high = written(tmp_path / "high.safetensors", tensors)
    low = written(tmp_path / "low.safetensors", {name: -tensor for name, tensor in tensors.items()})
    loras = [Lora.parse(f"high={high}"), Lora.parse(f"low={low}")]
    mine = Pipeline.load(folder, device="cpu", dtype=torch.float32, loras=loras)
    theirs = diffusers.WanPipeline.from_pretrained(folder)
    theirs.load_lora_weights(str(high), adapter_name="high")
    theirs.load_lora_weights(str(low), adapter_name="low", load_into_transformer_2=True)
    pairs = (mine.transformer.high, theirs.transformer), (mine.transformer.low, theirs.transformer_2)
    for ours, other in pairs:
        got, wanted = answers(ours, other)
        assert (got - wanted).abs().max() < 1e-5 * wanted.abs().max()
    assert mine.metadata(mine.request("a cat"))["loras"] == ["high=high.safetensors", "low=low.safetensors"]


def test_a_lora_is_there_before_weights_are_held_in_8_bits(folder, tmp_path):
    file = written(tmp_path / "a.safetensors", plain(ours(folder)))
    loras, plan = [Lora(file)], MemoryPlan(weight_dtype="int8")
    eight = Pipeline.load(folder, device="cpu", dtype=torch.float32, plan=plan, loras=loras).transformer
    full = Pipeline.load(folder, device="cpu", dtype=torch.float32, plan=MemoryPlan(), loras=loras).transformer
    latents, t, text = question(full.config)
    with torch.no_grad():
        got, wanted = eight(latents, t, text), full(latents, t, text)
    assert 0 < (got - wanted).abs().max() < 0.1 * wanted.abs().max()


def test_a_file_for_both_experts_gives_each_its_own(tmp_path):
    high, low, before = small(), small(), weight(small())
    tensors = plain(high, "")
    both = {f"transformer.{names.to_diffusers(name)}": tensor for name, tensor in tensors.items()}
    both |= {f"transformer_2.{names.to_diffusers(name)}": 2 * tensor for name, tensor in tensors.items()}
    lora = Lora(written(tmp_path / "a.safetensors", both))
    merge_into(high, [lora], "high")
    merge_into(low, [lora], "low")
    assert torch.allclose(weight(low) - before, 4 * (weight(high) - before), atol=1e-5)


@pytest.mark.filterwarnings("ignore:Adapter 'default'")  # it takes every bias for half of a matrix
def test_a_bias_of_peft_is_scaled_as_its_matrix_is(folder, tmp_path):
    peft = pytest.importorskip("peft")
    network = diffusers.WanTransformer3DModel.from_pretrained(folder / "transformer")
    settings = peft.LoraConfig(r=RANK, lora_alpha=3 * RANK, target_modules=["to_q"], lora_bias=True)
    network.add_adapter(settings)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    tensors = peft.get_peft_model_state_dict(network)
    file = written(tmp_path / "a.safetensors", tensors, {"lora_adapter_metadata": json.dumps({"lora_alpha": 3 * RANK})})
    mine = ours(folder)
    merge(mine, Lora(file))
    got, wanted = answers(mine, network.eval())
    assert (got - wanted).abs().max() < 1e-5 * wanted.abs().max()
