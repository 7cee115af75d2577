"""The simulated world obeys physics: free fall, energy, mirror symmetry; and outcomes are measured as claimed."""

import copy

import numpy as np
import pytest

from tenku.world.events import EVENTS
from tenku.world.physics import GRAVITY, happened_as_claimed, outcome, simulate
from tenku.world.scene import FPS, Event, turn, vec
from tenku.world.things import simple_body


def ball(color="red", material="rubber", radius=0.25):
    return simple_body(np.random.default_rng(0), "ball", radius, color, material)


def dropped(height: float, **changes) -> Event:
    body = ball()
    return Event([body.place(vec(0, 0, height), role="main", **changes)])


def mirrored(event: Event) -> Event:
    """The event seen in a mirror that swaps left and right."""
    other = copy.deepcopy(event)
    for body in other.bodies:
        body.position *= (-1, 1, 1)
        body.velocity *= (-1, 1, 1)
        body.rotation *= (1, 1, -1, -1)
        body.spin *= (1, -1, -1)
        body.angle *= -1
        for part in body.parts:
            part.position = np.multiply(part.position, (-1, 1, 1))
    return other


def test_free_fall_is_half_g_t_squared():
    motion = simulate(dropped(20.0), grip=0.8, num_frames=30)
    t = np.arange(30) / FPS
    fallen = 20.0 - motion.position[:, 0, 2]
    late = t >= 0.25
    np.testing.assert_allclose(fallen[late], 0.5 * GRAVITY * t[late] ** 2, rtol=0.01)
    np.testing.assert_allclose(-motion.velocity[1:, 0, 2], GRAVITY * t[1:], rtol=0.01)


def test_a_throw_is_a_parabola():
    motion = simulate(dropped(2.0, velocity=vec(1.5, 0, 4.0)), grip=0.8, num_frames=12)
    t = np.arange(12) / FPS
    np.testing.assert_allclose(motion.position[:, 0, 0], 1.5 * t, atol=0.01)
    np.testing.assert_allclose(motion.position[:, 0, 2], 2.0 + 4.0 * t - 0.5 * GRAVITY * t**2, atol=0.02)


@pytest.mark.parametrize("name", ["drop", "throw", "roll", "collide", "tower", "ramp", "pendulum"])
@pytest.mark.parametrize("seed", [0, 1])
def test_energy_never_grows(name, seed):
    event = EVENTS[name][0](np.random.default_rng(seed))
    motion = simulate(event, grip=0.6)
    energy = motion.energy  # potential energy counts from the floor
    assert energy[0] > 0 and energy.max() <= energy[0] * 1.01
    # A contact is a spring that may give back what it took: compare moments at which nothing touches.
    free = energy[[not pairs for pairs in motion.contacts]]
    assert np.all(np.diff(free) <= 0.005 * energy[0])


def test_a_bounce_keeps_less_than_all_and_rubber_more_than_metal():
    def rise(material):
        body = ball(material=material)
        event = Event([body.place(vec(0, 0, 1.5), role="main")])
        height = simulate(event, grip=0.8).position[:, 0, 2]
        low = int(np.argmax(np.diff(height) > 0))
        return height[low:].max() - 0.25

    assert 0.05 < rise("metal") < rise("rubber") < 1.2


@pytest.mark.parametrize("name", ["drop", "roll", "throw", "ramp", "slide"])
def test_a_mirrored_scene_mirrors_the_trajectory(name):
    event = EVENTS[name][0](np.random.default_rng(3))
    event.bodies = [b for b in event.bodies if b.role != "target"][: 1 if name == "drop" else None]
    frames = 14  # before contacts amplify rounding
    a, b = simulate(event, 0.6, frames), simulate(mirrored(event), 0.6, frames)
    np.testing.assert_allclose(b.position, a.position * (-1, 1, 1), atol=5e-3)
    np.testing.assert_allclose(b.velocity, a.velocity * (-1, 1, 1), atol=0.1)


def test_the_same_event_moves_the_same_way_bit_for_bit():
    event = EVENTS["tower"][0](np.random.default_rng(5))
    a, b = simulate(event, 0.6), simulate(event, 0.6)
    assert np.array_equal(a.position, b.position) and a.contacts == b.contacts and a.touches == b.touches


def test_rolling_without_slipping():
    event = EVENTS["roll"][0](np.random.default_rng(8))
    body = event.bodies[0]
    motion = simulate(event, grip=0.8, num_frames=24)
    radius = body.position[2]
    np.testing.assert_allclose(motion.spin[5:, 0, 1] * radius, motion.velocity[5:, 0, 0], atol=0.08)


def test_bounces_are_counted_by_the_height_regained():
    assert outcome(e := dropped(1.6, bounce=0.82), simulate(e, 0.8))["bounces"] >= 2
    assert outcome(e := dropped(1.6, bounce=0.05), simulate(e, 0.8))["bounces"] == 0


def test_knocked_over_is_measured():
    striker, pin = (
        ball(material="metal"),
        simple_body(np.random.default_rng(1), "cylinder", 0.2, "blue", "plastic"),
    )
    striker.place(vec(-1, 0, 0.253), role="main", velocity=vec(3, 0, 0), spin=vec(0, 12, 0))
    pin.place(vec(0, 0, 0.203), role="target")
    event = Event([striker, pin])
    found = outcome(event, simulate(event, 0.6))
    assert found["hit_target"] and found["moved"] == 1 and found["targets"] == 1
    striker.velocity, striker.spin = vec(-1, 0, 0), vec(0, 0, 0)
    found = outcome(event, simulate(event, 0.6))
    assert not found["hit_target"] and found["tipped"] == found["moved"] == 0


def test_a_ball_that_hides_and_stays_must_stay():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(12):
        event = EVENTS["hide"][0](rng)
        motion = simulate(event, 0.8)
        inside = abs(motion.position[-1, 0, 0]) < 0.75
        if happened_as_claimed(event, motion):
            assert event.claims["stays"] == inside
            seen.add(event.claims["stays"])
    assert seen == {True, False}


def test_a_turn_is_a_unit_quaternion():
    assert np.linalg.norm(turn((1, 2, 3), 0.7)) == pytest.approx(1)
