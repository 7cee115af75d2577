"""Shading of the ray tracer: surfaces, lights and reflections; then a pixel, then a picture.

Direct light with soft shadows from a sun of some size and from neon tubes, an ambient term darkened near other things,
mirror and rough reflections up to three bounces. Not a path tracer: nothing is gathered from diffuse bounces, and so
4 to 12 samples a pixel are enough.
"""

from math import atan2, exp, sin, sqrt

from numba import float32

from tenku.world.solids import (
    CANVAS,
    COLOR,
    COLOR2,
    EDIBLE,
    GLOW,
    METAL,
    PATTERN,
    POSITION,
    RADIUS,
    ROUGHNESS,
    SIZE,
    first_hit,
    in_shadow,
    normal,
    to_local,
    vector,
)
from tenku.world.solids import MOTION as MOVES
from tenku.world.surroundings import CITY, floor_surface, sky_color
from tenku.world.vectors import (
    add,
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
    sub,
    tilted,
    unit,
)

PLAIN, BEACH_BALL, CHECKERED, DOTTED, GRAIN, BANDS, MARBLED = range(7)
TWO_PI = float32(6.2831855)


@single
def pattern_color(parts, i, x):
    """Procedural texture: the colour of a part at local point x, its own or, by its pattern, its second one."""
    a, b, kind = vector(parts, i, COLOR), vector(parts, i, COLOR2), int(parts[i, PATTERN])
    s = vector(parts, i, SIZE)
    if kind == BEACH_BALL:
        return b if cell((float32(atan2(x[1], x[0])) + 3.1415927) * 6.0 / TWO_PI) & 1 else a
    if kind == CHECKERED:
        f = 1.5 / s[0]
        return b if (cell(x[0] * f + 50.0) + cell(x[1] * f + 50.0) + cell(x[2] * f + 50.0)) & 1 else a
    if kind == DOTTED:
        g = unit(x)
        u, v, w = abs(g[0]), abs(g[1]), abs(g[2])
        return b if max(max(u, v), max(w, 0.57735 * (u + v + w))) > 0.965 else a
    if kind == GRAIN:
        wave = x[0] + 0.6 * noise(x[1] * 6.0, x[2] * 3.0) + 0.3 * x[1]
        return mix(a, b, 0.5 + 0.5 * float32(sin(3.6 / max(s[0], 0.05) * wave)))
    if kind == BANDS:
        return b if cell(x[2] / s[2] * 2.5 + 50.0) & 1 else a
    if kind == MARBLED:
        return mix(a, b, smoothstep(0.45, 0.75, clouds(x[0] * 7.0 + x[2] * 5.0, x[1] * 7.0 + x[2] * 3.0)))
    return a


@single
def on_stroke(p, stroke, paint):
    """Whether p is under the brush stroke, whose edge wobbles a little, as paint does."""
    radius = paint.radius * (0.85 + 0.3 * noise(p[0] * 18.0 + p[2] * 18.0, p[1] * 18.0))
    for k in range(len(stroke) - 1):
        a = vector(stroke, k, 0)
        b, w = sub(vector(stroke, k + 1, 0), a), sub(p, a)
        e = sub(w, scale(b, clamp(dot(w, b) / (dot(b, b) + 1e-9), 0.0, 1.0)))
        if dot(e, e) < radius * radius:
            return True
    return False


@single
def ambient_occlusion(parts, bodies, me, p, n):
    """Ambient occlusion, from bounding spheres: 1 in the open, less near other things."""
    open_ = 1.0
    edible = me < len(parts) and parts[me, EDIBLE] > 0.0
    for k in range(len(bodies)):
        e = sub(vector(bodies, k, 0), p)
        if dot(e, e) > 23.0 * bodies[k, 3] * bodies[k, 3]:
            continue
        for i in range(int(bodies[k, 4]), int(bodies[k, 5])):
            if i == me or parts[i, GLOW] > 0.0 or parts[i, RADIUS] < 0.06 or (edible and parts[i, EDIBLE] > 0.0):
                continue
            e = sub(vector(parts, i, POSITION), p)
            far, r = dot(e, e), parts[i, RADIUS] * 0.62
            if far < 36.0 * r * r:
                facing = max(0.25 + 0.75 * dot(n, e) / (float32(sqrt(far)) + 1e-5), 0.0)
                open_ *= 1.0 - 0.75 * clamp(facing * clamp(r * r / far, 0.0, 1.0), 0.0, 1.0)
    return open_


@single
def direct_light(parts, bodies, bites, lamps, light, p, n, d, rough, tau, u, sample, bounce, spin):
    """Direct light at p from the sun and the lamps, with soft shadows: (diffuse, specular)."""
    diffuse, specular = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    facing = dot(n, light.sun)
    if facing > 0.0 and light.sun_color[0] + light.sun_color[1] + light.sun_color[2] > 0.01:
        to_sun = tilted(light.sun, light.sun_size * float32(sqrt(u[3])), TWO_PI * u[2])
        if not in_shadow(parts, bodies, bites, p, to_sun, tau, 1e4):
            diffuse = scale(light.sun_color, facing)
            power = min(2.0 / (rough * rough * rough * rough + 1e-3), 400.0)
            shine = max(dot(n, unit(sub(to_sun, d))), 0.0) ** power
            specular = scale(light.sun_color, (1.0 if rough < 0.7 else 0.15) * 0.045 * (power + 8.0) / 8.0 * shine)
    for k in range(len(lamps)):
        if bounce > 0 and k != sample % len(lamps):  # reflections look at one lamp a sample
            continue
        place = fraction(spin + float32(sample) * 0.618034 + 0.37 * float32(k))
        jitter = scale((u[2] - 0.5, u[3] - 0.5, u[6] - 0.5), 2.0 * lamps[k, 9])
        e = sub(add(mix(vector(lamps, k, 0), vector(lamps, k, 3), place), jitter), p)
        away = float32(sqrt(dot(e, e)))
        to_lamp = scale(e, 1.0 / away)
        facing = dot(n, to_lamp)
        if facing > 0.0 and not in_shadow(parts, bodies, bites, p, to_lamp, tau, away - 1e-2):
            share = 1.0 if bounce == 0 else float32(len(lamps))
            glow = scale(vector(lamps, k, 6), share / (away * away + 0.05))
            diffuse = along(diffuse, glow, facing)
            shine = max(dot(n, unit(sub(to_lamp, d))), 0.0) ** 60.0
            specular = along(specular, glow, 0.04 * (3.0 if rough < 0.6 else 0.3) * shine)
    return diffuse, specular


@single
def reflectance(on_floor, color, rough, metal, wet, slant):
    """Share of light that a surface reflects: Fresnel after Schlick, `slant` the cosine of the angle of incidence."""
    grazing = (1.0 - slant) * (1.0 - slant)
    grazing = grazing * grazing * (1.0 - slant)
    if on_floor:
        f = 0.03 + 0.17 * wet + (1.0 - rough * 0.8) * 0.6 * grazing
        f *= min(wet, 1.0) if wet > 0.0 else clamp(1.0 - rough * 1.3, 0.0, 1.0)
        if wet > 1.2:
            f = 0.45 + 0.4 * grazing
        return (f, f, f)
    if metal > 0.0:
        return mix((0.04, 0.04, 0.04), color, metal)
    f = (0.04 + 0.6 * grazing) * clamp(1.0 - rough * 1.4, 0.0, 1.0)
    return (f, f, f)


@single
def trace(parts, bodies, bites, stroke, lamps, view, light, floor_, paint, d, u, sample, tau, spin):
    """Trace a ray from the eye: its radiance. `u`: seven random numbers; `tau`: time within the shutter, in [-1, 0]."""
    total, share, o, from_floor = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), view.eye, False
    for bounce in range(3):
        t, i, cut = first_hit(parts, bodies, bites, o, d, tau)
        if i < 0:
            sky = sky_color(view, light, d)
            if from_floor:
                sky = scale(sky, 1.2 if light.sky == CITY else 0.6)
            return add(total, mul(share, sky))
        p, on_floor = along(o, d, t), i == len(parts)
        metal, wet = 0.0, 0.0
        if on_floor:
            color, rough, wet, n = floor_surface(view, floor_, p, t)
        else:
            if parts[i, GLOW] > 0.0:
                glow = parts[i, GLOW] * (0.8 if bounce > 0 else 1.0)
                return add(total, mul(share, scale(vector(parts, i, COLOR), glow)))
            rough, metal = parts[i, ROUGHNESS], parts[i, METAL]
            if cut > 0:
                n = unit(sub(vector(bites, cut - 1, 0), p))
                crumbs = noise(p[0] * 40.0 + p[2] * 31.0, p[1] * 40.0)
                color, rough, metal = scale(vector(parts, i, COLOR2), 0.8 + 0.4 * crumbs), 0.9, 0.0
            else:
                x = to_local(parts, i, sub(p, along(vector(parts, i, POSITION), vector(parts, i, MOVES), tau)))
                n = normal(parts, i, x)
                color = pattern_color(parts, i, x)
        if (
            len(stroke) > 1
            and (on_floor or parts[min(i, len(parts) - 1), CANVAS] > 0.0)
            and on_stroke(p, stroke, paint)
        ):
            color, rough, wet = paint.color, 0.25, 0.0
        if dot(n, d) > 0.0:
            n = scale(n, -1.0)
        above = along(p, n, 2e-3)

        near = ambient_occlusion(parts, bodies, i, p, n)
        if not on_floor:
            low = clamp(1.0 - p[2] * 1.6, 0.0, 1.0)
            near *= 1.0 - 0.45 * low * low * clamp(0.5 - 0.5 * n[2], 0.0, 1.0)
        below = mul(floor_.color, along(scale(light.horizon, 0.6), light.sun_color, 0.25 * max(light.sun[2], 0.0)))
        surround = mix(below, mix(light.horizon, light.zenith, 0.6), 0.5 + 0.5 * n[2])
        diffuse, specular = direct_light(
            parts, bodies, bites, lamps, light, above, n, d, rough, tau, u, sample, bounce, spin
        )
        diffuse = along(diffuse, surround, near * light.ambient)

        mirror = reflectance(on_floor, color, rough, metal, wet, clamp(-dot(n, d), 0.0, 1.0))
        rest = scale(sub((1.0, 1.0, 1.0), mirror), 1.0 - metal * 0.9)
        seen = add(mul(mul(color, diffuse), rest), mul(specular, color) if metal > 0.0 else specular)
        if on_floor:
            haze = 1.0 - float32(exp(-t * t * light.fog))
            seen = mix(seen, scale(light.horizon, 0.5 if light.sky == CITY else 1.0), haze)
            mirror = scale(mirror, 1.0 - haze)
        total, share = add(total, mul(share, seen)), mul(share, mirror)
        if bounce == 2 or share[0] + share[1] + share[2] < 0.03:
            break
        r = along(d, n, -2.0 * dot(d, n))
        spread = rough * rough * 0.7 * float32(sqrt(fraction(u[5] + float32(bounce) * 0.61)))
        r = tilted(r, spread, TWO_PI * fraction(u[4] + float32(bounce) * 0.37))
        if on_floor and r[2] < 0.01:
            r = unit((r[0], r[1], 0.01))
        o, d, from_floor = above, r, on_floor
    return total


@single
def add_samples(scene, view, light, floor_, paint, width, height, x, y, first, last, samples, sums):
    """Add samples first..last of pixel (x, y) to its six sums: weighted colour 3, brightness, its square, weight."""
    parts, bodies, bites, stroke, lamps = scene
    grain = fraction(52.982918 * fraction(0.06711056 * float32(x) + 0.00583715 * float32(y)))
    s0 = fraction(grain + random2(x * 7, y * 7) * 0.25)
    s1 = fraction(grain + random2(x * 7 + 131, y * 7 + 57) * 0.25 + 0.618034)
    s2 = fraction(grain + random2(x * 7 + 262, y * 7 + 114) * 0.25 + 0.236068)
    for s in range(first, last):
        k = float32(s)
        u = (
            fraction(s0 + 0.7548777 * k), fraction(s1 + 0.5698403 * k), fraction(s2 + 0.8566749 * k),
            fraction(s0 + 0.3 + 0.7338919 * k), fraction(s1 + 0.3 + 0.6287067 * k),
            fraction(s2 + 0.3 + 0.5386054 * k), fraction(s0 + 0.6 + 0.4614218 * k),
        )  # fmt: skip
        px = ((float32(x) + u[0]) / float32(width) * 2.0 - 1.0) * view.tangent * float32(width) / float32(height)
        py = (1.0 - (float32(y) + u[1]) / float32(height) * 2.0) * view.tangent
        d = unit(along(along(view.forward, view.right, px), view.up, py))
        tau = -(k + 0.5) / float32(samples)
        c = trace(parts, bodies, bites, stroke, lamps, view, light, floor_, paint, d, u, s, tau, s0)
        peak = max(c[0], max(c[1], c[2]))
        if peak > 6.0:
            c, peak = scale(c, 6.0 / peak), 6.0
        bright = 0.3 * c[0] + 0.6 * c[1] + 0.1 * c[2]
        bright = float32(sqrt(bright / (1.0 + bright)))
        weight = 1.0 / (0.5 + peak)  # bright samples count less: fireflies out of neon
        for j in range(3):
            sums[y, x, j] += c[j] * weight
        sums[y, x, 3] += bright
        sums[y, x, 4] += bright * bright
        sums[y, x, 5] += weight


@single
def needs_more_samples(sums, x, y, height, width, first):
    """Adaptive sampling: whether the first samples of a pixel differ, among themselves or from its neighbours'."""
    n = float32(first)
    mean = sums[y, x, 3] / n
    if sums[y, x, 4] / n - mean * mean > 0.0009:
        return True
    low, high = 1e9, -1e9
    for j in range(max(y - 1, 0), min(y + 2, height)):
        for i in range(max(x - 1, 0), min(x + 2, width)):
            low, high = min(low, sums[j, i, 3] / n), max(high, sums[j, i, 3] / n)
    return high - low > 0.045


@single
def render_frame(scene, view, light, floor_, paint, first, samples, sums, picture):
    """Render one frame: linear radiance into `picture` H x W x 3, `first` samples a pixel, `samples` where busy."""
    height, width = picture.shape[0], picture.shape[1]
    for y in range(height):
        for x in range(width):
            for j in range(6):
                sums[y, x, j] = 0.0
            add_samples(scene, view, light, floor_, paint, width, height, x, y, 0, first, samples, sums)
    for y in range(height):
        for x in range(width):
            busy = samples > first and needs_more_samples(sums, x, y, height, width, first)
            picture[y, x, 0] = 1.0 if busy else 0.0
    for y in range(height):
        for x in range(width):
            if picture[y, x, 0] > 0.5:
                add_samples(scene, view, light, floor_, paint, width, height, x, y, first, samples, samples, sums)
    for y in range(height):
        for x in range(width):
            for j in range(3):
                picture[y, x, j] = sums[y, x, j] / sums[y, x, 5]
