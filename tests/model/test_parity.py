"""The same random weights give the same velocity in diffusers' own Wan transformer."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tenku.loading import load_transformer
from tenku.model import weights
from tenku.model.transformer import Transformer, TransformerConfig
from tenku.wan import names

diffusers = pytest.importorskip("diffusers")

SHAPES = [(1, 1, 2, 2), (2, 3, 4, 6), (1, 5, 10, 8), (3, 2, 6, 14)]  # B T H W of the latents


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    theirs = diffusers.WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=48, text_dim=40, freq_dim=256, ffn_dim=160, num_layers=3
    )
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.1)
    return theirs


@pytest.fixture(scope="module", params=["diffusers", "original"])
def ours(request, theirs, tmp_path_factory):
    """Their weights, written to disk in one of the two layouts and loaded by us."""
    folder = tmp_path_factory.mktemp(request.param)
    config = TransformerConfig(hidden_size=96, depth=3, num_heads=2, ffn_size=160, text_size=40)
    state = theirs.state_dict()
    values = dict(theirs.config)
    if request.param == "original":
        state = {names.from_diffusers(name): tensor for name, tensor in state.items()}
        values = {"model_type": "t2v", "dim": 96, "num_layers": 3, "num_heads": 2, "ffn_dim": 160, "text_dim": 40}
    else:
        values["_class_name"] = "WanTransformer3DModel"
    (folder / "config.json").write_text(json.dumps(values))
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / weights.SINGLES[1])
    loaded = load_transformer(folder)
    assert loaded.config == config
    return loaded


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("level", ["of the clip", "of each frame"])
@torch.no_grad()
def test_same_velocity_as_diffusers(ours, theirs, shape, level):
    torch.manual_seed(1)
    batch, frames, height, width = shape
    latents, text = torch.randn(batch, 16, *shape[1:]), torch.randn(batch, 7, 40)
    t = torch.rand(batch) if level == "of the clip" else torch.rand(batch, frames)
    # They count time to 1000 and want one for each token, or one for each clip.
    their_t = 1000 * (t if t.dim() == 1 else t.repeat_interleave(height // 2 * width // 2, dim=1))
    expected = theirs(hidden_states=latents, timestep=their_t, encoder_hidden_states=text, return_dict=False)[0]
    found = ours(latents, t, text)
    error = float((found - expected).abs().max() / expected.abs().max())
    print(f"largest relative error {error:.1e}")
    assert error <= 1e-5


def test_our_own_config_is_theirs(theirs):
    config = Transformer(TransformerConfig(hidden_size=96, depth=3, num_heads=2, ffn_size=160, text_size=40)).config
    written = names.diffusers_config(config)
    assert {key: written[key] for key in dict(theirs.config) if key in written} == {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dict(theirs.config).items()
        if key in written
    }
