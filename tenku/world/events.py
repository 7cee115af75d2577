"""The events of the miniature world, one function each: bodies drawn at random, and how they start.

The outcome is not decided here: MuJoCo simulates, `physics.outcome` measures, and captions tell what was measured.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tenku.world.outdoors import apples, walk
from tenku.world.scene import BASIC, HUES, LYING, RGB, UPRIGHT, Bite, Body, Event, Part, Shot, Stroke, Vector, turn, vec
from tenku.world.shading import GRAIN
from tenku.world.solids import BOX, CAPSULE, CONE, CYLINDER
from tenku.world.street import drive, stairs, street
from tenku.world.things import food, pick, pick_direction, place_rolling, rolling_radius, simple_body, toy

Rng = np.random.Generator
WOOD: dict[str, Any] = {"color": RGB["brown"], "color2": RGB["brown"] * 0.6, "pattern": GRAIN}


def tumbled(rng: Rng, angle: float = 1.0) -> Vector:
    """Quaternion of a turn by `angle` radians about a random axis."""
    return turn(rng.normal(size=3), angle)


def drop(rng: Rng) -> Event:
    bodies: list[Body] = []
    count = pick(rng, [1, 1, 2, 3])
    for i in range(count):
        body = toy(rng) if rng.random() < 0.25 else simple_body(rng, avoid=[b.color for b in bodies])
        x = rng.uniform(-0.25, 0.25) + (i - (count - 1) / 2) * 0.8
        at = vec(x, rng.uniform(-0.4, 0.4), rng.uniform(1.1, 2.1) + body.half_height)
        angle = 1.0 if body.kind == "ball" else rng.uniform(0, 1.2)
        bodies.append(body.place(at, tumbled(rng, angle), role="main", spin=rng.normal(size=3) * 1.5))
    return Event(bodies)


def roll(rng: Rng) -> Event:
    sign, direction = pick_direction(rng)
    kind = pick(rng, ["ball", "ball", "cylinder", "ring"])
    # plain balls do not show that they turn
    seen = kind == "ball" and rng.random() < 0.6
    body = simple_body(rng, kind, material=pick(rng, ["striped", "dotted", "checkered"]) if seen else None)
    r, speed = rolling_radius(body), sign * rng.uniform(0.8, 1.5)
    at = vec(-sign * rng.uniform(1.0, 1.4), rng.uniform(-0.3, 0.3), r + 0.003)
    turned = tumbled(rng) if kind == "ball" else LYING
    return Event([place_rolling(body, at, turned, speed)], direction)


def slide(rng: Rng) -> Event:
    sign, direction = pick_direction(rng)
    body = toy(rng, "car") if rng.random() < 0.3 else simple_body(rng, pick(rng, ["cube", "cube", "cylinder", "cone"]))
    at = vec(-sign * 1.2, rng.uniform(-0.3, 0.3), body.half_height + 0.003)
    heading = turn((0, 0, 1), rng.uniform(-0.3, 0.3) + (np.pi if sign < 0 else 0))
    body.place(at, heading, role="main", velocity=vec(sign * rng.uniform(1.8, 2.8), 0, 0), friction=0.35)
    return Event([body], direction)


def collide(rng: Rng) -> Event:
    sign, direction = pick_direction(rng)
    a = simple_body(rng, pick(rng, ["ball", "ball", "cube"]))
    b = toy(rng) if rng.random() < 0.4 else simple_body(rng, avoid=[a.color])
    at = vec(-sign * 1.15, 0, a.half_height + 0.003)
    if a.kind == "ball":
        speed = sign * rng.uniform(1.3, 2.2)
        place_rolling(a, at, tumbled(rng), speed)
    else:
        a.place(at, role="main", velocity=vec(sign * rng.uniform(2.4, 3.0), 0, 0), friction=0.4)
    b.place(vec(sign * 0.15, rng.uniform(-0.08, 0.08), b.half_height + 0.003), role="target")
    return Event([a, b], direction)


def _struck_blocks(rng: Rng, positions: list[Vector], half: float, sign: int) -> list[Body]:
    """Bodies: a heavy ball that flies at blocks, then the blocks at their positions."""
    colors = list(rng.permutation(HUES))
    blocks = [
        simple_body(rng, "cube", half / 0.85, colors[i % 8], pick(rng, ["matte", "plastic"])).place(
            p + vec(sign * 0.4, 0, 0), role="block"
        )
        for i, p in enumerate(positions)
    ]
    velocity = vec(sign * rng.uniform(3.6, 4.6), 0, rng.uniform(1.6, 2.3))
    ball = simple_body(rng, "ball", rng.uniform(0.2, 0.26))
    ball.place(vec(-sign * 1.7, 0, 0.5), tumbled(rng), role="main", velocity=velocity, density=1500)
    return [ball, *blocks]


def tower(rng: Rng) -> Event:
    sign, direction = pick_direction(rng)
    half, count = rng.uniform(0.15, 0.19), int(rng.integers(4, 7))
    lean = rng.uniform(-0.02, 0.02, (count, 2))
    at = [vec(*lean[i], half * (1 + 2 * i) + 0.002 * (i + 1)) for i in range(count)]
    return Event(_struck_blocks(rng, at, half, sign), direction, {"count": count})


def pyramid(rng: Rng) -> Event:
    sign, direction = pick_direction(rng)
    half = rng.uniform(0.15, 0.19)
    rows = [(i, j) for i in range(3) for j in range(3 - i)]
    at = [vec((j - (2 - i) / 2) * 2.06 * half, 0, half * (1 + 2 * i) + 0.002) for i, j in rows]
    return Event(_struck_blocks(rng, at, half, sign), direction, {"count": len(at)})


def domino(rng: Rng) -> Event:
    count, half = int(rng.integers(7, 12)), 0.3
    colors, same = list(rng.permutation(HUES)), rng.random() < 0.4
    curve, heading, at = pick(rng, [0, 0.12, -0.12]), 0.0, vec(-1.5, 0, half + 0.002)
    sign, direction = pick_direction(rng)
    bodies: list[Body] = []
    for i in range(count):
        color = colors[0] if same else colors[i % 8]
        part = Part(BOX, (0.045, 0.15, half), color=RGB[color], roughness=0.3)
        body = Body("domino", [part], color, "plastic", bounce=0.2, density=700, half_height=half)
        place = at * vec(sign, 1, 1)
        bodies.append(body.place(place, turn((0, 0, 1), sign * heading), role="block"))
        heading += curve
        at = at + vec(np.cos(heading), np.sin(heading), 0) * 0.27
    ball = simple_body(rng, "ball", 0.17, material="metal")
    ball.place(vec(-sign * 2.3, 0, 0.36), role="main", velocity=vec(sign * 2.6, 0, 0.4))
    return Event([ball, *bodies], direction, {"count": count, "same_color": same})


def ramp(rng: Rng) -> Event:
    sign, direction = pick_direction(rng)
    slope, length = rng.uniform(0.3, 0.5), 1.1
    color = pick(rng, ["gray", "brown", "white", "blue"])
    body = simple_body(rng, pick(rng, ["ball", "ball", "cube", "cylinder"]))
    top, up = vec(-sign * 0.9, 0, length * np.sin(slope) + 0.02), vec(sign * np.sin(slope), 0, np.cos(slope))
    tilt = turn((0, 1, 0), sign * slope)
    plank = Part(BOX, (length, 0.45, 0.04), color=RGB[color])
    board = Body("ramp", [plank], color, position=top, rotation=tilt)
    clear = (body.half_height if body.kind == "cube" else body.parts[0].size[0]) + 0.05
    start = top - 0.85 * vec(sign * np.cos(slope), 0, -np.sin(slope)) + up * clear
    cube = body.kind == "cube"
    body.place(start, LYING if body.kind == "cylinder" else tilt, role="main", friction=0.35 if cube else 1.0)
    bodies = [body, board]
    if rng.random() < 0.5:
        target = toy(rng) if rng.random() < 0.4 else simple_body(rng, avoid=[body.color])
        bodies.append(target.place(vec(sign * 1.15, 0, target.half_height + 0.003), role="target"))
    return Event(bodies, direction)


def pendulum(rng: Rng) -> Event:
    height, length = 2.0, rng.uniform(1.25, 1.5)
    bob = simple_body(rng, "ball", rng.uniform(0.18, 0.26))
    bob.parts[0].position = (0, 0, -length)
    bob.parts.append(Part(CAPSULE, (0.012, length / 2), (0, 0, -length / 2), color=(0.75, 0.72, 0.65), solid=False))
    side = pick(rng, [-1, 1])
    bob.place(vec(0, 0, height), role="main", angle=side * rng.uniform(0.7, 1.1), density=2500)
    bob.joint = "hinge"
    posts = [Part(BOX, (0.05, 0.05, height / 2 + 0.05), (0, y, height / 2 + 0.05), **WOOD) for y in (-0.75, 0.75)]
    beam = Part(BOX, (0.05, 0.8, 0.05), (0, 0, height + 0.1), **WOOD)
    bodies = [bob, Body("frame", [*posts, beam], "brown", "wooden")]
    if rng.random() < 0.6:
        half = max(height - length - 0.26, 0.05) / 2
        x = side * 0.33
        stand = Body("stand", [Part(CYLINDER, (0.22, half), color=RGB["gray"])], "gray", position=vec(x, 0, half))
        target = simple_body(rng, pick(rng, ["cube", "cylinder"]), 0.24, avoid=[bob.color])
        target.place(vec(x, 0, 2 * half + target.half_height + 0.002), role="target", density=250)
        bodies += [target, stand]
    return Event(bodies, shot=Shot(target=vec(0, 0, 1.12), distance=4.3, elevation=rng.uniform(4, 14)))


def throw(rng: Rng) -> Event:
    sign, direction = pick_direction(rng)
    body = toy(rng) if rng.random() < 0.2 else simple_body(rng, pick(rng, ["ball", "ball", "cube", "capsule", "ring"]))
    at, turned = vec(-sign * 1.25, rng.uniform(-0.2, 0.2), 0.4), tumbled(rng)
    velocity = vec(sign * rng.uniform(1.1, 1.6), 0, rng.uniform(3.7, 4.6))
    body.place(at, turned, role="main", velocity=velocity, spin=rng.normal(size=3) * 4)
    bodies, wall = [body], rng.random() < 0.4
    if wall:
        brick = Part(BOX, (0.08, 0.6, 0.36), color=RGB["brick"], roughness=0.9)
        bodies.append(Body("wall", [brick], "brick", position=vec(-sign * 0.45, 0, 0.36)))
    return Event(bodies, direction, {"wall": wall})


def hide(rng: Rng) -> Event:
    sign, direction = pick_direction(rng)
    body = simple_body(rng, pick(rng, ["ball", "ball", "cylinder"]), rng.uniform(0.2, 0.28))
    stays, speed, r = rng.random() < 0.3, sign * rng.uniform(1.1, 1.4), body.parts[0].size[0]
    color = pick(rng, [c for c in ["white", "gray", "blue", "green", "orange"] if c != body.color])
    screen = Part(BOX, (0.62, 0.05, 0.45), color=RGB[color], roughness=0.8)
    bodies = [body, Body("wall", [screen], color, position=vec(0, -0.55, 0.45))]
    turned = LYING if body.kind == "cylinder" else tumbled(rng)
    place_rolling(body, vec(-sign * 1.35, 0, r + 0.003), turned, speed)
    if stays:
        stop = Part(BOX, (0.05, 0.3, 0.15), color=RGB[color] * 0.8)
        bodies.append(Body("stopper", [stop], color, position=vec(sign * 0.36, 0, 0.15)))
        body.bounce = 0.1
    orbit = stays and rng.random() < 0.6
    moves = ("orbit_left", "orbit_right") if orbit else ("static", "static", "push_in", "rise")
    azimuth, elevation = -90 + rng.uniform(-8, 8), rng.uniform(12, 20)
    shot = Shot(moves, vec(0, -0.2, 0.42), 4.3, azimuth, elevation, swing=80.0)
    return Event(bodies, direction, {"stays": stays}, shot=shot)


def bite(rng: Rng) -> Event:
    body, radius, height = food(rng)
    plate = Part(CYLINDER, (0.75, 0.025), (0, 0, 0.025), color=(0.93, 0.93, 0.92), roughness=0.12)
    count, front = int(rng.integers(1, 4)), np.radians(rng.uniform(-120, -60))
    bites = []
    for i in range(count):
        angle = front + (i - (count - 1) / 2) * 0.75 + rng.uniform(-0.1, 0.1)
        for tooth in (-1, 0, 1):
            a = angle + tooth * 0.24
            z = height * 0.62 + 0.06 + (0.03 if tooth else 0)
            center = vec(np.cos(a) * (radius + 0.02), np.sin(a) * (radius + 0.02), z)
            bites.append(Bite(10 + i * 11, center, radius * 0.42))
    azimuth, elevation = np.degrees(front) + rng.uniform(-25, 25), rng.uniform(18, 32)
    shot = Shot(("static", "orbit_left", "orbit_right", "push_in"), None, 2.6, azimuth, elevation)
    return Event([body, Body("plate", [plate], "white")], claims={"count": count}, bites=bites, shot=shot)


STROKES: dict[str, Callable[[Vector], tuple[Vector, Vector]]] = {
    "line": lambda t: (t * 2 - 1, 0.3 * (t - 0.5)),
    "wave": lambda t: (t * 2 - 1, 0.35 * np.sin(t * 9)),
    "circle": lambda t: (0.55 * np.sin(6.5 * t), 0.55 * np.cos(6.5 * t)),
    "zigzag": lambda t: (t * 2 - 1, 0.45 * (2 * np.abs((t * 3) % 1 * 2 - 1) - 1)),
    "heart": lambda t: (
        0.6 * np.sin(t * 6.28) ** 3,
        0.5 * np.cos(t * 6.28) - 0.2 * np.cos(t * 12.57) - 0.08 * np.cos(t * 18.85),
    ),
}


def brush(rng: Rng) -> Event:
    color, shape = pick(rng, HUES), pick(rng, list(STROKES))
    steps, start, end = 36, 5, 39
    x, z = STROKES[shape](np.linspace(0, 1, steps))
    line = np.stack([x * 0.8, np.full(steps, -0.03), 1.05 + z * 0.9], axis=1)
    held = turn((1, -0.25, 0.35), np.pi / 2 + 0.25)

    def progress(frame: float) -> float:
        return float(np.clip((frame - start) / (end - start), 0, 1)) * (steps - 1)

    def path(frame: float) -> tuple[Vector, Vector]:
        u = progress(frame)
        i = int(u)
        tip = line[i] + (line[min(i + 1, steps - 1)] - line[i]) * (u - i)
        away = max(start - frame, frame - end, 0)  # comes in from the side, and leaves
        lift = vec(0.25, -0.5, 0.15) * min(1, away / 6) if away else vec(0, -0.02, 0)
        return tip + lift, held

    def painted(frame: int, _: np.ndarray) -> np.ndarray:
        return line[: int(progress(frame)) + 1] if frame >= start else line[:0]

    legs = [
        Part(BOX, (0.03, 0.03, 0.55), (x0, 0.18, -0.5), turn((1, 0, 0), 0.2), color=RGB["brown"]) for x0 in (-0.6, 0.6)
    ]
    board = Part(BOX, (1.05, 0.03, 0.78), color=(0.95, 0.94, 0.9), roughness=0.9, canvas=True)
    canvas = Body("canvas", [board, *legs], "white", position=vec(0, 0, 1.05))
    tip_and_handle = [
        Part(CONE, (0.085, 0.13), (0, 0, 0.02), turn((1, 0, 0), np.pi), color=RGB[color], roughness=0.4),
        Part(CYLINDER, (0.075, 0.07), (0, 0, 0.2), color=(0.8, 0.75, 0.6), metal=1, roughness=0.2),
        Part(CAPSULE, (0.045, 0.42), (0, 0, 0.68), color=(0.6, 0.1, 0.05), roughness=0.25),
    ]
    tool = Body("brush", tip_and_handle, color, role="main", joint="mocap", path=path)
    azimuth, elevation = -90 + rng.uniform(-18, 18), rng.uniform(3, 12)
    shot = Shot(("static", "push_in", "orbit_left", "orbit_right"), None, 2.9, azimuth, elevation)
    claims = {"paint": color, "stroke": shape}
    return Event([tool, canvas], claims=claims, stroke=Stroke(color, 0.07, painted), shot=shot)


def trail(rng: Rng) -> Event:
    sign, direction = pick_direction(rng)
    body = simple_body(rng, "ball", rng.uniform(0.2, 0.28), material="plastic")
    speed, r = sign * rng.uniform(0.8, 1.5), body.half_height
    at = vec(-sign * rng.uniform(1.0, 1.4), rng.uniform(-0.5, 0.5), r + 0.003)
    velocity = vec(speed, rng.uniform(-0.6, 0.6), 0)
    body.place(at, role="main", velocity=velocity, spin=vec(-velocity[1] / r, speed / r, 0))

    def painted(frame: int, positions: np.ndarray) -> np.ndarray:
        return positions[: frame + 1, 0] * vec(1, 1, 0)

    color = body.color or BASIC[0]
    return Event([body], direction, {"paint": color}, stroke=Stroke(color, 0.13, painted))


def _four_walls(reach: float, thick: float, half: float, **look: Any) -> list[Part]:
    """The sides of a square box that stands on the floor, each `reach` metres from its middle, 2 `half` high."""
    return [
        Part(BOX, (reach * abs(y) + thick, reach * abs(x) + thick, half), (reach * x, reach * y, half), **look)
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]


def pour(rng: Rng) -> Event:
    color, mixed, count = pick(rng, HUES), rng.random() < 0.5, int(rng.integers(9, 15))
    base = Part(BOX, (0.7, 0.7, 0.03), (0, 0, 0.03), color=RGB["brown"])
    bodies = [Body("tray", [base, *_four_walls(0.7, 0.04, 0.13, **WOOD)], "brown", "wooden")]
    for i in range(count):
        hue = pick(rng, HUES) if mixed else color
        ball = simple_body(rng, "ball", rng.uniform(0.12, 0.16), hue, pick(rng, ["plastic", "rubber", "matte"]))
        at = vec(rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), 0.8 + 0.3 * i)
        bodies.append(ball.place(at, role="many", velocity=vec(0, 0, -1)))
    return Event(bodies, claims={"count": count, "same_color": not mixed})


def cover(rng: Rng) -> Event:
    body = toy(rng) if rng.random() < 0.6 else simple_body(rng)
    color = pick(rng, [c for c in ["red", "blue", "purple", "turquoise", "yellow"] if c != body.color])
    reveal, wall = rng.random() < 0.5, 0.03

    def raised(frame: float) -> float:
        if reveal:
            return np.clip((frame - 12) / 16, 0, 1)
        return 1 - np.clip((frame - 4) / 14, 0, 1) + np.clip((frame - 30) / 14, 0, 1)

    sides = _four_walls(0.5, wall, 0.5, color=RGB[color], roughness=0.4)
    lid = Part(BOX, (0.5, 0.5, wall), (0, 0, 1.0), color=RGB[color])
    box = Body(
        "box", [lid, *sides], color, joint="mocap", path=lambda f: (vec(0, 0, 0.01 + 1.3 * raised(f) ** 1.5), UPRIGHT)
    )
    body.place(vec(0, 0, body.half_height + 0.003), turn((0, 0, 1), rng.uniform(-2.2, -0.9)), role="main")
    shot = Shot(target=vec(0, 0, 0.72), distance=3.9, elevation=rng.uniform(8, 16))
    return Event([body, box], claims={"reveal": reveal}, shot=shot)


# Frames after which somebody who walks, or a ball that keeps rolling, has left: in longer clips other things happen.
LONGEST = {"walk": 144, "street": 144, "stairs": 480}
# Each event with how often it is drawn.
EVENTS: dict[str, tuple[Callable[[Rng], Event], float]] = {
    "drop": (drop, 2), "roll": (roll, 1.4), "slide": (slide, 1), "collide": (collide, 1.8), "tower": (tower, 1.2),
    "pyramid": (pyramid, 0.8), "domino": (domino, 1.2), "ramp": (ramp, 1.4), "pendulum": (pendulum, 1),
    "throw": (throw, 1.3), "hide": (hide, 1.5), "bite": (bite, 1.6), "brush": (brush, 1.2), "trail": (trail, 1),
    "pour": (pour, 1), "cover": (cover, 1.2), "walk": (walk, 2), "apples": (apples, 1.2),
    "drive": (drive, 1.3), "street": (street, 1.3), "stairs": (stairs, 1.2),
}  # fmt: skip
