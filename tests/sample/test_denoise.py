"""Solvers follow a known flow with their order; known frames are held; guidance is its formula."""

import copy
import math

import pytest
import torch

from tenku import flow
from tenku.model.settings import SOLVERS, SamplingParams
from tenku.sample import conditioning
from tenku.sample.denoise import denoise, solve
from tenku.sample.guidance import guided_velocity, rescaled
from tenku.wan.experts import Experts


def noise(batch=1, frames=4, seed=0):
    return torch.randn(batch, 16, frames, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def condition(text_encoder):
    with torch.no_grad():
        return conditioning.from_text(text_encoder, ["a red ball drops onto the ice"])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("num_steps", [1, 3])
def test_the_exact_velocity_gives_back_the_data(solver, num_steps):
    data, start = noise(seed=1), noise(seed=2)
    times = flow.schedule(num_steps, 3.0).tolist()
    found = solve(lambda x, t: flow.velocity(data, start), start, times, solver)
    torch.testing.assert_close(found, data, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("solver, order", [("euler", 1), ("multistep", 2), ("heun", 2)])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_order_of_convergence(solver, order, shift):
    """dx/dt = x cos 3t from x(1) = 1 has the solution exp((sin 3t - sin 3) / 3)."""
    truth = math.exp(-math.sin(3) / 3)
    errors = []
    for num_steps in (40, 80, 160):
        times = flow.schedule(num_steps, shift).tolist()
        x = solve(lambda x, t: x * math.cos(3 * t), torch.ones((), dtype=torch.float64), times, solver)
        errors.append(abs(x.item() - truth))
    assert math.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.25)


def test_unknown_solver():
    with pytest.raises(ValueError, match="unknown solver 'rk4'; choose one of euler, multistep, heun"):
        solve(lambda x, t: x, torch.ones(1), [1.0, 0.0], "rk4")


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_velocity_is_asked_for_at_data(solver):
    asked = []
    solve(lambda x, t: asked.append(t) or x, torch.ones(1), flow.schedule(4).tolist(), solver)
    assert min(asked) > 0


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("known_t", [0.0, 0.02])
@pytest.mark.parametrize("known", [[True, False, False, False], [True, False, False, True], [False, True, False, True]])
def test_known_frames_come_out_as_given(transformer, condition, solver, known_t, known):
    mask = torch.tensor(known)
    given = noise(seed=5)
    held = conditioning.with_known_frames(condition, given, mask, known_t)
    params = SamplingParams(num_steps=3, solver=solver)
    out = denoise(transformer, noise(), held, params)
    assert torch.equal(out[:, :, mask], given[:, :, mask])
    free = denoise(transformer, noise(), condition, params)
    change = (out - free).abs().mean(dim=(0, 1, 3, 4))
    assert (change[~mask] > 1e-4).all()  # the other frames looked at them


@pytest.mark.parametrize("known_t", [0.1, torch.tensor([0.5, 0.1, 0.0, 0.9])])
def test_the_network_sees_known_frames_as_clean(condition, known_t):
    """Told t = known_t for them and the step's t for the others, and shown them with just that much noise."""
    seen = []

    class Spy(torch.nn.Module):
        def text_keys_values(self, embeds):
            return [(embeds, embeds)]

        def forward(self, latents, t, text_embeds, text_mask, *, text_keys_values):
            seen.append((latents.clone(), t.clone()))
            return torch.ones_like(latents)

    given, start = noise(seed=5), noise()
    mask = torch.tensor([False, True, False, False])
    held = conditioning.with_known_frames(condition, given, mask, known_t)
    denoise(Spy(), start, held, SamplingParams(num_steps=2, shift=1.0, guidance_scale=1.0))
    for (latents, t), level in zip(seen, [1.0, 0.5], strict=True):
        torch.testing.assert_close(t, torch.tensor([[level, 0.1, level, level]]))
        torch.testing.assert_close(latents[:, :, 1], 0.9 * given[:, :, 1] + 0.1 * start[:, :, 1])
    assert torch.equal(seen[0][0][:, :, [0, 2, 3]], start[:, :, [0, 2, 3]])


def test_known_frames_are_never_noisier_than_the_others(condition, monkeypatch):
    """Shown at 0.7 while the others have more, then at what the others have; at 1 all have the same level always."""
    asked = []

    def velocity(transformer, conditioning, *how, **more):
        return lambda x, level, t: asked.append(level.clone()) or torch.zeros_like(x)

    monkeypatch.setattr("tenku.sample.denoise.guided_velocity", velocity)
    mask, params = torch.tensor([True, True, False, False]), SamplingParams(num_steps=2, shift=1.0)
    for known_t in (torch.tensor([0.0, 0.7, 0.2, 0.2]), 1.0):
        held = conditioning.with_known_frames(condition, noise(seed=5), mask, known_t)
        assert torch.equal(denoise(None, noise(), held, params)[:, :, mask], noise(seed=5)[:, :, mask])
    torch.testing.assert_close(asked[:2], [torch.tensor([[0, 0.7, 1, 1]]), torch.tensor([[0, 0.5, 0.5, 0.5]])])
    torch.testing.assert_close(asked[2:], [torch.tensor([1.0]), torch.tensor([0.5])])


def test_unread_latents_do_not_matter(transformer, condition):
    mask = torch.tensor([True, False, False, False])
    given, other = noise(seed=5), noise(seed=6)
    other[:, :, 0] = given[:, :, 0]
    a, b = (
        denoise(transformer, noise(), conditioning.with_known_frames(condition, x, mask), SamplingParams(2))
        for x in (given, other)
    )
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    "known, known_t, message",
    [
        (torch.ones(3, dtype=torch.bool), 0.0, r"known must be bool of shape \(4,\) or \(1, 4\)"),
        (torch.ones(4), 0.0, "known must be bool"),
        (torch.ones(4, dtype=torch.bool), 1.1, "known_t must lie between 0 and 1, got 1.1"),
        (torch.ones(4, dtype=torch.bool), torch.tensor([0, -0.1, 0, 1]), "known_t must lie between 0 and 1"),
        (torch.ones(4, dtype=torch.bool), torch.zeros(3), "known_t must be one number or 4"),
    ],
)
def test_known_frames_that_do_not_fit(condition, known, known_t, message):
    with pytest.raises(ValueError, match=message):
        conditioning.with_known_frames(condition, noise(), known, known_t)


def test_guidance_formula(transformer, condition):
    x, t = noise(), torch.tensor([0.7])
    towards = transformer(x, t, condition.text_embeds, condition.text_mask)
    away = transformer(x, t, condition.negative_embeds, condition.negative_mask)
    for scale in (0.0, 1.0, 3.5):
        guided = guided_velocity(transformer, condition, scale)(x, t, 0.7)
        torch.testing.assert_close(guided, away + scale * (towards - away), atol=1e-4, rtol=1e-4)
    outside = guided_velocity(transformer, condition, 3.5, (0.1, 0.6))(x, t, 0.7)
    torch.testing.assert_close(outside, towards, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("t", [torch.tensor([0.7]), torch.tensor([[0.0, 0.7, 0.1, 0.7]])])
def test_rescaled_guidance_leaves_the_contrast_of_the_prompt_alone(transformer, condition, t):
    x = noise()
    towards = guided_velocity(transformer, condition, 1.0)(x, t, 0.7)
    guided, half, whole = (guided_velocity(transformer, condition, 9.0, rescale=r)(x, t, 0.7) for r in (0.0, 0.5, 1.0))
    usual, *others = (flow.data_from_velocity(x, each, t)[0] for each in (towards, guided, half, whole))  # C T H W
    for frame in range(4):
        exaggerated, less, none = (float(each[:, frame].std() / usual[:, frame].std()) for each in others)
        assert exaggerated > 1.01 or t.flatten()[frame % t.numel()] == 0
        assert none == pytest.approx(1, abs=1e-3)
        assert less == pytest.approx((exaggerated + 1) / 2, abs=1e-3)
        # nothing but the contrast is changed
        torch.testing.assert_close(others[2][:, frame] * exaggerated, others[0][:, frame], atol=1e-3, rtol=1e-3)


def test_guidance_is_rescaled_one_by_one_and_for_two_experts_too(transformer, condition):
    x, t = noise(), torch.tensor([0.7])
    expected = guided_velocity(transformer, condition, 9.0, rescale=0.8)(x, t, 0.7)
    experts = Experts(transformer, copy.deepcopy(transformer), 0.5)
    for model, sequential_cfg in ((transformer, True), (experts, False), (experts, True)):
        for level in (0.7, 0.3):
            found = guided_velocity(model, condition, 9.0, rescale=0.8, sequential_cfg=sequential_cfg)(x, t, level)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_frame_without_any_contrast_stays_finite():
    flat = torch.zeros(1, 16, 2, 4, 4)
    assert bool(rescaled(flat, flat, flat, torch.tensor([[0.0, 0.5]]), 1.0).isfinite().all())


def test_prompts_in_one_batch_are_as_if_alone(transformer, text_encoder):
    prompts = ["a red ball", "three glossy blue cubes slide across the ice"]
    params = SamplingParams(num_steps=2)
    starts = noise(batch=2)
    with torch.no_grad():
        together = denoise(transformer, starts, conditioning.from_text(text_encoder, prompts, "green"), params)
        for i, prompt in enumerate(prompts):
            one = conditioning.from_text(text_encoder, [prompt], "green")
            alone = denoise(transformer, starts[i : i + 1], one, params)
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-4)


def test_steps_are_reported_and_can_be_stopped(transformer, condition):
    steps = []

    def report(done, total):
        steps.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise(transformer, noise(), condition, SamplingParams(num_steps=5), report)
    assert steps == [(1, 5), (2, 5)]


@pytest.mark.parametrize(
    "values, message",
    [
        ({"num_steps": 0}, "steps must be between 1 and 1000"),
        ({"guidance_scale": float("nan")}, "guidance must be between"),
        ({"guidance_scale": -1}, "guidance must be between"),
        ({"shift": 0}, "shift must be between"),
        ({"solver": "magic"}, "unknown solver 'magic'"),
        ({"guidance_rescale": 1.5}, "guidance_rescale must be between 0 and 1"),
    ],
)
def test_params_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        SamplingParams(**values)
