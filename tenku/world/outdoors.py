"""Events under a tree: apples fall from it, people walk past."""

import numpy as np

from tenku.world.people import HIPS, Gait, person
from tenku.world.scene import RGB, Body, Event, Part, Shot, Vector, vec
from tenku.world.shading import GRAIN
from tenku.world.solids import CYLINDER, SPHERE
from tenku.world.things import pick, pick_direction

Rng = np.random.Generator
TRUNK, CROWN, FLAT = 1.0, 0.42, 0.85  # metres: height of the trunk, radius of a ball of leaves, of that its height
LEAVES = [(0.07, 0.26, 0.05), (0.13, 0.34, 0.06), (0.05, 0.2, 0.08)]


def tree(rng: Rng, at: Vector) -> Body:
    """A tree: a trunk, then balls of leaves. Only the trunk stops what falls."""
    green = np.array(pick(rng, LEAVES))
    wood = Part(CYLINDER, (0.1, TRUNK / 2), (0, 0, TRUNK / 2), color=RGB["brown"], color2=RGB["brown"] * 0.6)
    wood.pattern, wood.roughness = GRAIN, 0.9
    turned = rng.uniform(0, 2 * np.pi)
    around = [
        vec(0.4 * np.cos(turned + a), 0.4 * np.sin(turned + a), rng.uniform(1.2, 1.35)) for a in np.arange(5) * 1.257
    ]
    leaves = [
        Part(SPHERE, (CROWN, CROWN, CROWN * FLAT), m, color=green * rng.uniform(0.8, 1.25), roughness=1.0, solid=False)
        for m in [*around, vec(0, 0, 1.62)]
    ]
    return Body("tree", [wood, *leaves], "green", position=at)


def perhaps_a_tree(rng: Rng, spread: float) -> list[Body]:
    """A tree behind what goes past, up to `spread` metres aside, or none."""
    return [tree(rng, vec(rng.uniform(-spread, spread), 1.3, 0))] if rng.random() < 0.3 else []


def edge_of_leaves(crown: Body, angle: float, height: float) -> Vector:
    """Where the leaves of a tree end in a direction about its trunk, at a height that they have."""
    leaves = np.array([part.position for part in crown.parts[1:]])
    out = vec(np.cos(angle), np.sin(angle), 0)
    along = leaves @ out
    across = (leaves[:, :2] ** 2).sum(1) - along**2 + ((leaves[:, 2] - height) / FLAT) ** 2
    return crown.position + out * max(along + np.sqrt(np.maximum(CROWN**2 - across, 0))) + vec(0, 0, height)


def apples(rng: Rng) -> Event:
    """Apples hang in a tree and fall, one after another."""
    trunk = tree(rng, vec(0, 0.25, 0))
    color, count = pick(rng, ["red", "red", "yellow"]), int(rng.integers(2, 6))
    bodies: list[Body] = []
    falls = rng.permutation(rng.uniform(3, 9) + np.arange(count) * rng.uniform(3, 6))
    for i in range(count):
        side = -np.pi / 2 + (i - (count - 1) / 2) * 0.55 + rng.uniform(-0.05, 0.05)
        r = rng.uniform(0.095, 0.12)
        at = edge_of_leaves(trunk, side, rng.uniform(1.1, 1.5))
        parts = [
            Part(SPHERE, (r, r, r), color=RGB[color], roughness=0.25),
            Part(CYLINDER, (0.012, 0.05), (0, 0, r + 0.02), color=(0.3, 0.18, 0.08), solid=False),
        ]
        apple = Body("apple", parts, color, bounce=0.35, density=800, half_height=r)
        bodies.append(apple.place(at, role="many", held_until=float(falls[i])))
    shot = Shot(target=vec(0, 0, 0.95), distance=4.3, elevation=rng.uniform(4, 14))
    return Event([*bodies, trunk], claims={"count": count, "same_color": True}, shot=shot)


def walker(rng: Rng, sign: int) -> list[Body]:
    """A walking person who is in the middle of the picture after a second and a half."""
    speed = rng.uniform(0.5, 0.7)
    heading = rng.uniform(-0.25, 0.25) + (np.pi if sign < 0 else 0)
    gone = 1.5 * speed * vec(np.cos(heading), np.sin(heading), 0)
    gait = Gait(vec(rng.uniform(-0.15, 0.15), rng.uniform(-0.2, 0.1), 0) - gone, heading, speed, 0.62, rng.random())
    return person(rng, gait)


def walk(rng: Rng) -> Event:
    """Somebody walks through the picture, at times past a tree."""
    sign, direction = pick_direction(rng)
    bodies = walker(rng, sign)
    trees = perhaps_a_tree(rng, 0.4)
    shot = Shot(target=vec(0, 0, HIPS + 0.1), distance=rng.uniform(3.1, 3.7), elevation=rng.uniform(3, 14))
    return Event([*bodies, *trees], direction, {"tree": bool(trees)}, shot=shot)
