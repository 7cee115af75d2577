"""The parts of a scene as dataclasses: solids, bodies of several solids, events, what they ask of the camera.

Metres, seconds, radians; z is up, the floor is z = 0, and the camera looks roughly along +y, so +x is to the right.
Rotations are quaternions (w, x, y, z), as in MuJoCo.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tenku.world.shading import BANDS, BEACH_BALL, CHECKERED, DOTTED, GRAIN, MARBLED, PLAIN

FPS = 16
WORLD = 3  # counts up when a seed no longer gives the clip that it gave
SAMPLES = 12  # rays a pixel at most, where a picture is busy; 4 draw twice as fast, with rougher edges
Vector = np.ndarray
Numbers = Sequence[float] | np.ndarray

# fmt: off
RGB: dict[str, Vector] = {name: np.array(rgb) for name, rgb in {
    "red": (0.75, 0.03, 0.03), "orange": (0.9, 0.28, 0.02), "yellow": (0.92, 0.68, 0.03), "green": (0.05, 0.5, 0.08),
    "blue": (0.03, 0.14, 0.75), "purple": (0.33, 0.06, 0.6), "pink": (0.93, 0.3, 0.48), "turquoise": (0.03, 0.58, 0.55),
    "white": (0.88, 0.88, 0.86), "black": (0.03, 0.03, 0.035), "brown": (0.34, 0.18, 0.08), "gray": (0.4, 0.41, 0.43),
    "gold": (1.0, 0.66, 0.22), "silver": (0.86, 0.87, 0.89), "brick": (0.5, 0.16, 0.09),
    "chocolate": (0.25, 0.12, 0.07),
}.items()}
# fmt: on
HUES = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "turquoise"]
BASIC = [*HUES, "white", "black"]


class Material(NamedTuple):
    """A surface and its physics: `bounce` is the share of speed kept on a hard floor, density is in kg/m³."""

    pattern: int
    roughness: float
    metal: float
    bounce: float
    density: float


MATERIALS = {
    "matte": Material(PLAIN, 0.9, 0, 0.45, 600),
    "plastic": Material(PLAIN, 0.28, 0, 0.6, 500),
    "rubber": Material(PLAIN, 0.6, 0, 0.82, 700),
    "metal": Material(PLAIN, 0.1, 1, 0.35, 3000),
    "wooden": Material(GRAIN, 0.7, 0, 0.4, 500),
    "striped": Material(BEACH_BALL, 0.4, 0, 0.72, 400),
    "dotted": Material(DOTTED, 0.4, 0, 0.7, 400),
    "checkered": Material(CHECKERED, 0.5, 0, 0.6, 500),
    "marble": Material(MARBLED, 0.15, 0, 0.3, 2000),
}
STRIPED_SOLID = BANDS  # stripes on anything but a ball


def vec(*numbers: float) -> Vector:
    return np.array(numbers, float)


def turn(axis: Numbers, angle: float) -> Vector:
    """Quaternion (w, x, y, z) of a rotation by `angle` radians about an axis.

    Ours, like `then` and `matrix`: MuJoCo's (mju_axisAngle2Quat, mju_mulQuat, mju_quat2Mat) take a third to a quarter
    of the time, but differ in the last bit, and so would every clip.
    """
    a = np.asarray(axis, float)
    return np.r_[np.cos(angle / 2), np.sin(angle / 2) * a / np.linalg.norm(a)]


def then(first: Vector, second: Vector) -> Vector:
    """Quaternion product: one rotation, then another."""
    w, x, y, z = second
    a, b, c, d = first
    return vec(
        w * a - x * b - y * c - z * d,
        w * b + x * a + y * d - z * c,
        w * c - x * d + y * a + z * b,
        w * d + x * c - y * b + z * a,
    )


def matrix(q: Vector) -> Vector:
    """Rotation matrix, 3 x 3, of a unit quaternion."""
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


UPRIGHT = vec(1, 0, 0, 0)
LYING = turn((1, 0, 0), np.pi / 2)  # the local z axis lies along -y: cylinders and rings ready to roll along x


@dataclass
class Part:
    """One solid. `size`: half extents of a box, radii of an ellipsoid, (radius, half height), or a torus' two radii."""

    shape: int
    size: Numbers
    position: Numbers = (0, 0, 0)
    rotation: Numbers = (1, 0, 0, 0)
    color: Numbers = (1, 1, 1)
    color2: Numbers = (1, 1, 1)
    pattern: int = PLAIN
    roughness: float = 0.5
    metal: float = 0
    glow: float = 0
    edible: bool = False
    canvas: bool = False
    solid: bool = True


@dataclass
class Body:
    """A rigid body of several parts. `joint` is free, fixed, hinge (swings about y) or mocap (follows `path`)."""

    kind: str
    parts: list[Part]
    color: str | None = None
    material: str | None = None
    role: str = "prop"
    joint: str = "fixed"
    position: Vector = field(default_factory=lambda: vec(0, 0, 0))
    rotation: Vector = field(default_factory=UPRIGHT.copy)
    velocity: Vector = field(default_factory=lambda: vec(0, 0, 0))
    spin: Vector = field(default_factory=lambda: vec(0, 0, 0))  # rad/s about world axes
    bounce: float = 0.5
    density: float = 600
    friction: float = 1.0
    half_height: float = 0.25
    angle: float = 0.0  # of a hinge at the start
    held_until: float = 0.0  # the frame until which a free body stays where it is
    path: Callable[[float], tuple[Vector, Vector]] | None = None  # frame -> position, rotation

    def place(self, position: Vector, rotation: Vector = UPRIGHT, *, role: str, **changes: Any) -> "Body":
        """Set down in a place with a role and other changes; as a free body unless `joint` says otherwise."""
        self.position, self.rotation, self.role, self.joint = vec(*position), vec(*rotation), role, "free"
        for name, value in changes.items():
            setattr(self, name, value)
        return self

    def describe(self) -> dict[str, str | None]:
        return {"kind": self.kind, "color": self.color, "material": self.material, "role": self.role}


class Bite(NamedTuple):
    """A sphere taken out of everything edible, from `frame` on."""

    frame: int
    center: Vector
    radius: float


@dataclass
class Stroke:
    """Paint that stays. `points(frame, positions T N 3)` gives what is painted by then, M x 3."""

    color: str
    radius: float
    points: Callable[[int, np.ndarray], np.ndarray]


@dataclass
class Shot:
    """What an event asks of the camera; None: the camera decides."""

    moves: Sequence[str] | None = None
    target: Vector | None = None
    distance: float | None = None
    azimuth: float | None = None  # degrees
    elevation: float | None = None  # degrees
    swing: float = 62.0  # degrees of an orbit


@dataclass
class Event:
    """An event: bodies, what is claimed of them (for the description), and whatever else it needs."""

    bodies: list[Body]
    direction: str | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    bites: list[Bite] = field(default_factory=list)
    stroke: Stroke | None = None
    shot: Shot = field(default_factory=Shot)

    @property
    def main(self) -> int:
        """Index of the body that the clip is about."""
        roles = [body.role for body in self.bodies]
        return next((roles.index(role) for role in ("main", "many") if role in roles), 0)
