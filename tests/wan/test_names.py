"""Wan's published weights: names and shapes are the published ones, and each layout loads to the same network."""

import hashlib
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from tenku.loading import load_transformer
from tenku.model import presets, weights
from tenku.model.transformer import Transformer, TransformerConfig
from tenku.wan import names

# Digest over all names and shapes by which DiffSynth 1.1.9 recognises the original checkpoints, and their parameters.
PUBLISHED = {
    "wan2.1-1.3b": ("9269f8db9040a9d860eaca435be61814", 1_418_996_800),
    "wan2.2-5b": ("1f5ab7703c6fc803fdded85ff040c316", 4_999_787_712),
}


def digest(shapes):
    keys = [key for name, shape in shapes.items() for key in (f"{name}:{'_'.join(map(str, shape))}", name)]
    return hashlib.md5(",".join(sorted(keys)).encode()).hexdigest()


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size_presets_are_the_published_networks(name):
    with torch.device("meta"):
        transformer = Transformer(presets.get(name).transformer)
    expected, parameters = PUBLISHED[name]
    print(f"{name}: {weights.count_parameters(transformer):,} parameters")
    assert weights.count_parameters(transformer) == parameters
    assert digest({key: list(tensor.shape) for key, tensor in transformer.state_dict().items()}) == expected


def small(channels=4):
    torch.manual_seed(0)
    transformer = Transformer(
        TransformerConfig(channels, hidden_size=48, depth=2, num_heads=2, ffn_size=80, text_size=40, time_size=32)
    )
    with torch.no_grad():
        for parameter in transformer.parameters():
            parameter.normal_(std=0.1)
    return transformer


ORIGINAL = {
    "_class_name": "WanModel",
    "_diffusers_version": "0.33.0",
    "model_type": "t2v",
    "dim": 48,
    "eps": 1e-6,
    "ffn_dim": 80,
    "freq_dim": 32,
    "in_dim": 4,
    "num_heads": 2,
    "num_layers": 2,
    "out_dim": 4,
    "text_dim": 40,
    "text_len": 512,
}


def write(folder, transformer, layout, shards=1):
    """A folder as it is published, whole or cut into shards."""
    folder.mkdir()
    rename = names.to_diffusers if layout == "diffusers" else str
    state = {rename(name): tensor.contiguous() for name, tensor in transformer.state_dict().items()}
    config = names.diffusers_config(transformer.config) if layout == "diffusers" else ORIGINAL
    (folder / "config.json").write_text(json.dumps(config))
    stem = "diffusion_pytorch_model"
    if shards == 1:
        save_file(state, folder / f"{stem}.safetensors")
        return
    weight_map = {}
    for k in range(shards):
        part = {name: state[name] for name in list(state)[k::shards]}
        weight_map |= dict.fromkeys(part, f"{stem}-{k + 1:05d}-of-{shards:05d}.safetensors")
        save_file(part, folder / f"{stem}-{k + 1:05d}-of-{shards:05d}.safetensors")
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.mark.parametrize("layout", ["original", "diffusers"])
@pytest.mark.parametrize("shards", [1, 3])
def test_every_layout_loads(tmp_path, layout, shards):
    transformer = small()
    write(tmp_path / "transformer", transformer, layout, shards)
    for folder in (tmp_path, tmp_path / "transformer"):
        loaded = load_transformer(folder)
        assert loaded.config == transformer.config
        for (name, tensor), (_, expected) in zip(
            loaded.state_dict().items(), transformer.state_dict().items(), strict=True
        ):
            assert torch.equal(tensor, expected), name
    assert load_transformer(tmp_path, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_names_go_there_and_back():
    ours = list(small().state_dict())
    theirs = [names.to_diffusers(name) for name in ours]
    assert len(set(theirs)) == len(ours) and [names.from_diffusers(name) for name in theirs] == ours
    assert sum(name == their for name, their in zip(ours, theirs, strict=True)) == 2  # patch_embedding's two


def test_diffusers_reads_what_we_name(tmp_path):
    peer = pytest.importorskip("diffusers")
    transformer = small()
    write(tmp_path / "transformer", transformer, "diffusers")
    theirs = peer.WanTransformer3DModel.from_pretrained(tmp_path, subfolder="transformer")
    state = {names.from_diffusers(name): tensor for name, tensor in theirs.state_dict().items()}
    assert state.keys() == transformer.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in transformer.state_dict().items())


@pytest.mark.parametrize("layout", ["original", "diffusers"])
def test_a_wrong_tensor_is_named(tmp_path, layout):
    transformer = small()
    write(tmp_path / "a", transformer, layout)
    path = tmp_path / "a" / "diffusion_pytorch_model.safetensors"
    whole = dict(weights.read_tensors(weights.tensor_files(tmp_path / "a")))
    last = "head.head.weight" if layout == "original" else "proj_out.weight"

    def refused(state, message):
        save_file({name: tensor.clone() for name, tensor in state.items()}, path)
        with pytest.raises(ValueError, match=message):
            load_transformer(tmp_path / "a")

    refused({k: v for k, v in whole.items() if k != last}, r"tensor head.head.weight of shape \[16, 48\] is missing")
    refused(whole | {last: torch.zeros(3)}, r"head.head.weight has shape \[3\], config.json asks for \[16, 48\]")
    refused(whole | {"img_emb.x": torch.zeros(3)}, r"tensor img_emb.x of shape \[3\] is not part of this model")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"in_dim": 33, "out_dim": 16}, "reads 33 channels and writes 16.*image-to-video networks 20 more"),
        ({"model_type": "vace"}, "model_type 'vace' is not supported"),
        ({"dim": "big"}, "dim should be a whole number above 0, got 'big'"),
        ({"num_heads": 5}, "over 5 heads"),
        ({"image_dim": 1280}, "image_dim is set"),
    ],
)
def test_other_networks_are_refused(tmp_path, change, message):
    write(tmp_path / "a", small(), "original")
    (tmp_path / "a" / "config.json").write_text(json.dumps(ORIGINAL | change))
    with pytest.raises(ValueError, match=message):
        load_transformer(tmp_path / "a")


MEASURE = """
import resource, sys
from tenku.loading import load_transformer
import torch
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
transformer = load_transformer(sys.argv[1], dtype=torch.bfloat16)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""


def test_loading_never_holds_a_second_copy(tmp_path):
    """float32 on disk becomes bf16 in memory: mapped pages of the file and the converted half, not three copies."""
    torch.manual_seed(0)
    transformer = Transformer(TransformerConfig(hidden_size=768, depth=12, num_heads=6, ffn_size=3072, text_size=768))
    write_original(tmp_path / "a", transformer)
    on_disk = (tmp_path / "a" / "diffusion_pytorch_model.safetensors").stat().st_size
    assert on_disk > 400e6
    grown = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "a")], capture_output=True, text=True, check=True
    )
    assert int(grown.stdout) * resource_unit() < 1.6 * on_disk  # the file's own pages, which can be dropped, and half


def write_original(folder, transformer):
    config = transformer.config
    folder.mkdir()
    save_file(transformer.state_dict(), folder / "diffusion_pytorch_model.safetensors")
    values = ORIGINAL | {
        "dim": config.hidden_size,
        "ffn_dim": config.ffn_size,
        "freq_dim": config.time_size,
        "in_dim": config.latent_channels,
        "out_dim": config.latent_channels,
        "num_heads": config.num_heads,
        "num_layers": config.depth,
        "text_dim": config.text_size,
    }
    (folder / "config.json").write_text(json.dumps(values))


def resource_unit():
    return 1 if sys.platform == "darwin" else 1024
