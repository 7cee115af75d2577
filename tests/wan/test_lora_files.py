"""A LoRA's file and its option are read as people have them; what is wrong with one is named, and nothing changes."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_lora import RANK, plain, small, weight, written

from tenku.cli import main
from tenku.media.clip import Clip
from tenku.wan import names
from tenku.wan.lora import Lora, check, merge


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
    elif what == "other naming":
        tensors = {key.replace("diffusion_model.", "my.own.").replace(".", "_", 5): tensors[key] for key in tensors}
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
        (
            "other naming",
            "unknown naming: my_own_blocks_0_cross_attn_k.lora_A.weight ends as .* but begins with 'my_own_'",
        ),
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
    assert Lora.parse("~/a:0.5") == Lora(Path.home() / "a", 0.5)
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
    pictures = [Clip.load(tmp_path / f"{count}.png").frames for count in (0, 2, 4)]
    assert np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])


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
