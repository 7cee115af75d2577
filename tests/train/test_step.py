import pytest
import torch

from tenku import flow
from tenku.train import step
from tenku.train.step import Objective, draw_known, draw_times, drop_captions


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_known_frames_stand_where_their_kind_says():
    everywhere = dict(conditioned=1.0)
    head = draw_known(500, 6, Objective(kinds=(1.0, 0.0, 0.0, 0.0), **everywhere), generator())
    assert head[:, 0].all() and not head[:, 3:].any() and head[:, 2].any()
    assert (head.sum(1) == 1).float().mean() > 0.5  # one picture is the most wanted
    tail = draw_known(500, 6, Objective(kinds=(0.0, 1.0, 0.0, 0.0), **everywhere), generator())
    assert tail[:, -1].all() and not tail[:, :3].any()
    both = draw_known(500, 7, Objective(kinds=(0.0, 0.0, 1.0, 0.0), **everywhere), generator())
    assert both[:, 0].all() and both[:, -1].all() and not both[:, 3].any()
    scattered = draw_known(500, 6, Objective(kinds=(0.0, 0.0, 0.0, 1.0), **everywhere), generator())
    assert 0.15 < scattered.float().mean() < 0.4


@pytest.mark.parametrize("frames", [1, 2, 3, 12])
def test_something_is_always_left_to_make(frames):
    known = draw_known(2000, frames, Objective(conditioned=1.0), generator())
    assert not known.all(1).any()
    assert known.any() == (frames > 1)


def test_share_of_conditioned_samples():
    known = draw_known(4000, 12, Objective(conditioned=0.3), generator())
    assert known.any(1).float().mean() == pytest.approx(0.3, abs=0.03)
    assert not draw_known(100, 12, Objective(conditioned=0.0), generator()).any()


def test_times_are_told_truly():
    objective = Objective(conditioned=0.5, noisy=0.3, history_noise=0.2, independent=0.2)
    known = draw_known(4000, 8, objective, generator())
    t = draw_times(known, objective, generator(1))
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
    t = draw_times(known, Objective(noisy=0.5), generator())
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
    objective = Objective(conditioned=1.0, noisy=0.0)
    question = step.ask(data, [""] * 8, Tokens(), objective, generator(1), generator(2))
    assert question.known.any()
    known = question.known[:, None, :, None, None]
    assert torch.equal(question.noised[known.expand_as(data)], data[known.expand_as(data)])

    def network(x, t, *_):  # right about what it must make, absurd about what it was given
        return torch.where(known, torch.tensor(100.0), flow.velocity(question.data, question.noise))

    assert step.loss(network, lambda *_: None, question).item() < 1e-3  # autocast may round, nothing more


def test_errors_where_something_moves_count_more():
    data = torch.zeros(2, 4, 5, 3, 3)
    data[0, :, 2, 1, 1] = 1.0  # there in one frame: it comes and goes; the other sample stands still
    t = torch.tensor([0.25, 0.5])[:, None].expand(2, 5)
    weights = step.moving_weights(data, t, 3.0)
    assert weights.shape == (2, 1, 5, 3, 3)
    torch.testing.assert_close(weights.mean((1, 2, 3, 4)), torch.ones(2))
    assert torch.equal(weights[1], torch.ones(1, 5, 3, 3))
    still = weights[0, 0, 0, 0, 0]
    torch.testing.assert_close(weights[0, 0, 1:4, 1, 1], (still * (1 + 3 * 0.75)).expand(3))  # before, then and after
    assert (weights[0] == still).sum() == 5 * 9 - 3
    assert torch.equal(step.moving_weights(data, torch.ones(2, 5), 3.0), torch.ones(2, 1, 5, 3, 3))  # nothing shows
    assert torch.equal(step.moving_weights(data[:, :, :1], t[:, :1], 3.0), torch.ones(2, 1, 1, 3, 3))  # a picture

    objective = Objective(conditioned=0.0, independent=0.0, motion=3.0)
    question = step.ask(data, [""] * 2, Tokens(), objective, generator(1), generator(2))
    place = torch.zeros_like(data)
    place[0, :, 2, 1, 1] = 1.0

    def loss(wrong):
        true = flow.velocity(question.data, question.noise)
        return step.loss(lambda *_: true + wrong, lambda *_: None, question).item()

    moves, stands = loss(place), loss(place.roll(1, dims=3))
    assert moves / stands == pytest.approx(1 + 3 * (1 - question.t[0, 0].item()), rel=1e-3)


def test_same_generators_same_question():
    data = torch.randn(4, 4, 6, 2, 2, generator=generator())
    first, second, other = (
        step.ask(data, ["a"] * 4, Tokens(), Objective(), generator(seed), generator(9)) for seed in (1, 1, 2)
    )
    assert torch.equal(first.noised, second.noised) and torch.equal(first.t, second.t)
    assert not torch.equal(first.t, other.t)


def test_shares_out_of_range_are_refused():
    with pytest.raises(ValueError, match="conditioned must be between 0 and 1, got 1.5"):
        Objective(conditioned=1.5)
    with pytest.raises(ValueError, match="add up to 1"):
        Objective(kinds=(1.0, 1.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="motion must be at least 0, got -1"):
        Objective(motion=-1.0)
