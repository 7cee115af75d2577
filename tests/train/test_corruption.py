import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tenku import flow
from tenku.model import TextEncoder, Transformer, presets
from tenku.train.corruption import (
    CorruptionConfig,
    corrupt,
    draw_cond_mask,
    draw_noise_levels,
    drop_captions,
    motion_weights,
    predict_velocity,
)
from tenku.train.measure import step_flops


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_known_frames_stand_where_their_kind_says():
    everywhere = dict(cond_prob=1.0)
    head = draw_cond_mask(500, 6, CorruptionConfig(cond_patterns=(1.0, 0.0, 0.0, 0.0), **everywhere), generator())
    assert head[:, 0].all() and not head[:, 3:].any() and head[:, 2].any()
    assert (head.sum(1) == 1).float().mean() > 0.5  # one picture is the most wanted
    tail = draw_cond_mask(500, 6, CorruptionConfig(cond_patterns=(0.0, 1.0, 0.0, 0.0), **everywhere), generator())
    assert tail[:, -1].all() and not tail[:, :3].any()
    both = draw_cond_mask(500, 7, CorruptionConfig(cond_patterns=(0.0, 0.0, 1.0, 0.0), **everywhere), generator())
    assert both[:, 0].all() and both[:, -1].all() and not both[:, 3].any()
    scattered = draw_cond_mask(500, 6, CorruptionConfig(cond_patterns=(0.0, 0.0, 0.0, 1.0), **everywhere), generator())
    assert 0.15 < scattered.float().mean() < 0.4


@pytest.mark.parametrize("frames", [1, 2, 3, 12])
def test_something_is_always_left_to_make(frames):
    known = draw_cond_mask(2000, frames, CorruptionConfig(cond_prob=1.0), generator())
    assert not known.all(1).any()
    assert known.any() == (frames > 1)


def test_share_of_conditioned_samples():
    known = draw_cond_mask(4000, 12, CorruptionConfig(cond_prob=0.3), generator())
    assert known.any(1).float().mean() == pytest.approx(0.3, abs=0.03)
    assert not draw_cond_mask(100, 12, CorruptionConfig(cond_prob=0.0), generator()).any()


def test_times_are_told_truly():
    config = CorruptionConfig(cond_prob=0.5, history_noise_prob=0.3, history_noise_max=0.2, diffusion_forcing_prob=0.2)
    known = draw_cond_mask(4000, 8, config, generator())
    t = draw_noise_levels(known, config, generator(1))
    assert t[known].min() == 0 and 0.19 < t[known].max() < 0.2
    assert (t[known] > 0).float().mean() == pytest.approx(0.3, abs=0.05)
    unknown = t.masked_fill(known, float("nan"))
    spread = unknown.nan_to_num(0).amax(1) - unknown.nan_to_num(2).amin(1)
    free = ~known.any(1)
    assert (spread[~free] == 0).all()  # beside known frames there is one level
    assert (spread[free] > 0).float().mean() == pytest.approx(0.2, abs=0.04)
    assert t[~known].min() > 0 and t[~known].max() < 1


def test_each_half_has_a_noise_of_its_own():
    known = torch.tensor([[True] * 3 + [False] * 2 + [True] * 2]).expand(500, 7)
    t = draw_noise_levels(known, CorruptionConfig(history_noise_prob=0.5), generator())
    assert torch.equal(t[:, 0], t[:, 2]) and torch.equal(t[:, 5], t[:, 6])
    clean = (t[:, 0] == 0) & (t[:, 6] == 0), (t[:, 0] > 0) & (t[:, 6] == 0), (t[:, 0] > 0) & (t[:, 6] > 0)
    assert all(share.float().mean().item() == pytest.approx(0.25, abs=0.06) for share in clean)


def test_captions_are_dropped_as_often_as_asked():
    dropped = drop_captions(["a red ball"] * 2000, 0.1, generator())
    assert dropped.count("") == pytest.approx(200, abs=50)
    assert drop_captions(["x"] * 50, 0.0, generator()) == ["x"] * 50


class Tokens:
    """Stands for the text encoder where only its tokens matter."""

    def tokenize(self, prompts, remember=False):
        return torch.ones(len(prompts), 2, dtype=torch.long), torch.ones(len(prompts), 2, dtype=torch.bool)


def test_known_frames_are_shown_clean_and_cost_nothing():
    data = torch.randn(8, 4, 6, 2, 2, generator=generator())
    config = CorruptionConfig(cond_prob=1.0, history_noise_prob=0.0)
    batch = corrupt(data, [""] * 8, Tokens(), config, generator(1), generator(2))
    assert batch.cond_mask.any()
    known = batch.cond_mask[:, None, :, None, None]
    assert torch.equal(batch.noised[known.expand_as(data)], data[known.expand_as(data)])

    def network(x, t, *_):  # right about what it must make, absurd about what it was given
        return torch.where(known, torch.tensor(100.0), flow.velocity(batch.latents, batch.noise))

    assert (
        batch.loss(predict_velocity(network, lambda *_: None, batch)).item() < 1e-3
    )  # autocast may round, nothing more


def test_errors_where_something_moves_count_more():
    data = torch.zeros(2, 4, 5, 3, 3)
    data[0, :, 2, 1, 1] = 1.0  # there in one frame: it comes and goes; the other sample stands still
    t = torch.tensor([0.25, 0.5])[:, None].expand(2, 5)
    weights = motion_weights(data, t, 3.0)
    assert weights.shape == (2, 1, 5, 3, 3)
    torch.testing.assert_close(weights.mean((1, 2, 3, 4)), torch.ones(2))
    assert torch.equal(weights[1], torch.ones(1, 5, 3, 3))
    still = weights[0, 0, 0, 0, 0]
    torch.testing.assert_close(weights[0, 0, 1:4, 1, 1], (still * (1 + 3 * 0.75)).expand(3))  # before, then and after
    assert (weights[0] == still).sum() == 5 * 9 - 3
    assert torch.equal(motion_weights(data, torch.ones(2, 5), 3.0), torch.ones(2, 1, 5, 3, 3))  # nothing shows
    assert torch.equal(motion_weights(data[:, :, :1], t[:, :1], 3.0), torch.ones(2, 1, 1, 3, 3))  # a picture

    config = CorruptionConfig(cond_prob=0.0, diffusion_forcing_prob=0.0, motion=3.0)
    batch = corrupt(data, [""] * 2, Tokens(), config, generator(1), generator(2))
    place = torch.zeros_like(data)
    place[0, :, 2, 1, 1] = 1.0

    def loss(wrong):
        true = flow.velocity(batch.latents, batch.noise)
        return batch.loss(predict_velocity(lambda *_: true + wrong, lambda *_: None, batch)).item()

    moves, stands = loss(place), loss(place.roll(1, dims=3))
    assert moves / stands == pytest.approx(1 + 3 * (1 - batch.t[0, 0].item()), rel=1e-3)


def test_same_generators_same_batch():
    data = torch.randn(4, 4, 6, 2, 2, generator=generator())
    first, second, other = (
        corrupt(data, ["a"] * 4, Tokens(), CorruptionConfig(), generator(seed), generator(9)) for seed in (1, 1, 2)
    )
    assert torch.equal(first.noised, second.noised) and torch.equal(first.t, second.t)
    assert not torch.equal(first.t, other.t)


def test_shares_out_of_range_are_refused():
    with pytest.raises(ValueError, match="cond_prob must be between 0 and 1, got 1.5"):
        CorruptionConfig(cond_prob=1.5)
    with pytest.raises(ValueError, match="add up to 1"):
        CorruptionConfig(cond_patterns=(1.0, 1.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="motion must be at least 0, got -1"):
        CorruptionConfig(motion=-1.0)


@pytest.mark.parametrize(("shape", "tokens"), [((2, 16, 12, 16, 16), 40), ((8, 16, 1, 16, 16), 33)])
def test_the_formula_for_flops_is_within_two_percent_of_the_counter(shape, tokens):
    sizes = presets.get("embedded-cpu")
    with torch.device("meta"):
        transformer, text = Transformer(sizes.transformer), TextEncoder(sizes.text)
        mask = torch.empty(shape[0], tokens, dtype=torch.bool)
        with FlopCounterMode(display=False) as counter:
            embeds = text(mask.long(), mask)
            transformer(torch.empty(shape), torch.empty(shape[0], shape[2]), embeds, mask)
    flops = step_flops(sizes.transformer, sizes.text, shape, tokens)
    assert flops == pytest.approx(3 * counter.get_total_flops(), rel=0.02)
