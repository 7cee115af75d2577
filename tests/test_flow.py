"""Identities of rectified flow."""

import pytest
import torch

from tenku import flow

DATA, NOISE = (
    torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0)),
    torch.randn(2, 3, 4, 2, 2),
)


def test_ends_of_the_path():
    assert torch.equal(flow.interpolate(DATA, NOISE, torch.zeros(2)), DATA)
    assert torch.equal(flow.interpolate(DATA, NOISE, torch.ones(2)), NOISE)


def test_velocity_is_the_derivative_of_the_path():
    t = torch.tensor([0.3, 0.6])
    slope = (flow.interpolate(DATA, NOISE, t + 0.25) - flow.interpolate(DATA, NOISE, t)) / 0.25
    torch.testing.assert_close(slope, flow.velocity(DATA, NOISE), atol=1e-5, rtol=0)


def test_velocity_points_back_to_the_data():
    t = torch.tensor([[0.0, 0.2, 0.7, 1.0]] * 2)
    x = flow.interpolate(DATA, NOISE, t)
    torch.testing.assert_close(flow.data_from_velocity(x, flow.velocity(DATA, NOISE), t), DATA, atol=1e-5, rtol=0)


def test_a_level_per_frame_is_that_level_in_that_frame():
    t = torch.tensor([[0.0, 0.1, 0.5, 1.0], [1.0, 0.4, 0.2, 0.0]])
    x = flow.interpolate(DATA, NOISE, t)
    for frame in range(4):
        one = flow.interpolate(DATA[:, :, frame : frame + 1], NOISE[:, :, frame : frame + 1], t[:, frame])
        assert torch.equal(x[:, :, frame : frame + 1], one)


def test_loss_ignores_known_frames():
    predicted = flow.velocity(DATA, NOISE).clone()
    known = torch.tensor([[True, False, False, False], [False, True, False, True]])
    predicted[known[:, None].expand(-1, 3, -1)] += 100.0
    assert flow.loss(predicted, DATA, NOISE, known) == 0
    predicted[0, :, 1] += 2.0  # one unknown frame of five, off by 2 everywhere
    torch.testing.assert_close(flow.loss(predicted, DATA, NOISE, known), torch.tensor(4 / 5))
    assert flow.loss(predicted, DATA, NOISE) > 1000


def test_loss_of_a_batch_that_is_all_known():
    assert flow.loss(DATA, DATA, NOISE, torch.ones(2, 4, dtype=torch.bool)) == 0


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0, 7.0])
def test_shift_keeps_the_ends_and_the_order(shift):
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    shifted = flow.shift_time(t, shift)
    assert shifted[0] == 0 and shifted[-1] == 1
    assert (shifted.diff() > 0).all()
    torch.testing.assert_close(flow.shift_time(shifted, 1 / shift), t)  # the inverse shift undoes it
    # A shift keeps the odds ratio: t / (1 - t) is multiplied by it.
    torch.testing.assert_close(shifted[5] / (1 - shifted[5]), torch.tensor(shift, dtype=torch.float64))


@pytest.mark.parametrize("num_steps", [1, 2, 8, 50])
@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_schedule_goes_from_noise_to_data(num_steps, shift):
    times = flow.schedule(num_steps, shift)
    assert len(times) == num_steps + 1 and times[0] == 1 and times[-1] == 0
    assert (times.diff() < 0).all()


def test_sampled_times():
    times = flow.sample_time((20_000,), generator=torch.Generator().manual_seed(0))
    assert times.min() > 0 and times.max() < 1
    assert abs(times.median() - 0.5) < 0.02
    shifted = flow.sample_time((20_000,), 3.0, generator=torch.Generator().manual_seed(0))
    assert abs(shifted.median() - 0.75) < 0.02
    assert torch.equal(flow.shift_time(times, 3.0), shifted)


@pytest.mark.parametrize("call", [lambda: flow.schedule(0), lambda: flow.shift_time(torch.zeros(1), 0.0)])
def test_impossible_settings(call):
    with pytest.raises(ValueError, match="at least 1|above 0"):
        call()
