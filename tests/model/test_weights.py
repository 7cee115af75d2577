"""Weights come back as they were written, and everything that is not whole safetensors is refused by name."""

import json
import pickle
import struct

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tenku.loading import load_transformer
from tenku.model import weights
from tenku.model.transformer import Transformer, TransformerConfig


@pytest.fixture
def folder(tmp_path, transformer):
    weights.save_module(transformer, transformer.config, tmp_path / "model" / "transformer", torch.float32)
    return tmp_path / "model" / "transformer"


def rewrite(folder, change):
    state = dict(weights.read_tensors(weights.tensor_files(folder)))
    change(state)
    save_file({name: tensor.clone() for name, tensor in state.items()}, folder / weights.SINGLE)


@pytest.mark.parametrize("level", ["model", "transformer"])
def test_round_trip(folder, transformer, level):
    loaded = load_transformer(folder if level == "transformer" else folder.parent)
    assert loaded.config == transformer.config
    for (name, a), (_, b) in zip(loaded.state_dict().items(), transformer.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_bf16_on_disk_and_any_dtype_in_memory(tmp_path, transformer):
    weights.save_module(transformer, transformer.config, tmp_path / "a")
    assert load_transformer(tmp_path / "a").dtype == torch.bfloat16
    loaded = load_transformer(tmp_path / "a", dtype=torch.float32)
    expected = transformer.head.head.weight.bfloat16().float()
    assert torch.equal(loaded.head.head.weight, expected)


def test_loading_into_a_built_module_keeps_its_dtype(tmp_path):
    written, built = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    weights.save_module(written, TransformerConfig(), tmp_path / "a")
    weights.load_into(built, tmp_path / "a")
    assert torch.equal(built.weight, written.weight.bfloat16().float())
    assert built.weight.is_contiguous(memory_format=torch.channels_last)


def test_buffers_keep_their_precision(tmp_path):
    module = nn.Linear(2, 2)
    module.register_buffer("mean", torch.tensor([1 / 3]))
    weights.save_module(module, TransformerConfig(), tmp_path / "a")
    state = dict(weights.read_tensors(weights.tensor_files(tmp_path / "a")))
    assert state["mean"].dtype == torch.float32 and torch.equal(state["mean"], module.mean)
    assert state["weight"].dtype == torch.bfloat16


def test_sharded_equals_whole(tmp_path, transformer, monkeypatch):
    monkeypatch.setattr(weights, "SHARD_SIZE", 64 * 1024 + 100_000)
    weights.save_module(transformer, transformer.config, tmp_path / "a", torch.float32)
    shards = sorted((tmp_path / "a").glob("*.safetensors"))
    assert len(shards) > 2 and shards[0].name == f"model-00001-of-{len(shards):05d}.safetensors"
    assert all(shard.stat().st_size <= weights.SHARD_SIZE for shard in shards)
    loaded = load_transformer(tmp_path / "a")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), transformer.parameters(), strict=True))

    shards[1].unlink()
    with pytest.raises(ValueError, match=rf"{shards[1].name} is missing"):
        load_transformer(tmp_path / "a")


def test_an_index_cannot_point_elsewhere(folder):
    (folder / f"{weights.SINGLE}.index.json").write_text(json.dumps({"weight_map": {"x": "../../secret.safetensors"}}))
    with pytest.raises(ValueError, match="not a safetensors file beside it"):
        dict(weights.read_tensors(weights.tensor_files(folder)))


def test_replacing_leaves_no_debris_and_a_failure_leaves_the_old(folder, transformer, monkeypatch):
    before = (folder / weights.SINGLE).read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(weights, "save_tensors", full_disk)
        with pytest.raises(OSError, match="No space left"):
            weights.save_module(transformer, transformer.config, folder)
    assert (folder / weights.SINGLE).read_bytes() == before
    weights.save_module(transformer, transformer.config, folder)
    assert (folder / weights.SINGLE).read_bytes() != before
    assert [path.name for path in folder.parent.iterdir()] == ["transformer"]


def test_missing_tensor(folder):
    rewrite(folder, lambda state: state.pop("blocks.1.ffn.0.weight"))
    with pytest.raises(ValueError, match=r"tensor blocks.1.ffn.0.weight of shape \[96, 48\] is missing"):
        load_transformer(folder)


def test_extra_tensor(folder):
    rewrite(folder, lambda state: state.update(surprise=torch.zeros(2, 3)))
    with pytest.raises(ValueError, match=r"tensor surprise of shape \[2, 3\] is not part of this model"):
        load_transformer(folder)


def test_misshapen_tensor(folder):
    rewrite(folder, lambda state: state.update({"head.head.bias": torch.zeros(7)}))
    with pytest.raises(ValueError, match=r"head.head.bias has shape \[7\], config.json asks for \[64\]"):
        load_transformer(folder)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_file(folder, keep):
    whole = (folder / weights.SINGLE).read_bytes()
    (folder / weights.SINGLE).write_bytes(whole[:keep])
    with pytest.raises(ValueError, match="is truncated"):
        load_transformer(folder)


def test_header_that_is_too_large(folder):
    with (folder / weights.SINGLE).open("wb") as file:
        file.write(struct.pack("<Q", 17 * weights.MiB))
        file.truncate(20 * weights.MiB)
    with pytest.raises(ValueError, match="its header would have"):
        load_transformer(folder)


@pytest.mark.parametrize("content", [b"\x02" + bytes(7) + b"[]", b"\x02" + bytes(7) + b"{]", b"x" * 64])
def test_rubbish(folder, content):
    (folder / weights.SINGLE).write_bytes(content)
    with pytest.raises(ValueError, match="not safetensors"):
        load_transformer(folder)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


@pytest.mark.parametrize("name", [weights.SINGLE, "pytorch_model.bin"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_is_refused_unopened(folder, name, zipped):
    (folder / weights.SINGLE).unlink()
    if zipped:
        torch.save(Bomb(), folder / name)
    else:
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="pickle, which can run code; only safetensors"):
        load_transformer(folder)


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"depht": 3}', "unknown key 'depht'; known are latent_channels, hidden_size"),
        ('{"num_heads": 7}', "over 7 heads"),
        ("[1]", "should hold a JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_wrong_config(folder, text, message):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_transformer(folder)


def test_nothing_there(tmp_path):
    with pytest.raises(ValueError, match="config.json is missing"):
        load_transformer(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        dict(weights.read_tensors(weights.tensor_files(tmp_path / "nowhere")))
    with pytest.raises(ValueError, match="has no model.safetensors"):
        dict(weights.read_tensors(weights.tensor_files(tmp_path)))


def test_a_broken_config_is_not_mistaken_for_another_model(folder):
    config = json.loads((folder / "config.json").read_text())
    config["hidden_size"] = 96
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"patch_embedding.weight has shape \[48, 16, 1, 2, 2\].*\[96, 16, 1, 2, 2\]"):
        load_transformer(folder)


def test_loaded_weights_can_be_trained(folder):
    loaded = load_transformer(folder)
    assert isinstance(loaded, Transformer)
    loaded(torch.randn(1, 16, 1, 2, 2), torch.rand(1), torch.randn(1, 3, 32)).sum().backward()
    assert loaded.head.head.bias.grad is not None
