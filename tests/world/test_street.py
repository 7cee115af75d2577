"""Cars roll on their wheels and brake, people and cars pass each other, balls take the stairs."""

import numpy as np
import pytest

from tenku.world.events import EVENTS
from tenku.world.physics import happened_as_claimed, outcome, simulate
from tenku.world.scene import FPS
from tenku.world.street import WHEEL, braking


def happening(name, seed):
    event = EVENTS[name][0](np.random.default_rng(seed))
    return event, simulate(event, 0.6)


@pytest.mark.parametrize("seed", range(4))
def test_wheels_stay_on_the_ground_and_roll_without_slipping(seed):
    event, motion = happening("drive", seed)
    wheels = [i for i, body in enumerate(event.bodies) if body.kind == "wheel"]
    assert len(wheels) == 4
    gone = np.linalg.norm(motion.position[:, 0] - motion.position[0, 0], axis=1)
    for i in wheels:
        np.testing.assert_allclose(motion.position[:, i, 2], WHEEL, atol=1e-9)
        np.testing.assert_allclose(
            np.linalg.norm(motion.position[:, i] - motion.position[0, i], axis=1), gone, atol=1e-6
        )
        turned = motion.rotation[:, i]
        np.testing.assert_allclose(turned[:, :, 2], np.broadcast_to(turned[0, :, 2], (48, 3)), atol=1e-6)  # one axle
        spokes = turned[:, :, 0]
        angles = np.arccos(np.clip((spokes[1:] * spokes[:-1]).sum(1), -1, 1))
        np.testing.assert_allclose(angles, np.diff(gone) / WHEEL, atol=1e-3)
        # what is on top goes forward: the turn is about up x ahead
        ahead = motion.position[-1, 0] - motion.position[0, 0]
        assert np.cross(spokes[0], spokes[1]) @ np.cross((0, 0, 1), ahead) > 0


@pytest.mark.parametrize("seed", range(12))
def test_a_car_goes_where_it_is_said_and_rests_only_if_it_braked(seed):
    event, motion = happening("drive", seed)
    speed = np.linalg.norm(motion.velocity[:, 0, :2], axis=1)
    rests = outcome(event, motion)["rest"]
    assert np.sign(motion.position[-1, 0, 0] - motion.position[0, 0, 0]) == {"left": -1, "right": 1}[event.direction]
    assert speed[:10].min() > 0.75 and (speed[-2] < 0.05) == rests and motion.sound
    assert rests or np.ptp(speed) < 1e-6


def test_both_kinds_of_drives_are_drawn():
    assert {outcome(*happening("drive", seed))["rest"] for seed in range(12)} == {True, False}


def test_braking_is_even_and_ends_at_rest():
    gone = braking(1.2, 16, 1.0)
    at = np.array([gone(frame) for frame in range(48)])
    speed = np.diff(at) * FPS
    np.testing.assert_allclose(speed[:16], 1.2)
    np.testing.assert_allclose(np.diff(speed[16:32]), -1.2 / FPS)
    np.testing.assert_allclose(speed[32:], 0, atol=1e-12)
    assert at[-1] == pytest.approx(1.2 * 1.5)


@pytest.mark.parametrize("seed", range(8))
def test_somebody_walks_before_a_car_of_another_colour(seed):
    event, motion = happening("street", seed)
    car = next(i for i, body in enumerate(event.bodies) if body.kind == "automobile")
    person = event.bodies[event.main]
    assert person.kind == "person" and event.bodies[car].role == "target" and event.bodies[car].color != person.color
    apart = motion.position[:, car, 1] - motion.position[:, event.main, 1]
    across = motion.position[-1, car, 0] - motion.position[0, car, 0]
    assert apart.min() > 0.44 and np.sign(across) == {"left": -1, "right": 1}[event.claims["behind"]]


@pytest.mark.parametrize("seed", range(8))
def test_a_ball_takes_the_stairs_down(seed):
    event, motion = happening("stairs", seed)
    flight = next(body for body in event.bodies if body.kind == "stairs")
    assert len(flight.parts) == event.claims["count"]
    assert happened_as_claimed(event, motion)
    height, across = motion.position[:, 0, 2], motion.position[:, 0, 0] - flight.position[0]
    for part in flight.parts:  # never inside a step
        over = np.abs(across - part.position[0]) < part.size[0]
        assert (height[over] > 2 * part.size[2]).all()
    assert height[-1] < height[0] - event.claims["down"] and motion.sound


def test_what_stays_on_the_stairs_or_falls_off_their_side_is_not_told():
    event, motion = happening("stairs", 0)
    down = motion.position.copy()
    motion.position[:, 0] = motion.position[0, 0]
    assert not happened_as_claimed(event, motion)
    motion.position[:] = down
    motion.position[4:, 0, 1] += 1
    assert not happened_as_claimed(event, motion)
