"""Events in a street: cars drive through it, also past people who walk, and balls bounce down its stairs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tenku.world.outdoors import perhaps_a_tree, walker
from tenku.world.people import HIPS
from tenku.world.scene import BASIC, FPS, LYING, RGB, Body, Event, Part, Shot, Vector, then, turn, vec
from tenku.world.shading import BEACH_BALL, GRAIN, PLAIN
from tenku.world.solids import BOX, CYLINDER, SPHERE
from tenku.world.things import NEARLY_BLACK, pick, pick_direction, place_rolling, rolling_radius, simple_body

Rng = np.random.Generator
Drive = Callable[[float], float]  # frame -> metres gone
# Cars are small beside people, as in a toy town, so that both fit into one picture.
WHEEL = 0.13  # metres: the radius
AXLES, TRACK = 0.37, 0.25  # how far wheels are before, behind and beside the middle of a car
SPEEDS = (0.8, 1.3)  # metres a second
WIDE = 0.55  # metres: half of a flight of stairs, across
GLASS = vec(0.08, 0.11, 0.14)


def steady(speed: float) -> Drive:
    return lambda frame: speed * frame / FPS


def braking(speed: float, from_frame: float, seconds: float) -> Drive:
    """Braking from a frame on: one speed, then slower and slower until it stands."""

    def gone(frame: float) -> float:
        late = np.clip((frame - from_frame) / FPS, 0, seconds)
        return speed * (min(frame, from_frame) / FPS + late - late**2 / (2 * seconds))

    return gone


def _coachwork(color: Vector) -> list[Part]:
    """The parts of a car without its wheels, seen from the ground below its middle; x is forward."""

    def part(shape: int, size: Any, at: Any, color: Any, **look: Any) -> Part:
        return Part(shape, size, at, color=color, solid=False, **{"roughness": 0.2, **look})

    return [
        part(BOX, (0.6, 0.27, 0.11), (0, 0, 0.24), color),
        part(BOX, (0.33, 0.235, 0.09), (-0.08, 0, 0.43), GLASS, roughness=0.08),
        part(BOX, (0.29, 0.24, 0.025), (-0.08, 0, 0.54), color),
        part(BOX, (0.62, 0.25, 0.04), (0, 0, 0.16), NEARLY_BLACK, roughness=0.6),
        *(part(SPHERE, (0.035,) * 3, (0.6, y, 0.27), (1, 0.9, 0.7), glow=2.0) for y in (-0.18, 0.18)),
        *(part(SPHERE, (0.03,) * 3, (-0.6, y, 0.28), (1, 0.05, 0.03), glow=1.2) for y in (-0.2, 0.2)),
    ]


def car(color: str, start: Vector, heading: float, gone: Drive) -> list[Body]:
    """The bodies of a car that goes from `start` towards `heading` (radians about z): coachwork, then wheels."""
    ahead = turn((0, 0, 1), heading)
    forward, left = vec(np.cos(heading), np.sin(heading), 0), vec(-np.sin(heading), np.cos(heading), 0)

    def body(frame: float) -> tuple[Vector, Vector]:
        return start + forward * gone(frame), ahead

    def wheel(frame: float, corner: Vector) -> tuple[Vector, Vector]:
        rolled = then(LYING, turn((0, 1, 0), gone(frame) / WHEEL))
        return start + forward * gone(frame) + corner, then(rolled, ahead)

    # Light spokes on dark rubber show that a wheel turns.
    tyre = Part(CYLINDER, (WHEEL, 0.05), color=NEARLY_BLACK, roughness=0.8, solid=False)
    rim = Part(
        CYLINDER, (0.08, 0.054), color=(0.75, 0.76, 0.78), color2=(0.2, 0.2, 0.21), pattern=BEACH_BALL, solid=False
    )
    corners = [forward * x + left * y + vec(0, 0, WHEEL) for x in (AXLES, -AXLES) for y in (TRACK, -TRACK)]
    wheels = [Body("wheel", [tyre, rim], joint="mocap", path=partial(wheel, corner=at)) for at in corners]
    return [Body("automobile", _coachwork(RGB[color]), color, role="main", joint="mocap", path=body), *wheels]


def passing(rng: Rng, color: str, sign: int, gone: Drive, beyond: float, askew: float) -> list[Body]:
    """A car that is in the middle of the picture after a second and a half.

    beyond: metres behind the middle. It heads along the x axis, up to `askew` radians off.
    """
    heading = rng.uniform(-askew, askew) + (np.pi if sign < 0 else 0)
    halfway = gone(24) * vec(np.cos(heading), np.sin(heading), 0)
    return car(color, vec(rng.uniform(-0.2, 0.2), beyond, 0) - halfway, heading, gone)


def drive(rng: Rng) -> Event:
    """A car drives through the picture, or brakes in it; at times past a tree."""
    sign, direction = pick_direction(rng)
    speed, brakes = rng.uniform(*SPEEDS), rng.random() < 0.4
    gone = braking(speed, rng.uniform(10, 20), rng.uniform(0.8, 1.4)) if brakes else steady(speed)
    bodies = passing(rng, pick(rng, BASIC), sign, gone, beyond=rng.uniform(-0.2, 0.1), askew=0.25)
    trees = perhaps_a_tree(rng, 0.6)
    shot = Shot(target=vec(0, 0, 0.45), distance=rng.uniform(3.3, 4.1), elevation=rng.uniform(3, 15))
    return Event([*bodies, *trees], direction, {"tree": bool(trees)}, shot=shot)


def street(rng: Rng) -> Event:
    """Somebody walks, and behind them a car drives by, in either direction."""
    sign, direction = pick_direction(rng)
    bodies = walker(rng, sign)
    against, behind = pick_direction(rng)
    color = pick(rng, [name for name in BASIC if name != bodies[0].color])
    passes = passing(rng, color, against, steady(rng.uniform(*SPEEDS)), beyond=rng.uniform(0.95, 1.15), askew=0.1)
    passes[0].role = "target"
    shot = Shot(target=vec(0, 0.25, HIPS), distance=rng.uniform(3.5, 4.1), elevation=rng.uniform(4, 14))
    return Event([*bodies, *passes], direction, {"behind": behind}, shot=shot)


def stairs(rng: Rng) -> Event:
    """Something round goes over the edge of a flight of stairs, and down."""
    sign, direction = pick_direction(rng)
    count, high, deep = int(rng.integers(3, 6)), rng.uniform(0.17, 0.24), rng.uniform(0.34, 0.42)
    color, pattern = pick(rng, [("gray", PLAIN), ("white", PLAIN), ("brick", PLAIN), ("brown", GRAIN)])
    top = vec(-sign * 1.5, 0, 0)
    steps = []
    for i in range(count):  # from the top: each a block that stands on the floor
        tall = high * (count - i) / 2
        at = vec(sign * (deep * (i + 0.5) + 0.1), 0, tall)
        steps.append(Part(BOX, (deep / 2, WIDE, tall), at, color=RGB[color] * (0.88 + 0.24 * (i % 2)), roughness=0.8))
        steps[-1].pattern, steps[-1].color2 = pattern, RGB[color] * 0.6
    flight = Body("stairs", steps, color, "wooden" if pattern == GRAIN else None, position=top)
    body = simple_body(rng, pick(rng, ["ball", "ball", "ball", "cylinder"]), rng.uniform(0.16, 0.22), avoid=[color])
    r, speed = rolling_radius(body), sign * rng.uniform(0.7, 1.2)
    at = top + vec(sign * 0.2, rng.uniform(-0.15, 0.15), high * count + r + 0.003)
    place_rolling(body, at, LYING if body.kind == "cylinder" else turn(rng.normal(size=3), 1.0), speed)
    return Event([body, flight], direction, {"count": count, "down": high * (count - 0.5), "wide": WIDE})
