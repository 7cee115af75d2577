"""The transformer: shapes, positions, a noise level per frame, and independence of what should not matter."""

from dataclasses import replace

import pytest
import torch

from tenku.model.presets import get
from tenku.model.transformer import Transformer, TransformerConfig, rotary_table, rotate

CPU = torch.device("cpu")


def example(batch=2, frames=3, height=4, width=6, tokens=5):
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(batch, 16, frames, height, width, generator=generator)
    t = torch.rand(batch, generator=generator)
    text = torch.randn(batch, tokens, 32, generator=generator)
    mask = torch.ones(batch, tokens, dtype=torch.bool)
    return latents, t, text, mask


@pytest.mark.parametrize("frames, height, width", [(1, 2, 2), (1, 8, 8), (5, 4, 10), (12, 6, 4)])
def test_any_frames_height_and_width(transformer, frames, height, width):
    latents, t, text, mask = example(frames=frames, height=height, width=width)
    out = transformer(latents, t, text, mask)
    assert out.shape == latents.shape and out.dtype == latents.dtype
    assert out.std() > 0.01


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x, t: (x[..., :3], t), "multiples of 2 and 2, got 4x3"),
        (lambda x, t: (x[:, :8], t), "8 channels, this transformer takes 16"),
        (lambda x, t: (x[0], t), "B C T H W"),
        (lambda x, t: (x, t[:1]), "t must have shape"),
        (lambda x, t: (x, torch.rand(2, 4)), "t must have shape"),
    ],
)
def test_shapes_that_do_not_fit(transformer, change, message):
    latents, t, text, mask = example()
    with pytest.raises(ValueError, match=message):
        transformer(*change(latents, t), text, mask)


def test_patches_are_the_published_convolution(transformer):
    latents, *_ = example()
    expected = transformer.patch_embedding(latents).flatten(2).transpose(1, 2)
    torch.testing.assert_close(transformer._patches(latents), expected, atol=1e-5, rtol=1e-5)


def test_unpatch_places_channels_last():
    transformer = Transformer(get("nano").transformer)
    grid, channels = (2, 3, 4), 16
    x = torch.arange(2 * 3 * 4 * 64).float().view(1, 24, 64)
    out = transformer._unpatch(x, grid)
    assert out.shape == (1, channels, 2, 6, 8)
    t, h, w, p, q, c = 1, 2, 3, 1, 0, 5
    assert out[0, c, t, 2 * h + p, 2 * w + q] == x[0, (t * 3 + h) * 4 + w, (p * 2 + q) * channels + c]


def test_rotary_sees_only_relative_position():
    grid, head_size = (4, 5, 6), 32
    table = rotary_table(grid, head_size, CPU).view(*grid, 1, head_size // 2, 2)
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, head_size, generator=generator)

    def score(a, b):
        return (rotate(q, table[a][None]) * rotate(k, table[b][None])).sum()

    here = score((0, 1, 2), (1, 3, 0))
    torch.testing.assert_close(score((2, 2, 5), (3, 4, 3)), here, atol=1e-4, rtol=1e-4)
    for other in [(2, 3, 0), (1, 2, 0), (1, 3, 1)]:  # one step along each axis makes a difference
        assert abs(score((0, 1, 2), other) - here) > 1e-3


def test_rotary_keeps_lengths_and_the_origin():
    x = torch.randn(1, 24, 2, 32)
    turned = rotate(x, rotary_table((2, 3, 4), 32, CPU))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, 0], x[:, 0])


def test_rotary_splits_the_head_as_wan_does():
    """Of 128 numbers time has 44, height 42, width 42; within each, frequencies fall from 1."""
    table = rotary_table((2, 2, 2), 128, CPU).view(2, 2, 2, 64, 2)
    angles = torch.atan2(table[..., 1], table[..., 0])
    turned = [(angles[i] != 0).nonzero().flatten().tolist() for i in [(1, 0, 0), (0, 1, 0), (0, 0, 1)]]
    assert turned == [list(range(22)), list(range(22, 43)), list(range(43, 64))]
    torch.testing.assert_close(angles[1, 0, 0, :2], torch.tensor([1.0, 10000.0 ** (-2 / 44)]))


def test_one_level_for_all_frames_is_the_same_level_in_each(transformer):
    latents, t, text, mask = example()
    whole = transformer(latents, t, text, mask)
    each = transformer(latents, t[:, None].expand(-1, 3), text, mask)
    torch.testing.assert_close(whole, each, atol=1e-5, rtol=1e-5)


def test_a_frame_level_matters_where_it_stands(transformer):
    latents, t, text, mask = example()
    levels = t[:, None].repeat(1, 3)
    before = transformer(latents, levels, text, mask)
    levels[:, 1] = 0.0
    change = (transformer(latents, levels, text, mask) - before).abs().mean(dim=(0, 1, 3, 4))
    assert change[1] > 2 * max(change[0], change[2]) and change[0] > 0


def test_samples_do_not_see_each_other(transformer):
    latents, t, text, mask = example()
    together = transformer(latents, t, text, mask)
    for i in range(2):
        alone = transformer(latents[i : i + 1], t[i : i + 1], text[i : i + 1], mask[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


def test_padding_does_not_matter(transformer):
    latents, t, text, mask = example()
    padded = torch.cat([text, 100 * torch.randn(2, 4, 32)], dim=1)
    padded_mask = torch.cat([mask, torch.zeros(2, 4, dtype=torch.bool)], dim=1)
    plain = transformer(latents, t, text)
    torch.testing.assert_close(transformer(latents, t, padded, padded_mask), plain, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(transformer(latents, t, padded), plain, atol=1e-3)


def test_text_keys_computed_once_are_the_same(transformer):
    latents, t, text, mask = example()
    once = transformer.text_keys_values(text)
    assert torch.equal(transformer(latents, t, None, mask, text_keys_values=once), transformer(latents, t, text, mask))


@pytest.mark.parametrize("per_frame", [False, True])
def test_latents_under_two_texts_are_the_same_latents_twice(transformer, per_frame):
    latents, t, _, _ = example()
    t = torch.rand(2, 3) if per_frame else t
    text = torch.randn(4, 5, 32)
    twice = transformer(latents.repeat(2, 1, 1, 1, 1), t.repeat(2, *[1] * (t.dim() - 1)), text)
    keys_values = transformer.text_keys_values(text)
    out = transformer(latents, t, None, text_keys_values=keys_values, texts=2)
    torch.testing.assert_close(out, twice, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(out[:2], out[2:], atol=1e-2)  # the texts differ, and are seen


def test_compiled_it_computes_the_same(transformer):
    """Some formulas are written in another way for the compiler; a graph that is only traced goes through those too.

    (On a CPU, the rotation's is not among them.)
    """
    traced = torch.compile(transformer, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(*example()), transformer(*example()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("how", ["bf16 weights", "autocast"])
def test_bf16_is_close_to_fp32(transformer, how):
    latents, t, text, mask = example()
    exact = transformer(latents, t, text, mask)
    if how == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            out = transformer(latents, t, text, mask)
    else:
        half = Transformer(transformer.config).bfloat16()
        half.load_state_dict(transformer.state_dict())
        with torch.inference_mode():
            out = half(latents, t, text, mask)
    assert out.dtype == torch.float32
    assert (out - exact).norm() / exact.norm() < 0.03


def test_training_starts_from_zero_and_every_weight_learns():
    torch.manual_seed(0)
    transformer = Transformer(get("nano").transformer)
    latents, t, text, mask = example()
    assert not transformer(latents, t, text, mask).any()
    optimizer = torch.optim.SGD(transformer.parameters(), lr=0.1)
    for _ in range(3):  # the head opens first, then what time and text do, then their projections
        optimizer.zero_grad()
        (transformer(latents, t, text, mask) - latents).square().mean().backward()
        optimizer.step()
    # Adding the same to all keys changes no softmax, so cross-attention's k.bias may get next to no gradient.
    dead = [n for n, p in transformer.named_parameters() if not p.grad.any() and not n.endswith("k.bias")]
    assert dead == []


def test_a_table_made_in_inference_mode_can_be_trained_with():
    transformer = Transformer(get("nano").transformer)
    latents, t, text, mask = example(frames=7)
    with torch.inference_mode():
        transformer(latents, t, text, mask)
    transformer(latents, t, text, mask).sum().backward()


@pytest.mark.parametrize(
    "name, parameters, shapes",
    [
        (
            "1.3b",
            1_418_996_800,  # Wan2.1-T2V-1.3B as published
            {
                "patch_embedding.weight": (1536, 16, 1, 2, 2),
                "text_embedding.0.weight": (1536, 4096),
                "time_embedding.0.weight": (1536, 256),
                "time_projection.1.weight": (9216, 1536),
                "blocks.29.modulation": (1, 6, 1536),
                "blocks.0.self_attn.norm_q.weight": (1536,),
                "blocks.7.cross_attn.k.bias": (1536,),
                "blocks.0.norm3.bias": (1536,),
                "blocks.0.ffn.0.weight": (8960, 1536),
                "head.modulation": (1, 2, 1536),
                "head.head.weight": (64, 1536),
            },
        ),
        (
            "5b",
            4_999_787_712,  # Wan2.2-TI2V-5B as published
            {"patch_embedding.weight": (3072, 48, 1, 2, 2), "head.head.weight": (192, 3072)},
        ),
        ("14b", 14_288_491_584, {"blocks.39.ffn.2.weight": (5120, 13824)}),
        ("3b", 3_218_576_704, {"blocks.31.self_attn.q.weight": (2304, 2304)}),
    ],
)
def test_presets_have_the_published_names_and_shapes(name, parameters, shapes):
    with torch.device("meta"):
        transformer = Transformer(get(name).transformer)
    state = transformer.state_dict()
    assert sum(p.numel() for p in transformer.parameters()) == parameters
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
    if name in ("1.3b", "5b"):
        assert len(state) == 825


def test_unknown_preset_names_those_that_exist():
    names = "nano, embedded, embedded-cpu, 1.3b, 3b, 5b, 14b"
    with pytest.raises(ValueError, match=f"unknown preset '2b'; choose one of {names}"):
        get("2b")


@pytest.mark.parametrize("change", [{"num_heads": 5}, {"patch_size": (2, 2, 2)}, {"time_size": 255}])
def test_impossible_configs(change):
    with pytest.raises(ValueError):
        replace(TransformerConfig(), **change)
