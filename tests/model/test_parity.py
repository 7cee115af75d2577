"""The same random weights give the same velocity in diffusers' own Wan transformer (if installed)."""

import pytest
import torch

from tenku.model.transformer import Transformer, TransformerConfig

# Our (the published) names and theirs; the first that occurs in a name is replaced.
RENAMED = [
    ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
    ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
    ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
    ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("head.modulation", "scale_shift_table"),
    ("head.head", "proj_out"),
    ("modulation", "scale_shift_table"),
    ("ffn.0", "ffn.net.0.proj"),
    ("ffn.2", "ffn.net.2"),
    ("norm3", "norm2"),
    *(
        (f"{ours}.{x}.", f"{theirs}.to_{x}.")
        for ours, theirs in [("self_attn", "attn1"), ("cross_attn", "attn2")]
        for x in "qkv"
    ),
    ("self_attn.o.", "attn1.to_out.0."),
    ("cross_attn.o.", "attn2.to_out.0."),
    ("self_attn", "attn1"),
    ("cross_attn", "attn2"),
]


def their_name(name):
    for ours, theirs in RENAMED:
        if ours in name:
            return name.replace(ours, theirs)
    return name


@pytest.mark.parametrize("level", ["of the clip", "of each frame"])
def test_same_velocity_as_diffusers(level):
    peer = pytest.importorskip("diffusers.models.transformers.transformer_wan")
    torch.manual_seed(0)
    ours = Transformer(TransformerConfig(hidden_size=96, depth=2, num_heads=2, ffn_size=160, text_size=40))
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(std=0.1)
    theirs = peer.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=48,
        in_channels=16,
        out_channels=16,
        text_dim=40,
        freq_dim=256,
        ffn_dim=160,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        eps=1e-6,
    )
    theirs.load_state_dict({their_name(name): tensor for name, tensor in ours.state_dict().items()})
    latents, text = torch.randn(2, 16, 3, 4, 6), torch.randn(2, 7, 40)
    t = torch.rand(2) if level == "of the clip" else torch.rand(2, 3)
    their_t = 1000 * (t if t.dim() == 1 else t.repeat_interleave(2 * 3, dim=1))  # they want one for each token
    with torch.no_grad():
        expected = theirs(hidden_states=latents, timestep=their_t, encoder_hidden_states=text, return_dict=False)[0]
        torch.testing.assert_close(ours(latents, t, text), expected, atol=2e-5, rtol=1e-4)
