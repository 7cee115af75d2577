"""Ray-solid intersection: ellipsoid, box, cylinder, capsule, cone and dome in closed form, the torus by sphere tracing.

A scene is two arrays. One row of `parts` is a solid; one row of `bodies` is a bounding sphere around consecutive parts.
Bites are spheres taken out of every edible part.
"""

from math import sqrt

from numba import float32

from tenku.world.vectors import along, clamp, dot, single, sub, unit

SPHERE, BOX, CYLINDER, CAPSULE, CONE, TORUS, DOME = range(7)

# Columns of the parts array, N x 32 float32.
SHAPE, POSITION, ROTATION, SIZE, COLOR, COLOR2 = 0, 1, 4, 13, 16, 19
PATTERN, ROUGHNESS, METAL, GLOW, EDIBLE, CANVAS, RADIUS, MOTION = 22, 23, 24, 25, 26, 27, 28, 29
PART_COLUMNS = 32
# Columns of the bodies array, B x 6: bounding sphere (x, y, z, radius), first part, one past the last part.
# Bites, K x 4: centre and radius.


# Rows are passed as (array, index): a view of a row would cost a reference count at every call.


@single
def vector(rows, i, k):
    return (rows[i, k], rows[i, k + 1], rows[i, k + 2])


@single
def to_local(parts, i, v):
    return (
        parts[i, 4] * v[0] + parts[i, 7] * v[1] + parts[i, 10] * v[2],
        parts[i, 5] * v[0] + parts[i, 8] * v[1] + parts[i, 11] * v[2],
        parts[i, 6] * v[0] + parts[i, 9] * v[1] + parts[i, 12] * v[2],
    )


@single
def to_world(parts, i, v):
    return (
        parts[i, 4] * v[0] + parts[i, 5] * v[1] + parts[i, 6] * v[2],
        parts[i, 7] * v[0] + parts[i, 8] * v[1] + parts[i, 9] * v[2],
        parts[i, 10] * v[0] + parts[i, 11] * v[1] + parts[i, 12] * v[2],
    )


@single
def ellipsoid_span(o, d, s):
    o, d = (o[0] / s[0], o[1] / s[1], o[2] / s[2]), (d[0] / s[0], d[1] / s[1], d[2] / s[2])
    a, b = dot(d, d), dot(o, d)
    h = b * b - a * (dot(o, o) - 1.0)
    if h < 0.0:
        return 1.0, 0.0
    h = float32(sqrt(h))
    return (-b - h) / a, (-b + h) / a


@single
def box_span(o, d, s):
    low, high = -1e9, 1e9
    for k in range(3):
        inverse = 1.0 / d[k] if abs(d[k]) > 1e-9 else 1e9
        middle, reach = -o[k] * inverse, abs(inverse) * s[k]
        low, high = max(low, middle - reach), min(high, middle + reach)
    return low, high


@single
def capsule_span(o, d, s):
    a, b, c = (d[0] * d[0] + d[1] * d[1] + 1e-12, o[0] * d[0] + o[1] * d[1], o[0] * o[0] + o[1] * o[1] - s[0] * s[0])
    h = b * b - a * c
    low, high = 1e9, -1e9
    if h < 0.0:
        return low, high
    h = float32(sqrt(h))
    if abs(o[2] + (-b - h) / a * d[2]) < s[1]:
        low = (-b - h) / a
    if abs(o[2] + (-b + h) / a * d[2]) < s[1]:
        high = (-b + h) / a
    for k in range(2):
        q = (o[0], o[1], o[2] - (s[1] if k == 1 else -s[1]))
        e = dot(q, d)
        g = e * e - dot(q, q) + s[0] * s[0]
        if g > 0.0:
            g = float32(sqrt(g))
            low, high = min(low, -e - g), max(high, -e + g)
    return low, high


@single
def cone_span(o, d, s, pointed):
    """A cylinder, or a cone whose tip is up; s = (radius, half height)."""
    inverse = 1.0 / (d[2] if abs(d[2]) > 1e-9 else 1e-9)
    z0, z1 = (-s[1] - o[2]) * inverse, (s[1] - o[2]) * inverse
    z0, z1 = min(z0, z1), max(z0, z1)
    k = s[0] / (2.0 * s[1]) if pointed else 0.0
    m = s[1] - o[2]
    a = d[0] * d[0] + d[1] * d[1] - k * k * d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] + k * k * m * d[2]
    c = o[0] * o[0] + o[1] * o[1] - (k * k * m * m if pointed else s[0] * s[0])
    h = b * b - a * c
    if h < 0.0:
        if a > 0.0:
            return 1.0, 0.0
        return z0, z1
    h = float32(sqrt(h))
    a = a if abs(a) > 1e-12 else 1e-12
    r0, r1 = (-b - h) / a, (-b + h) / a
    if a > 0.0:
        return max(z0, r0), min(z1, r1)
    if z0 < r1:
        return z0, min(z1, r1)
    return max(z0, r0), z1


@single
def span(shape, o, d, s):
    """Where a ray, in the solid's own frame, enters and leaves it: (t0, t1); t1 <= t0 is a miss."""
    if shape == BOX:
        return box_span(o, d, s)
    if shape == CAPSULE:
        return capsule_span(o, d, s)
    if shape == SPHERE:
        return ellipsoid_span(o, d, s)
    if shape == DOME:
        t0, t1 = ellipsoid_span(o, d, s)
        t = -o[2] / (d[2] if abs(d[2]) > 1e-9 else 1e-9)
        if d[2] > 0.0:
            return max(t0, t), t1
        return t0, min(t1, t)
    return cone_span(o, d, s, shape == CONE)


@single
def march_torus(parts, i, o, d, lo, ld, t, t1, limit, bites):
    """Sphere tracing of the torus and of what was bitten from it: (t or -1, which bite made the surface or 0)."""
    big, small = parts[i, SIZE], parts[i, SIZE + 1]
    cut = 0
    for _ in range(60):
        if t >= t1 or t >= limit:
            break
        x = along(lo, ld, t)
        q = float32(sqrt(x[0] * x[0] + x[1] * x[1])) - big
        away = float32(sqrt(q * q + x[2] * x[2])) - small
        cut = 0
        if parts[i, EDIBLE] > 0.0:
            w = along(o, d, t)
            for c in range(len(bites)):
                e = sub(w, vector(bites, c, 0))
                inside = bites[c, 3] - float32(sqrt(dot(e, e)))
                if inside > away:
                    away, cut = inside, c + 1
        if away < 8e-4:
            return t, cut
        t += away
    return -1.0, 0


@single
def intersect(parts, i, o, d, tau, limit, bites):
    """Intersect a ray with part `i`: (distance in (0.001, limit) or -1, the bite that made that surface or 0)."""
    q = sub(o, along(vector(parts, i, POSITION), vector(parts, i, MOTION), tau))
    b, g = dot(q, d), dot(q, q) - parts[i, RADIUS] * parts[i, RADIUS]
    if g > 0.0 and (b > 0.0 or b * b < g):
        return -1.0, 0
    lo, ld = to_local(parts, i, q), to_local(parts, i, d)
    shape = int(parts[i, SHAPE])
    if shape == TORUS:
        reach = float32(sqrt(max(b * b - g, 0.0)))
        return march_torus(parts, i, o, d, lo, ld, max(-b - reach, 1e-3), -b + reach, limit, bites)
    t0, t1 = span(shape, lo, ld, vector(parts, i, SIZE))
    cut = 0
    if t1 <= t0 or t1 < 1e-3:
        return -1.0, 0
    if parts[i, EDIBLE] > 0.0 and len(bites) > 0:
        moved = True
        while moved:
            moved = False
            for c in range(len(bites)):
                e = sub(o, vector(bites, c, 0))
                bb = dot(e, d)
                gg = bb * bb - dot(e, e) + bites[c, 3] * bites[c, 3]
                if gg > 0.0:
                    gg = float32(sqrt(gg))
                    if -bb - gg <= t0 + 1e-4 and -bb + gg > t0 + 1e-4:
                        t0, cut, moved = -bb + gg, c + 1, True
        if t0 >= t1:
            return -1.0, 0
    if t0 < 1e-3 or t0 >= limit:
        return -1.0, 0
    return t0, cut


@single
def misses_bounding_sphere(bodies, k, o, d):
    q = sub(o, vector(bodies, k, 0))
    b, g = dot(q, d), dot(q, q) - bodies[k, 3] * bodies[k, 3]
    return g > 0.0 and (b > 0.0 or b * b < g)


@single
def first_hit(parts, bodies, bites, o, d, tau):
    """The first surface that a ray hits: (t, part, bite); part = len(parts) is the floor, -1 the sky."""
    best, who, cut = 1e4, -1, 0
    if d[2] < -1e-6 and -o[2] / d[2] > 1e-3 and -o[2] / d[2] < best:
        best, who = -o[2] / d[2], len(parts)
    for k in range(len(bodies)):
        if misses_bounding_sphere(bodies, k, o, d):
            continue
        for i in range(int(bodies[k, 4]), int(bodies[k, 5])):
            t, c = intersect(parts, i, o, d, tau, best, bites)
            if t > 0.0:
                best, who, cut = t, i, c
    return best, who, cut


@single
def in_shadow(parts, bodies, bites, o, d, tau, limit):
    """Shadow ray: whether anything that does not glow itself stands between `o` and the light."""
    for k in range(len(bodies)):
        if misses_bounding_sphere(bodies, k, o, d):
            continue
        for i in range(int(bodies[k, 4]), int(bodies[k, 5])):
            if parts[i, GLOW] > 0.0:
                continue
            t, _ = intersect(parts, i, o, d, tau, limit, bites)
            if t > 0.0:
                return True
    return False


@single
def normal(parts, i, x):
    """Outward unit normal, in the world, at local point `x` of part `i`."""
    shape, s = int(parts[i, SHAPE]), vector(parts, i, SIZE)
    n = (0.0, 0.0, x[2])
    if shape in (SPHERE, DOME):
        n = (x[0] / (s[0] * s[0]), x[1] / (s[1] * s[1]), x[2] / (s[2] * s[2]))
        if shape == DOME and x[2] < 1e-3:
            n = (0.0, 0.0, -1.0)
    elif shape == BOX:
        a, b, c = abs(x[0]) - s[0], abs(x[1]) - s[1], abs(x[2]) - s[2]
        if a > b and a > c:
            n = (x[0], 0.0, 0.0)
        elif b > c:
            n = (0.0, x[1], 0.0)
    elif shape == CAPSULE:
        n = (x[0], x[1], x[2] - clamp(x[2], -s[1], s[1]))
    else:
        q = float32(sqrt(x[0] * x[0] + x[1] * x[1])) + 1e-9
        if shape == TORUS:
            n = (x[0] * (1.0 - s[0] / q), x[1] * (1.0 - s[0] / q), x[2])
        else:
            slope = s[0] / (2.0 * s[1]) if shape == CONE else 0.0
            side = (slope * (s[1] - x[2]) if shape == CONE else s[0]) - q
            if not (s[1] - abs(x[2]) < abs(side) and (shape == CYLINDER or x[2] < 0.0)):
                n = (x[0], x[1], q * slope)
    return unit(to_world(parts, i, n))
