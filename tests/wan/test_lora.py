"""LoRA files of every layout give, merged into our weights, what diffusers makes of them."""

import json
import struct
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent.parent / "sample"))

from tiny_wan import diffusers, randomised, write_pipeline

from tenku.cli import main
from tenku.loading import load_transformer
from tenku.model.transformer import Transformer, TransformerConfig
from tenku.sample.pipeline import Pipeline
from tenku.wan import names
from tenku.wan.lora import Lora, check, merge, merge_into
from tenku.wan.memory_plan import MemoryPlan

RANK, ALPHA = 4, 2.0
LAYERS = (
    *(f"{attention}.{part}" for attention in ("self_attn", "cross_attn") for part in "qkvo"),
    "ffn.0",
    "ffn.2",
)
OUTER = ("text_embedding.0", "text_embedding.2", "time_embedding.0", "time_embedding.2", "time_projection.1")


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


def pair(layer, seed):
    """Random down and up halves for a linear layer."""
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(RANK, layer.in_features, generator=generator) / layer.in_features**0.5
    return down, torch.randn(layer.out_features, RANK, generator=generator) / 2


def linear(network, name):
    return network.get_submodule(name)


def layers_of(network, outer=False):
    blocks = [f"blocks.{block}.{layer}" for block in range(network.config.depth) for layer in LAYERS]
    return [*blocks, *(OUTER if outer else ())]


def plain(network, prefix="diffusion_model.", halves=("lora_A", "lora_B"), outer=False, alpha=None):
    """A LoRA with the original names, for every layer."""
    tensors = {}
    for k, name in enumerate(layers_of(network, outer)):
        for half, tensor in zip(halves, pair(linear(network, name), k), strict=True):
            tensors[f"{prefix}{name}.{half}.weight"] = tensor
        if alpha is not None:
            tensors[f"{prefix}{name}.alpha"] = torch.tensor(alpha)
    return tensors


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


def small(seed=0):
    torch.manual_seed(seed)
    config = TransformerConfig(latent_channels=4, hidden_size=32, depth=2, num_heads=2, ffn_size=48, text_size=16)
    return Transformer(config).eval()


def written(path, tensors, metadata=None):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return path


def weight(network, name="blocks.1.ffn.0"):
    return linear(network, name).weight.detach().clone()


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


def broken(what):
    """A LoRA with one thing wrong, by name."""
    network = small()
    tensors = plain(network)
    name = "diffusion_model.blocks.0.self_attn.q"
    if what == "half":
        del tensors[f"{name}.lora_B.weight"]
    elif what == "other width":
        tensors[f"{name}.lora_A.weight"] = torch.zeros(RANK, 64)
    elif what == "other rank":
        tensors[f"{name}.lora_A.weight"] = torch.zeros(RANK + 1, 32)
    elif what == "deeper":
        tensors[f"{name.replace('blocks.0', 'blocks.7')}.lora_A.weight"] = torch.zeros(RANK, 32)
    elif what == "not a layer":
        tensors["diffusion_model.blocks.0.cross_attn.x.lora_A.weight"] = torch.zeros(RANK, 32)
    elif what == "up of three sides":
        tensors[f"{name}.lora_B.weight"] = torch.zeros(32, RANK, 2)
    elif what == "two alphas":
        tensors[f"{name}.alpha"] = torch.zeros(2)
    elif what == "a pair and a difference":
        tensors[f"{name}.diff"] = torch.zeros(32, 31)
    elif what == "twice":
        tensors[f"{name}.lora_down.weight"] = torch.zeros(RANK, 32)
    elif what == "two experts":
        tensors = {f"transformer_2.{names.to_diffusers(key[16:])}": value for key, value in tensors.items()}
    elif what == "dora":
        tensors[f"{name}.dora_scale"] = torch.zeros(32)
    elif what == "lokr":
        tensors = {f"{name}.lokr_w1": torch.zeros(4, 4)}
    elif what == "a weight":
        tensors = dict(network.state_dict())
    elif what == "no norm":
        tensors["diffusion_model.blocks.0.ffn.1.diff"] = torch.zeros(32)
    elif what == "a bias of another width":
        tensors[f"{name}.diff_b"] = torch.zeros(31)
    return tensors


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("half", "has no counterpart: the up half of blocks.0.self_attn.q is missing"),
        ("other width", r"adds \[32, 64\] to blocks.0.self_attn.q.weight, where this model has \[32, 32\]"),
        ("other rank", r"the halves \[32, 4\] and \[5, 32\] of blocks.0.self_attn.q do not fit"),
        ("deeper", "adds to blocks.7.self_attn.q, which this model does not have"),
        ("not a layer", "adds to blocks.0.cross_attn.x, which this model does not have"),
        ("up of three sides", r"the halves \[32, 4, 2\] and \[4, 32\] of blocks.0.self_attn.q do not fit"),
        ("two alphas", r"should be one number, its shape is \[2\]"),
        ("a pair and a difference", r"adds \[32, 31\] to blocks.0.self_attn.q.weight"),
        ("twice", "says twice what is added to blocks.0.self_attn.q"),
        ("two experts", "is for two experts, and this model has one network"),
        ("dora", "dora_scale is not a LoRA's"),
        ("lokr", "no LoHa, LoKr or DoRA"),
        ("a weight", "is not a LoRA's"),
        ("no norm", "adds to blocks.0.ffn.1, which this model does not have"),
        ("a bias of another width", r"adds \[31\] to blocks.0.self_attn.q.bias"),
    ],
)
def test_what_is_wrong_is_named_and_no_weight_changes(tmp_path, what, said):
    network = small()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    file = written(tmp_path / "a.safetensors", broken(what))
    with pytest.raises(ValueError, match=said) as raised:
        merge(network, Lora(file))
    assert "\n" not in str(raised.value) and str(file) in str(raised.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"transformer.lora_alpha": 8, "transformer.use_dora": True}, "made with transformer.use_dora"),
        ({"alpha_pattern": {"to_q": 3}}, "made with alpha_pattern"),
        ({"transformer.lora_alpha": "eight"}, "lora_alpha should be one number, its settings say eight"),
        ({"transformer.lora_alpha": [8]}, "lora_alpha should be one number"),
        ({"transformer.lora_alpha": 8, "transformer_2.lora_alpha": 4}, "its settings say 8, 4"),
        ([8], "should be a JSON object"),
    ],
)
def test_settings_that_are_not_understood_are_refused(tmp_path, settings, said):
    network = small()
    file = written(tmp_path / "a.safetensors", plain(network), {"lora_adapter_metadata": json.dumps(settings)})
    with pytest.raises(ValueError, match=said):
        merge(network, Lora(file))


def test_peft_keeps_its_alpha_in_a_file_beside(tmp_path):
    network, usual = small(), small()
    tensors = plain(network, "base_model.model.")
    file = written(tmp_path / "adapter_model.safetensors", tensors)
    merge(usual, Lora(file))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": 2 * RANK}))
    before = weight(network)
    merge(network, Lora(file))
    assert torch.allclose(weight(network) - before, 2 * (weight(usual) - before), atol=1e-6)


def test_numbers_that_are_none_are_refused(tmp_path):
    network = small()
    tensors = plain(network)
    tensors["diffusion_model.blocks.0.self_attn.q.lora_B.weight"][0, 0] = float("nan")
    with pytest.raises(ValueError, match="what it adds to blocks.0.self_attn.q is not finite"):
        merge(network, Lora(written(tmp_path / "a.safetensors", tensors)))
    with pytest.raises(ValueError, match="is not finite"):  # too much of a good one
        merge(small(), Lora(written(tmp_path / "b.safetensors", plain(small())), 1e39))


def test_clips_part_in_wan_2_1_is_passed_over_with_a_note(tmp_path):
    network, usual = small(), small()
    tensors = plain(network)
    merge(usual, Lora(written(tmp_path / "a.safetensors", tensors)))
    for name in ("blocks.0.cross_attn.k_img.lora_A.weight", "img_emb.proj.1.lora_B.weight", "img_emb.proj.0.diff_b"):
        tensors[f"diffusion_model.{name}"] = torch.zeros(3)
    tensors["diffusion_model.blocks.1.cross_attn.norm_k_img.diff"] = torch.zeros(3)
    lora = Lora(written(tmp_path / "more.safetensors", tensors))
    (note,) = check([lora], network)
    assert note == "more.safetensors holds 4 tensors for CLIP's part in Wan 2.1, which are passed over"
    merge(network, lora)
    assert torch.equal(weight(network), weight(usual))


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


def test_a_damaged_file_is_named(tmp_path):
    file = written(tmp_path / "a.safetensors", plain(small()))
    file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(ValueError, match="a.safetensors is not valid safetensors"):
        merge(small(), Lora(file))


def test_a_folder_of_peft_is_taken(tmp_path):
    network, usual = small(), small()
    file = written(tmp_path / "adapter_model.safetensors", plain(network, "base_model.model."))
    for each, path in ((network, tmp_path), (usual, file)):
        merge(each, Lora(path))
    assert torch.equal(weight(network), weight(usual))
    (tmp_path / "hollow").mkdir()
    with pytest.raises(ValueError, match="hollow is a folder without adapter_model.safetensors"):
        merge(network, Lora(tmp_path / "hollow"))


def test_what_the_option_says(tmp_path):
    assert Lora.parse("a.safetensors") == Lora(Path("a.safetensors"))
    assert Lora.parse("low=a/b.safetensors:0.75") == Lora(Path("a/b.safetensors"), 0.75, "low")
    for text, strength in ((":-1", -1.0), (":+.5", 0.5), (":1e-2", 0.01), (": 2 ", 2.0)):
        assert Lora.parse(f"a.safetensors{text}") == Lora(Path("a.safetensors"), strength)
    assert Lora.parse("high=~/a").path == Path.home() / "a"
    assert str(Lora.parse("low=a/b.safetensors:0.75")) == "low=b.safetensors:0.75"
    (tmp_path / "odd:2").touch()
    assert Lora.parse(str(tmp_path / "odd:2")).path == tmp_path / "odd:2"
    for wrong in ("high=", "a.safetensors:much", "a.safetensors:0,5", "low=a.safetensors:"):
        with pytest.raises(ValueError, match="should name a .safetensors file"):
            Lora.parse(wrong)


def test_the_command_takes_loras(tmp_path, capsys):
    import tenku

    network = tenku.load("embedded").transformer
    file = written(tmp_path / "style.safetensors", plain(network))
    options = ["a red ball", "--steps", "1", "--seconds", "0", "--seed", "1", "--json"]
    for lora in ([], ["--lora", f"{file}:0"], ["--lora", str(file), "--lora", f"{file}:0.5"]):
        assert main(["generate", *options, "--out", str(tmp_path / f"{len(lora)}.png"), *lora]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("loras") for line in lines] == [
        None,
        ["style.safetensors:0"],
        ["style.safetensors", "style.safetensors:0.5"],
    ]
    pictures = [(tmp_path / f"{count}.png").read_bytes() for count in (0, 2, 4)]
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "nowhere.safetensors is missing"),
        (b"\x80\x02pickle....", "is a pickle"),
        (struct.pack("<Q", 2**40), "is not safetensors"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, capsys, content, said):
    file = tmp_path / "nowhere.safetensors"
    if content is not None:
        file.write_bytes(content)
    assert main(["generate", "a ball", "--out", str(tmp_path / "a.mp4"), "--lora", str(file)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "a.mp4").exists()
