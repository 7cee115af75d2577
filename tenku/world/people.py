"""A walking person, animated by inverse kinematics: a coat in a colour, and feet that stand still on the ground.

Nobody is simulated here: a gait is drawn from where the feet are. A foot that stands stays where it is while the hips
pass over it, one that swings goes to where it stands next, and the knee follows from both (the law of cosines).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tenku.world.scene import BASIC, FPS, RGB, Body, Part, Vector, then, turn, vec
from tenku.world.solids import CAPSULE, CYLINDER, SPHERE
from tenku.world.things import pick

Rng = np.random.Generator
SKIN = [(0.9, 0.68, 0.54), (0.75, 0.5, 0.34), (0.5, 0.3, 0.18), (0.28, 0.16, 0.1)]
HAIR = [(0.03, 0.025, 0.02), (0.16, 0.08, 0.04), (0.5, 0.32, 0.12), (0.55, 0.55, 0.57)]
TROUSERS = [(0.05, 0.06, 0.12), (0.08, 0.08, 0.08), (0.3, 0.26, 0.2), (0.22, 0.24, 0.28)]
HATS = ["red", "yellow", "blue", "white", "black"]
LEG, ARM = 0.3, 0.2  # metres: a thigh and a shin, an upper arm and a forearm
HIPS, ANKLE = 0.63, 0.06  # heights
STANDS = 0.6  # of a stride: how long each foot is on the ground


@dataclass(frozen=True)
class Gait:
    """Someone going from `start` towards `heading` (radians about z) at `speed`; a `stride` is two steps, in metres.

    In the plane of a step, x is forward and z is up, both from where the hips are above.
    """

    start: Vector
    heading: float
    speed: float
    stride: float
    phase: float

    def turns(self, frame: float, side: int) -> float:
        """How much of a stride is behind, 0..1; the other side is half a stride apart."""
        return (self.phase + frame / FPS * self.speed / self.stride + (side > 0) / 2) % 1

    def hips(self, frame: float) -> float:
        return HIPS - 0.012 * np.cos(4 * np.pi * self.turns(frame, 1))

    def foot(self, frame: float, side: int) -> tuple[float, float]:
        u, reach = self.turns(frame, side), STANDS * self.stride / 2
        if u < STANDS:
            return reach - u * self.stride, ANKLE
        swing = (u - STANDS) / (1 - STANDS)
        return reach * (2 * swing * swing * (3 - 2 * swing) - 1), ANKLE + 0.1 * np.sin(np.pi * swing)

    def leg(self, frame: float, side: int) -> tuple[float, ...]:
        """How far thigh, shin and foot are turned forward; a foot on the ground is level."""
        ahead, height = self.foot(frame, side)
        below = self.hips(frame) - height
        to_foot, bend = np.arctan2(ahead, below), np.arccos(min(np.hypot(ahead, below) / (2 * LEG), 1.0))
        swing = max(self.turns(frame, side) - STANDS, 0) / (1 - STANDS)
        return to_foot + bend, to_foot - bend, -0.35 * np.sin(2 * np.pi * swing)

    def arm(self, frame: float, side: int) -> tuple[float, ...]:
        """The same of upper arm and forearm, which go with the leg of the other side."""
        swing = 0.55 * np.cos(2 * np.pi * (self.turns(frame, -side) - 0.05))
        return swing, swing + 0.35

    def at(self, frame: float, forward: float = 0, aside: float = 0, up: float = 0) -> Vector:
        """A point given from the hips: metres forward, to the left, up."""
        c, s = np.cos(self.heading), np.sin(self.heading)
        gone = frame / FPS * self.speed + forward
        return self.start + vec(c * gone - s * aside, s * gone + c * aside, self.hips(frame) + up)

    def turned(self, forward: float = 0) -> Vector:
        return then(turn((0, 1, 0), -forward), turn((0, 0, 1), self.heading))


def _limb(
    gait: Gait,
    side: int,
    angles: Callable[[float, int], tuple[float, ...]],
    hangs: tuple[float, float],
    length: float,
    links: dict[str, list[Part]],
) -> list[Body]:
    """A limb of links, each at the end of the one before; hangs: how far aside and above the hips the first begins."""

    def path(frame: float, link: int) -> tuple[Vector, Vector]:
        turned = np.array(angles(frame, side))
        forward, down = length * np.sin(turned[:link]).sum(), length * np.cos(turned[:link]).sum()
        return gait.at(frame, forward, hangs[0] * side, hangs[1] - down), gait.turned(turned[link])

    return [
        Body(name, parts, joint="mocap", path=partial(path, link=i)) for i, (name, parts) in enumerate(links.items())
    ]


def _part(shape: int, size: Any, position: Any, color: Any, roughness: float = 0.85) -> Part:
    return Part(shape, size, position, color=color, roughness=roughness, solid=False)


def _link(radius: float, length: float, color: Any) -> Part:
    return _part(CAPSULE, (radius, length / 2), (0, 0, -length / 2), color)


def _body(coat: Vector, skin: Any, hair: Any, hat: Vector | None) -> list[Part]:
    """Coat and head, seen from the hips; x is forward. The first part is where the camera looks for a person."""
    parts = [
        _part(SPHERE, (0.125, 0.165, 0.25), (0, 0, 0.2), coat),
        _part(SPHERE, (0.14, 0.165, 0.2), (0, 0, 0.0), coat),
        _part(CYLINDER, (0.04, 0.06), (0, 0, 0.45), skin),
        _part(SPHERE, (0.105, 0.1, 0.12), (0.01, 0, 0.58), skin, 0.6),
        _part(SPHERE, (0.11, 0.112, 0.115), (-0.025, 0, 0.61), hair),
    ]
    if hat is not None:
        parts += [_part(CYLINDER, (0.17, 0.012), (0, 0, 0.66), hat), _part(CYLINDER, (0.105, 0.05), (0, 0, 0.71), hat)]
    return parts


def person(rng: Rng, gait: Gait) -> list[Body]:
    """The bodies of a person who walks as the gait says: torso (the main body), then legs and arms."""
    color = pick(rng, BASIC)
    coat, skin, trousers = RGB[color], pick(rng, SKIN), pick(rng, TROUSERS)
    hat = RGB[pick(rng, HATS)] if rng.random() < 0.3 else None
    shoe = _part(SPHERE, (0.09, 0.045, 0.045), (0.035, 0, 0.045 - ANKLE), (0.03, 0.025, 0.02), 0.4)
    hand = _part(SPHERE, (0.045,) * 3, (0, 0, -ARM - 0.03), skin)
    body = Body("person", _body(coat, skin, pick(rng, HAIR), hat), color, role="main", joint="mocap")
    body.path = lambda frame: (gait.at(frame), gait.turned())
    leg = {"thigh": [_link(0.065, LEG, trousers)], "shin": [_link(0.052, LEG, trousers)], "foot": [shoe]}
    arm = {"arm": [_link(0.05, ARM, coat * 0.9)], "forearm": [_link(0.045, ARM, coat * 0.9), hand]}
    bodies = [body]
    for side in (1, -1):
        bodies += _limb(gait, side, gait.leg, (0.075, 0), LEG, leg)
        bodies += _limb(gait, side, gait.arm, (0.185, 0.37), ARM, arm)
    return bodies
