"""People walk on their own two feet, and apples hang until they fall."""

import numpy as np
import pytest

from tenku.world.events import EVENTS
from tenku.world.people import ANKLE, ARM, HIPS, LEG, Gait
from tenku.world.physics import outcome, simulate
from tenku.world.scene import FPS, matrix, then, turn, vec

TIMES = np.arange(0, 48, 0.25)


@pytest.fixture(scope="module")
def gait():
    return Gait(vec(-1, 0.2, 0), heading=0.3, speed=0.6, stride=0.62, phase=0.15)


def test_one_turn_after_another():
    first, second = turn((0, 1, 0), 0.7), turn((0, 0, 1), -1.1)
    np.testing.assert_allclose(matrix(then(first, second)), matrix(second) @ matrix(first), atol=1e-12)


@pytest.mark.parametrize("side", [1, -1])
def test_a_foot_on_the_ground_stays_where_it_is(gait, side):
    feet = np.array([gait.at(t, *_forward_and_up(gait, t, side)) for t in TIMES])
    down = np.array([gait.foot(t, side)[1] == ANKLE for t in TIMES])
    stays = down[1:] & down[:-1]
    moved = np.linalg.norm(np.diff(feet, axis=0), axis=1)
    assert 0.5 < down.mean() < 0.7 and moved[stays].max() < 1e-9
    assert moved[~stays].max() > 0.02 and (feet[:, 2] >= ANKLE - 1e-9).all()


def _forward_and_up(gait, t, side):
    x, z = gait.foot(t, side)
    return x, 0, z - gait.hips(t)


@pytest.mark.parametrize("side", [1, -1])
def test_the_knee_joins_hip_and_foot(gait, side):
    for t in TIMES:
        thigh, shin, _ = gait.leg(t, side)
        end = LEG * vec(np.sin(thigh) + np.sin(shin), -np.cos(thigh) - np.cos(shin))
        np.testing.assert_allclose(end, vec(*gait.foot(t, side)) - vec(0, gait.hips(t)), atol=1e-9)
        assert thigh >= shin  # knees bend one way


@pytest.mark.parametrize("seed", range(4))
def test_shoes_stand_flat_on_the_ground_and_never_in_it(seed):
    event = EVENTS["walk"][0](np.random.default_rng(seed))
    motion = simulate(event, 0.6)
    feet = [k for k, body in enumerate(event.bodies) if body.kind == "foot"]
    assert len(feet) == 2
    for i in feet:
        (shoe,) = event.bodies[i].parts
        turned = motion.rotation[:, i]
        middle = motion.position[:, i] + turned @ np.asarray(shoe.position)
        # how far an ellipsoid reaches along z: the length of its radii, turned
        lowest = middle[:, 2] - np.linalg.norm(turned[:, 2] * np.asarray(shoe.size), axis=1)
        stands = np.isclose(motion.position[:, i, 2], ANKLE)
        np.testing.assert_allclose(lowest[stands], 0, atol=1e-6)
        assert stands.mean() > 0.4 and lowest.min() > -1e-6 and lowest.max() > 0.05


@pytest.mark.parametrize("side", [1, -1])
def test_an_arm_goes_with_the_other_side(gait, side):
    arm = [gait.arm(t, side)[0] for t in TIMES]
    assert np.corrcoef(arm, [gait.foot(t, -side)[0] for t in TIMES])[0, 1] > 0.8
    assert np.corrcoef(arm, [gait.foot(t, side)[0] for t in TIMES])[0, 1] < -0.8


def test_one_foot_is_always_down(gait):
    for t in TIMES:
        assert min(gait.foot(t, side)[1] for side in (1, -1)) == ANKLE


@pytest.mark.parametrize("seed", range(4))
def test_limbs_hang_together_and_the_person_goes_where_it_is_said(seed):
    event = EVENTS["walk"][0](np.random.default_rng(seed))
    motion = simulate(event, 0.6)
    kinds = [body.kind for body in event.bodies]
    at = motion.position
    for upper, lower, length in (("thigh", "shin", LEG), ("shin", "foot", LEG), ("arm", "forearm", ARM)):
        assert kinds.count(upper) == 2
        for i in (k for k, kind in enumerate(kinds) if kind == upper):
            assert kinds[i + 1] == lower
            np.testing.assert_allclose(np.linalg.norm(at[:, i] - at[:, i + 1], axis=1), length, atol=1e-6)
    gone = at[-1, 0] - at[0, 0]
    speed = np.linalg.norm(motion.velocity[:, 0, :2], axis=1)
    assert speed.min() > 0.45 and not outcome(event, motion)["rest"]
    assert np.sign(gone[0]) == {"left": -1, "right": 1}[event.direction] and np.linalg.norm(gone) > 1.2
    assert np.abs(at[:, 0, 2] - HIPS).max() < 0.02 and motion.sound


@pytest.mark.parametrize("seed", range(6))
def test_apples_hang_at_the_edge_of_the_leaves(seed):
    event = EVENTS["apples"][0](np.random.default_rng(seed))
    (crown,) = (body for body in event.bodies if body.kind == "tree")
    leaves = [(crown.position + np.asarray(part.position), np.asarray(part.size)) for part in crown.parts[1:]]
    hang = [body.position for body in event.bodies if body.kind == "apple"]
    assert len(hang) > 1
    for at in hang:
        assert min(np.linalg.norm((at - middle) / size) for middle, size in leaves) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(6))
def test_apples_hang_still_and_fall_one_after_another(seed):
    event = EVENTS["apples"][0](np.random.default_rng(seed))
    height = simulate(event, 0.6).position[..., 2]
    apples = [(i, body) for i, body in enumerate(event.bodies) if body.kind == "apple"]
    assert len(apples) == event.claims["count"]
    for i, body in apples:
        held = int(np.ceil(body.held_until))
        np.testing.assert_allclose(height[:held, i], body.position[2], atol=1e-4)  # one substep of falling
        fallen = (held + 4 - body.held_until) / FPS
        np.testing.assert_allclose(height[held + 4, i], body.position[2] - 9.81 / 2 * fallen**2, atol=0.02)
        assert height[-1, i] < 0.3
    first = sorted(body.held_until for _, body in apples)
    assert np.diff(first).min() > 2
