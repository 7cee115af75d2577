"""The environment that rays meet: sky, city lights, floors and water on them; and the records of view and light."""

from math import atan2, cos, sin, sqrt
from typing import NamedTuple

import numpy as np
from numba import float32

from tenku.world.vectors import (
    along,
    cell,
    clamp,
    clouds,
    dot,
    fraction,
    mix,
    mul,
    noise,
    random2,
    scale,
    single,
    smoothstep,
    unit,
)

FLAT, CHECKER, TILES, PLANKS, ASPHALT, GRASS, ICE, SAND, MARBLE, CARPET = range(10)
SUNNY, LOW_SUN, CITY, GRADIENT = range(4)

Number = np.float32
Vec = tuple[np.float32, np.float32, np.float32]


class View(NamedTuple):
    """A camera view: eye, unit axes, `tangent` of half the vertical field of view, `time` in seconds."""

    eye: Vec
    right: Vec
    up: Vec
    forward: Vec
    tangent: Number
    time: Number
    salt: Number  # shifts the noise of clouds, puddles and city lights


class Light(NamedTuple):
    """Sun (unit vector towards it, angular radius in radians, radiance), sky colours, ambient share, fog per m²."""

    sun: Vec
    sun_size: Number
    sun_color: Vec
    zenith: Vec
    horizon: Vec
    sky: int
    ambient: Number
    fog: Number


class Floor(NamedTuple):
    """`puddle` is the noise level above which water stands (0: evenly wet); `ripple` the slope of the water."""

    kind: int
    color: Vec
    color2: Vec
    roughness: Number
    wet: Number
    puddle: Number
    scale: Number
    ripple: Number


class Paint(NamedTuple):
    """A stroke that stays: radius in metres and colour. Its points are the rows of the stroke array, M x 3."""

    radius: Number
    color: Vec


@single
def city(view, azimuth, height, color):
    """City at night: stars, and out-of-focus lamps along the horizon (bokeh)."""
    if height > 0.12:
        u, v = azimuth * 60.0, height * 60.0
        r = random2(cell(u) + 7, cell(v))
        if r > 0.975:
            e, g = fraction(u) - 0.5, fraction(v) - 0.5
            color = along(color, (0.5, 0.5, 0.6), smoothstep(0.25, 0.0, e * e + g * g) * (r - 0.97) * 40.0)
    for layer in range(2):
        f = 17.0 if layer == 1 else 10.0
        u, v = azimuth * f + view.salt * float32(layer + 1), height * f
        # A lamp reaches at most 0.18 beyond its cell: seldom is more than the own cell to be looked at.
        for i in range(cell(u - 0.18), cell(u + 0.18) + 1):
            for j in range(cell(v - 0.18), cell(v + 0.18) + 1):
                if j < 0 or random2(i + layer * 91, j * 3 + 1) > 0.75 - 0.3 * float32(j) * 10.0 / f:
                    continue
                x = float32(i) + 0.2 + 0.6 * random2(i, j + 17) - u
                y = float32(j) + 0.2 + 0.6 * random2(i + 5, j) - v
                radius, q = 0.16 + 0.22 * random2(j + 3, i), float32(sqrt(x * x + y * y))
                m = smoothstep(radius, radius * 0.8, q)
                if m <= 0.0:
                    continue
                hue = random2(i + 31, j + 77)
                lamp = (0.3, 1.0, 0.5)
                if hue < 0.45:
                    lamp = (1.0, 0.62, 0.25)
                elif hue < 0.6:
                    lamp = (1.0, 0.25, 0.45)
                elif hue < 0.75:
                    lamp = (0.2, 0.6, 1.0)
                elif hue < 0.88:
                    lamp = (1.0, 0.9, 0.7)
                color = along(color, lamp, m * (0.1 + 0.25 * random2(i + 3, j + 9)) * (0.7 + 0.3 * q / radius))
    return color


@single
def sky_color(view, light, d):
    color = mix(light.horizon, light.zenith, clamp(d[2], 0.0, 1.0) ** 0.42)
    if light.sky == GRADIENT:
        return color
    azimuth = float32(atan2(d[1], d[0]))
    if light.sky == CITY:
        return city(view, azimuth, d[2], color)
    low = light.sky == LOW_SUN
    facing, edge = dot(d, light.sun), float32(cos(light.sun_size))
    halo = max(facing, 0.0) ** (24.0 if low else 180.0) * (0.3 if low else 1.0) * 0.12
    color = along(color, light.sun_color, smoothstep(edge - 0.0015, edge + 0.0003, facing) * 6.0 + halo)
    if d[2] > 0.02:
        f = clouds(d[0] / (d[2] + 0.12) * 1.3 + view.salt + view.time * 0.04, d[1] / (d[2] + 0.12) * 1.3)
        cover = smoothstep(0.5, 0.8, f) * 0.75 * smoothstep(0.02, 0.2, d[2])
        color = mix(color, along((0.32, 0.34, 0.38), light.sun_color, 0.28), cover)
    hills = 0.05 + 0.05 * clouds(azimuth * 3.0 + view.salt, 2.0) + 0.02 * noise(azimuth * 14.0, view.salt)
    if d[2] < hills:
        color = mix(color, mul(color, (0.35, 0.45, 0.45)), 0.75)
    return color


@single
def floor_pattern(floor_, p, distance):
    a, b, kind = floor_.color, floor_.color2, floor_.kind
    x, y = p[0] * floor_.scale, p[1] * floor_.scale
    detail = clamp(1.6 - distance * 0.22, 0.15, 1.0)  # fine noise fades with distance, instead of flickering
    if kind == CHECKER:
        return b if (cell(x) + cell(y)) & 1 else a
    if kind == TILES:
        u, v = fraction(x), fraction(y)
        shade = 0.85 + 0.3 * random2(cell(x), cell(y))
        return b if u < 0.04 or v < 0.04 else scale(a, shade)
    if kind == PLANKS:
        row = cell(y * 2.0)
        end = cell(x * 0.5 + random2(row, 5) * 3.0)
        color = mix(a, b, 0.5 * random2(end, row) + 0.5 * clouds(x * 1.5 + float32(row) * 7.0, y * 14.0))
        return scale(color, 0.45) if fraction(y * 2.0) < 0.05 else color
    if kind == ASPHALT:
        fine = 0.5 + detail * (noise(p[0] * 23.0, p[1] * 23.0) - 0.5)
        return scale(a, 0.72 + 0.4 * fine + 0.25 * (clouds(p[0], p[1]) - 0.5) + 0.1 * detail)
    if kind == GRASS:
        blades = noise(p[0] * 30.0 + 3.0 * noise(p[0] * 5.0, p[1] * 5.0), p[1] * 12.0)
        color = mix(
            a, b, clamp(0.6 * clouds(p[0] * 1.2, p[1] * 1.2) + 0.8 * (0.5 + detail * (blades - 0.5)) - 0.3, 0.0, 1.0)
        )
        return scale(color, 0.95 + 0.4 * detail * (noise(p[0] * 40.0, p[1] * 40.0) - 0.5))
    if kind == ICE:
        crack = abs(clouds(p[0] * 1.1 + 5.0, p[1] * 1.1) - 0.5)
        return mix(mix(b, a, smoothstep(0.0, 0.03, crack)), (1.0, 1.0, 1.0), 0.25 * clouds(p[0] * 3.0, p[1] * 3.0))
    if kind == SAND:
        fine = 0.5 + detail * (noise(p[0] * 23.0, p[1] * 23.0) - 0.5)
        return scale(mix(a, b, 0.5 + 0.3 * float32(sin(x * 9.0 + 4.0 * clouds(x, y)))), 0.85 + 0.25 * fine)
    if kind == MARBLE:
        vein = 0.5 + 0.5 * float32(sin(30.0 * clouds(x * 0.8 + 2.0, y * 0.8) + x * 2.0))
        return mix(a, b, vein * vein * vein * vein * vein)
    return scale(a, 0.94 + 0.12 * clouds(x * 2.0, y * 2.0))


@single
def floor_surface(view, floor_, p, distance):
    """(colour, roughness, wetness, normal) of the floor at `p`."""
    color = floor_pattern(floor_, p, distance)
    rough, wet, n = floor_.roughness, floor_.wet, (0.0, 0.0, 1.0)
    if wet > 0.0 and floor_.puddle > 0.0:
        level = clouds(p[0] * 0.9 + view.salt, p[1] * 0.9 + 3.0)
        water = smoothstep(floor_.puddle - 0.06, floor_.puddle + 0.04, level)
        wet, rough = wet * (0.25 + 0.75 * water), rough * (1.0 - 0.93 * water)
        color = scale(color, 1.0 - 0.4 * wet)
    if wet > 0.0 and floor_.ripple > 0.0:
        e = 0.02 * floor_.ripple
        u = noise(p[0] * 9.0, p[1] * 9.0 + view.time * 1.5) - 0.5
        v = noise(p[0] * 9.0 + 31.0, p[1] * 9.0 - view.time * 1.3) - 0.5
        n = unit((u * e, v * e, 1.0))
    return color, rough, wet, n
