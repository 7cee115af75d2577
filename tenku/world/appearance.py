"""Appearance of a scene: floors, daylight, lamps and neon, everything that is not a thing in it."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tenku.world.scene import BASIC, RGB, Part, Vector, vec
from tenku.world.solids import CAPSULE, TORUS
from tenku.world.surroundings import (
    ASPHALT,
    CARPET,
    CHECKER,
    CITY,
    FLAT,
    GRADIENT,
    GRASS,
    ICE,
    LOW_SUN,
    MARBLE,
    PLANKS,
    SAND,
    SUNNY,
    TILES,
)
from tenku.world.things import pick

Rng = np.random.Generator
Rgb = tuple[float, float, float]
NONE: Rgb = (0, 0, 0)


class Ground(NamedTuple):
    """A floor: its look (as in surroundings.Floor) and its friction coefficient; soft floors halve every bounce."""

    kind: int
    color: Rgb
    color2: Rgb = NONE
    roughness: float = 0.9
    wet: float = 0
    puddle: float = 0
    scale: float = 1
    grip: float = 0.8
    soft: bool = False


FLOORS = {
    "matte": Ground(FLAT, (0.62, 0.6, 0.56)),
    "wet_asphalt": Ground(ASPHALT, (0.105, 0.112, 0.125), NONE, 0.55, 1, 0.42, grip=0.6),
    "wet_tiles": Ground(TILES, (0.4, 0.43, 0.46), (0.16, 0.17, 0.18), 0.3, 0.9, 0.3, 1.6, 0.6),
    "checker": Ground(CHECKER, (0.9, 0.9, 0.88), (0.12, 0.13, 0.15), 0.3, 0.45, scale=1.4, grip=0.6),
    "ice": Ground(ICE, (0.72, 0.86, 0.95), (0.42, 0.6, 0.75), 0.1, 0.8, grip=0.03),
    "grass": Ground(GRASS, (0.09, 0.26, 0.04), (0.3, 0.48, 0.1), 0.95, grip=0.9, soft=True),
    "wood": Ground(PLANKS, (0.62, 0.4, 0.22), (0.42, 0.25, 0.12), 0.3, 0.3, scale=1.3, grip=0.6),
    "sand": Ground(SAND, (0.86, 0.74, 0.52), (0.78, 0.64, 0.42), 0.95, grip=1.0, soft=True),
    "marble": Ground(MARBLE, (0.9, 0.89, 0.87), (0.5, 0.52, 0.58), 0.12, 0.55, grip=0.5),
    "snow": Ground(FLAT, (0.74, 0.78, 0.84), NONE, 0.95, grip=0.35, soft=True),
    "mirror": Ground(FLAT, (0.1, 0.12, 0.16), NONE, 0.03, 1.6, grip=0.5),
    "carpet": Ground(CARPET, (0.3, 0.035, 0.05), NONE, 0.95, scale=8, grip=1.0, soft=True),
}


class Daylight(NamedTuple):
    """Elevation (degrees), angular size (rad) and radiance of the sun; sky; ambient share; fog; the film's exposure."""

    elevation: float
    sun_size: float
    sun: Rgb
    zenith: Rgb
    horizon: Rgb
    sky: int
    ambient: float
    fog: float
    exposure: float


LIGHTS = {
    "day": Daylight(48, 0.05, (2.5, 2.35, 2.1), (0.2, 0.42, 0.85), (0.72, 0.82, 0.95), SUNNY, 0.62, 0.0006, 0.62),
    "sunset": Daylight(11, 0.05, (3.2, 1.35, 0.42), (0.13, 0.13, 0.42), (1.1, 0.42, 0.13), LOW_SUN, 0.5, 0.0012, 0.62),
    "overcast": Daylight(70, 0.45, (0.75, 0.77, 0.8), (0.55, 0.6, 0.66), (0.8, 0.82, 0.85), GRADIENT, 0.8, 0.001, 0.78),
    "studio": Daylight(55, 0.22, (1.7, 1.65, 1.6), (0.78, 0.8, 0.84), (0.93, 0.92, 0.9), GRADIENT, 0.62, 0.0025, 0.66),
    "night": Daylight(50, 0.04, (0.12, 0.15, 0.26), (0.012, 0.016, 0.045), (0.07, 0.06, 0.13), CITY, 0.5, 0.004, 1.7),
    "neon": Daylight(50, 0.04, (0.05, 0.06, 0.11), (0.01, 0.01, 0.035), (0.1, 0.045, 0.13), CITY, 0.45, 0.004, 1.3),
}
LIGHT_ODDS = {"day": 0.27, "sunset": 0.18, "overcast": 0.1, "studio": 0.15, "night": 0.09, "neon": 0.21}
NEON = {
    "pink": (1, 0.12, 0.5), "cyan": (0.1, 0.8, 1), "purple": (0.5, 0.15, 1),
    "green": (0.15, 1, 0.35), "orange": (1, 0.42, 0.08), "blue": (0.12, 0.25, 1),
}  # fmt: skip
BACKDROPS = {
    "white": (0.93, 0.92, 0.9), "pink": (0.95, 0.62, 0.66), "blue": (0.45, 0.68, 0.92), "mint": (0.55, 0.85, 0.68),
    "peach": (0.97, 0.72, 0.5), "lavender": (0.7, 0.62, 0.92), "gray": (0.4, 0.41, 0.43), "cream": (0.95, 0.88, 0.7),
}  # fmt: skip


class Tube(NamedTuple):
    """A glowing part with its place in the world."""

    part: Part
    position: Vector
    rotation: Vector  # 3 x 3


class Lamp(NamedTuple):
    """A line light from `start` to `end`, jittered by `size` metres."""

    start: Vector
    end: Vector
    radiance: Vector
    size: float


@dataclass
class Look:
    """The surroundings of one clip: floor, light, sun, tubes and lamps. Angles in degrees; `salt` shifts noise."""

    floor: str
    floor_color: Rgb
    light: str
    backdrop: str | None
    neon: list[str]
    sun_azimuth: float
    sun_elevation: float
    salt: float
    tubes: list[Tube] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)


def choose_light(rng: Rng) -> str:
    return pick(rng, list(LIGHT_ODDS), list(LIGHT_ODDS.values()))


def choose_floor(rng: Rng, light: str) -> str:
    """Draw a floor: wet and mirror floors mostly at night, where they show what they can; no lawns under neon."""
    odds = dict.fromkeys(FLOORS, 1.0) | {"snow": 0.7, "mirror": 0.6}
    if light in ("neon", "night"):
        odds |= {"wet_asphalt": 3.0, "wet_tiles": 2.0, "mirror": 1.5}
    if light == "neon":
        odds |= {"grass": 0.1, "sand": 0.1, "snow": 0.1}
    return pick(rng, list(odds), list(odds.values()))


def _neon(rng: Rng, azimuth: float, names: list[str]) -> tuple[list[Tube], list[Lamp]]:
    """Place neon tubes behind the action, seen from a camera at `azimuth` degrees: upright, lying or a ring."""
    tubes, lamps = [], []
    for i, name in enumerate(names):
        a = np.radians(azimuth + 180 + (i - (len(names) - 1) / 2) * 44 + rng.uniform(-8, 8))
        outward, sideways, up = vec(np.cos(a), np.sin(a), 0), vec(-np.sin(a), np.cos(a), 0), vec(0, 0, 1)
        foot, color = outward * rng.uniform(2.5, 3.1), np.array(NEON[name])
        form = pick(rng, ["upright", "upright", "lying", "ring"])
        if form == "ring":
            middle, reach, size = foot + vec(0, 0, 1.35), sideways * 0.5, 0.3
            part = Part(TORUS, (0.5, 0.045), color=color, glow=3.4)
            axes = np.stack([sideways, up, outward], axis=1)
        else:
            half = rng.uniform(0.7, 1.1)
            axis = up if form == "upright" else sideways
            middle = foot + vec(0, 0, half + 0.15 if form == "upright" else rng.uniform(0.9, 1.7))
            reach, size = axis * half, 0.06
            part = Part(CAPSULE, (0.045, half), color=color, glow=3.4)
            axes = np.stack([outward, np.cross(axis, outward), axis], axis=1)
        tubes.append(Tube(part, middle, axes))
        lamps.append(Lamp(middle - reach, middle + reach, color * 3.4, size))
    return tubes, lamps


def _street_lamp(azimuth: float, aside: float, distance: float, height: float, color: Rgb, size: float) -> Lamp:
    a = np.radians(azimuth + aside)
    at = vec(distance * np.cos(a), distance * np.sin(a), height)
    return Lamp(at, at, np.array(color) * 3.4, size)


def choose_look(rng: Rng, floor: str, light: str, azimuth: float) -> Look:
    """Draw colours, sun, neon and lamps for a floor and a light that are chosen; the camera is at `azimuth` degrees."""
    names = [str(n) for n in rng.permutation(list(NEON))[: int(rng.integers(2, 4))]] if light == "neon" else []
    side = pick(rng, [-1, 1])
    sun = {"sunset": azimuth + 180 + rng.uniform(-38, 38), "day": azimuth + side * rng.uniform(40, 150)}
    color = np.array(FLOORS[floor].color) * rng.uniform(0.85, 1.12, 3)
    if floor == "matte" and rng.random() < 0.6:
        color = RGB[pick(rng, BASIC)] * 0.5 + 0.25
    if floor not in ("matte", "carpet"):
        color = np.array(FLOORS[floor].color)
    look = Look(
        floor,
        (color[0], color[1], color[2]),
        light,
        pick(rng, list(BACKDROPS)) if light == "studio" else None,
        names,
        sun.get(light, azimuth + rng.uniform(60, 140)),
        LIGHTS[light].elevation * rng.uniform(0.8, 1.2),
        float(rng.uniform(0, 50)),
    )
    look.tubes, look.lamps = _neon(rng, azimuth, names)
    if light == "night":
        look.lamps.append(_street_lamp(azimuth, 32, 2.0, 2.4, (1.6, 1.36, 1.04), 0.25))
    if light == "neon":
        look.lamps.append(_street_lamp(azimuth, 35, 3.0, 3.2, (1.98, 1.76, 2.2), 0.5))
    return look
