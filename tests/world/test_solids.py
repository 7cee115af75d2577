"""The ray tracer's geometry against brute force, and its compiled literals against double precision."""

import numpy as np
import pytest
from numba import float32, types

from tenku.world import solids, vectors
from tenku.world.render import bounding_radius
from tenku.world.scene import Part

F4 = np.float32
SIZES = {
    solids.SPHERE: (0.3, 0.2, 0.4),
    solids.BOX: (0.3, 0.2, 0.4),
    solids.CYLINDER: (0.3, 0.4),
    solids.CAPSULE: (0.2, 0.3),
    solids.CONE: (0.3, 0.4),
    solids.DOME: (0.3, 0.3, 0.4),
    solids.TORUS: (0.4, 0.12),
}


def inside(shape: int, s: tuple[float, ...], p: np.ndarray) -> np.ndarray:
    x, y, z = p.T
    r = np.hypot(x, y)
    if shape in (solids.SPHERE, solids.DOME):
        ball = (x / s[0]) ** 2 + (y / s[1]) ** 2 + (z / s[2]) ** 2 < 1
        return ball & (z > 0) if shape == solids.DOME else ball
    if shape == solids.BOX:
        return (abs(x) < s[0]) & (abs(y) < s[1]) & (abs(z) < s[2])
    if shape == solids.CYLINDER:
        return (r < s[0]) & (abs(z) < s[1])
    if shape == solids.CAPSULE:
        return r**2 + (z - np.clip(z, -s[1], s[1])) ** 2 < s[0] ** 2
    if shape == solids.CONE:
        return (abs(z) < s[1]) & (r < s[0] * (s[1] - z) / (2 * s[1]))
    return (r - s[0]) ** 2 + z**2 < s[1] ** 2


def row(shape: int, edible: bool = False) -> np.ndarray:
    parts = np.zeros((1, solids.PART_COLUMNS), F4)
    parts[0, solids.SHAPE] = shape
    parts[0, solids.ROTATION : solids.ROTATION + 9] = np.eye(3).ravel()
    parts[0, solids.SIZE : solids.SIZE + len(SIZES[shape])] = SIZES[shape]
    parts[0, solids.RADIUS] = bounding_radius(Part(shape, SIZES[shape])) * 1.001
    parts[0, solids.EDIBLE] = edible
    return parts


def vector(v: np.ndarray) -> tuple:
    return tuple(F4(x) for x in v)


@pytest.mark.parametrize("shape", list(SIZES))
def test_a_ray_enters_where_it_should(shape):
    rng = np.random.default_rng(shape)
    parts, none = row(shape), np.zeros((0, 4), F4)
    agreed = missed = grazed = 0
    tolerance = 0.02 if shape == solids.TORUS else 4e-3  # the marched torus is 0.8 mm thicker
    for _ in range(300):
        o = rng.normal(size=3)
        o *= 1.5 / np.linalg.norm(o)
        d = rng.uniform(-0.3, 0.3, 3) - o
        d /= np.linalg.norm(d)
        t, _ = solids.intersect(parts, 0, vector(o), vector(d), F4(0), F4(1e4), none)
        steps = np.linspace(0, 3, 6001)
        hits = steps[inside(shape, SIZES[shape], o + steps[:, None] * d)]
        if len(hits) > 8:  # not merely grazed
            assert t == pytest.approx(hits[0], abs=tolerance)
            n = np.array(solids.normal(parts, 0, vector(o + t * d)))
            assert np.linalg.norm(n) == pytest.approx(1, abs=1e-3) and n @ d < 0.02
            agreed += 1
        elif len(hits) == 0:
            missed, grazed = missed + 1, grazed + (t > 0)
    assert agreed > 60 and missed > 3 and grazed <= max(1, 0.03 * missed)


def test_a_bite_opens_the_solid_behind_it():
    parts = row(solids.SPHERE, edible=True)
    o, d = vector(np.array([-2.0, 0, 0])), vector(np.array([1.0, 0, 0]))
    whole, cut = solids.intersect(parts, 0, o, d, F4(0), F4(1e4), np.zeros((0, 4), F4))
    assert whole == pytest.approx(1.7, abs=1e-4) and cut == 0
    bites = np.array([[-0.3, 0, 0, 0.1]], F4)
    bitten, cut = solids.intersect(parts, 0, o, d, F4(0), F4(1e4), bites)
    assert bitten == pytest.approx(1.8, abs=1e-4) and cut == 1


def test_literals_are_single_precision():
    @vectors.single
    def half(x):
        return x * 0.5 + 0.25

    half(F4(1))
    assert half.nopython_signatures[0].return_type == types.float32
    assert float32 is types.float32


def test_noise_is_steady_smooth_and_in_range():
    xs = np.linspace(-5, 5, 400)
    values = np.array([vectors.noise(F4(x), F4(0.3)) for x in xs])
    assert values.min() >= 0 and values.max() <= 1 and values.std() > 0.1
    assert np.abs(np.diff(values)).max() < 0.06
    assert vectors.cell(F4(-0.5)) == -1 and vectors.cell(F4(2.0)) == 2
