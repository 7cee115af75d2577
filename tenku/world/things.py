"""The things of the world: simple solids in ten colours and nine materials, toys, and food with something inside."""

from typing import Any

import numpy as np

from tenku.world.scene import BASIC, HUES, MATERIALS, RGB, STRIPED_SOLID, Body, Part, Vector, turn, vec
from tenku.world.shading import BANDS, DOTTED
from tenku.world.solids import BOX, CAPSULE, CONE, CYLINDER, DOME, SPHERE, TORUS

Rng = np.random.Generator

SOLID_KINDS = {"ball": 0.34, "cube": 0.22, "cylinder": 0.14, "cone": 0.1, "capsule": 0.07, "ring": 0.07, "egg": 0.06}
MATERIALS_OF = {
    "ball": ["matte", "plastic", "rubber", "metal", "striped", "dotted", "checkered", "wooden", "marble"],
    "cube": ["matte", "plastic", "metal", "wooden", "dotted", "checkered", "marble"],
}
OTHER_MATERIALS = ["matte", "plastic", "metal", "wooden", "striped"]
METAL_COLORS = ("gold", "silver", "red", "blue", "green", "purple")
NEARLY_BLACK = vec(0.06, 0.06, 0.07)


def pick(rng: Rng, options: Any, weights: Any = None) -> Any:
    p = None if weights is None else np.asarray(weights, float) / np.sum(weights)
    return options[rng.choice(len(options), p=p)]


def pick_direction(rng: Rng) -> tuple[int, str]:
    """Draw a direction along x: (+1, "right") or (-1, "left")."""
    return pick(rng, [(-1, "left"), (1, "right")])


def simple_body(
    rng: Rng,
    kind: str | None = None,
    radius: float | None = None,
    color: str | None = None,
    material: str | None = None,
    avoid: Any = (),
) -> Body:
    """A ball, cube, cylinder, cone, capsule, ring or egg; whatever is not given is drawn at random."""
    kind = kind or pick(rng, list(SOLID_KINDS), list(SOLID_KINDS.values()))
    r = radius or rng.uniform(0.2, 0.33)
    color = color or pick(rng, [name for name in BASIC if name not in avoid])
    material = material or pick(rng, MATERIALS_OF.get(kind, OTHER_MATERIALS))
    if material == "metal" and color not in METAL_COLORS:
        color = pick(rng, ["gold", "silver"])
    color = {"wooden": "brown", "marble": "white"}.get(material, color)
    rgb = vec(0.52, 0.31, 0.15) if material == "wooden" else RGB[color]
    contrast = vec(0.93, 0.92, 0.88) if rgb.mean() < 0.75 else vec(0.12, 0.12, 0.14)
    second = {"wooden": rgb * 0.62, "marble": vec(0.3, 0.32, 0.36)}.get(material, contrast)
    m = MATERIALS[material]
    shape, size, half = {
        "ball": (SPHERE, (r, r, r), r),
        "cube": (BOX, (r * 0.85,) * 3, r * 0.85),
        "cylinder": (CYLINDER, (r * 0.75, r), r),
        "cone": (CONE, (r * 0.9, r * 1.1), r * 1.1),
        "capsule": (CAPSULE, (r * 0.55, r * 0.6), r * 1.15),
        "ring": (TORUS, (r, r * 0.34), r * 0.34),
        "egg": (SPHERE, (r * 0.75, r * 0.75, r), r),
    }[kind]
    pattern = STRIPED_SOLID if material == "striped" and kind != "ball" else m.pattern
    part = Part(shape, size, color=rgb, color2=second, pattern=pattern, roughness=m.roughness, metal=m.metal)
    return Body(kind, [part], color, material, bounce=m.bounce, density=m.density, half_height=half)


def rolling_radius(body: Body) -> float:
    """Height of the centre of a ball, or of a cylinder or ring that lies on its side."""
    size = body.parts[0].size
    return size[0] + (size[1] if body.kind == "ring" else 0)


def place_rolling(body: Body, at: Vector, rotation: Vector, speed: float) -> Body:
    """Set down the main body so that it rolls along x without slipping at `speed` metres a second."""
    spin = vec(0, speed / rolling_radius(body), 0)
    return body.place(at, rotation, role="main", velocity=vec(speed, 0, 0), spin=spin)


def toy(rng: Rng, kind: str | None = None) -> Body:
    """A toy of several parts, in one colour of eight (ducks are yellow, snowmen and bowling pins white)."""
    kind = kind or pick(rng, list(TOYS))
    color = {"duck": "yellow", "snowman": "white", "pin": "white"}.get(kind) or pick(rng, HUES)
    hat = RGB[pick(rng, HUES)]
    parts, half = TOYS[kind](RGB[color], hat)
    return Body(kind, parts, color, "toy", bounce=0.3, density=300, half_height=half)


def _part(shape: int, size: Any, position: Any = (0, 0, 0), rotation: Any = (1, 0, 0, 0), **look: Any) -> Part:
    return Part(shape, size, position, rotation, **{"roughness": 0.3, **look})


def car(c: Vector, _: Vector) -> tuple[list[Part], float]:
    wheels = [
        _part(CYLINDER, (0.085, 0.03), (x, y, -0.085), turn((1, 0, 0), np.pi / 2), color=NEARLY_BLACK)
        for x in (0.2, -0.2)
        for y in (0.17, -0.17)
    ]
    body = _part(BOX, (0.34, 0.17, 0.07), (0, 0, -0.01), color=c)
    return [body, _part(BOX, (0.17, 0.15, 0.07), (-0.03, 0, 0.13), color=c * 0.5 + 0.12), *wheels], 0.17


def snowman(white: Vector, hat: Vector) -> tuple[list[Part], float]:
    eyes = [_part(SPHERE, (0.025,) * 3, (0.17, y, 0.21), color=NEARLY_BLACK) for y in (0.07, -0.07)]
    return [
        _part(SPHERE, (0.26,) * 3, (0, 0, -0.22), color=white, roughness=0.9),
        _part(SPHERE, (0.19,) * 3, (0, 0, 0.14), color=white, roughness=0.9),
        _part(CONE, (0.035, 0.1), (0.24, 0, 0.16), turn((0, 1, 0), np.pi / 2), color=(1, 0.45, 0.05)),
        _part(CYLINDER, (0.14, 0.1), (0, 0, 0.36), color=hat),
        *eyes,
    ], 0.48


def mushroom(c: Vector, _: Vector) -> tuple[list[Part], float]:
    cap = _part(DOME, (0.27, 0.27, 0.2), (0, 0, 0.04), color=c, color2=RGB["white"], pattern=DOTTED)
    return [_part(CYLINDER, (0.09, 0.16), (0, 0, -0.1), color=(0.93, 0.88, 0.76)), cap], 0.26


def duck(_: Vector, __: Vector) -> tuple[list[Part], float]:
    yellow = (1, 0.78, 0.08)
    eyes = [_part(SPHERE, (0.03,) * 3, (0.24, y, 0.22), color=NEARLY_BLACK) for y in (0.08, -0.08)]
    return [
        _part(SPHERE, (0.27, 0.2, 0.18), (0, 0, -0.06), color=yellow),
        _part(SPHERE, (0.14,) * 3, (0.14, 0, 0.17), color=yellow),
        _part(CONE, (0.06, 0.06), (0.3, 0, 0.15), turn((0, 1, 0), np.pi / 2), color=(1, 0.4, 0.05)),
        *eyes,
        _part(CONE, (0.08, 0.1), (-0.27, 0, 0.05), turn((0, 1, 0), -0.7), color=yellow),
    ], 0.24


def bottle(c: Vector, _: Vector) -> tuple[list[Part], float]:
    return [
        _part(CYLINDER, (0.12, 0.2), (0, 0, -0.12), color=c, roughness=0.08),
        _part(DOME, (0.12, 0.12, 0.1), (0, 0, 0.08), color=c, roughness=0.08),
        _part(CYLINDER, (0.045, 0.08), (0, 0, 0.22), color=c * 0.8, roughness=0.08),
        _part(CYLINDER, (0.05, 0.03), (0, 0, 0.32), color=RGB["white"]),
    ], 0.32


def rocket(c: Vector, _: Vector) -> tuple[list[Part], float]:
    fins = [
        _part(BOX, (0.07, 0.012, 0.09), (0.15 * np.cos(a), 0.15 * np.sin(a), -0.2), turn((0, 0, 1), a), color=c)
        for a in (0, 2.09, 4.19)
    ]
    hull = _part(CYLINDER, (0.12, 0.22), (0, 0, -0.05), color=RGB["white"], color2=c, pattern=BANDS)
    return [hull, _part(CONE, (0.12, 0.13), (0, 0, 0.3), color=c), *fins], 0.29


def pin(white: Vector, _: Vector) -> tuple[list[Part], float]:
    return [
        _part(SPHERE, (0.13, 0.13, 0.2), (0, 0, -0.14), color=white),
        _part(CYLINDER, (0.055, 0.1), (0, 0, 0.1), color=RGB["red"]),
        _part(SPHERE, (0.085, 0.085, 0.1), (0, 0, 0.26), color=white),
        _part(CYLINDER, (0.08, 0.02), (0, 0, -0.335), color=white),
    ], 0.355


TOYS = {build.__name__: build for build in (car, snowman, mushroom, duck, bottle, rocket, pin)}


# ---------------------------------------------------------------- food: color2 is what a bite lays bare


def _edible(shape: int, size: Any, position: Any, rotation: Any = (1, 0, 0, 0), **look: Any) -> Part:
    return _part(shape, size, position, rotation, **{"roughness": 0.6, "edible": True, **look})


def burger(rng: Rng) -> tuple[list[Part], str | None]:
    bun = vec(0.54, 0.54, 0.36)
    parts = [
        _edible(CYLINDER, (0.5, 0.09), (0, 0, 0.09), color=(0.78, 0.48, 0.18), color2=(0.95, 0.82, 0.55)),
        _edible(CYLINDER, (0.53, 0.04), (0, 0, 0.21), color=(0.28, 0.62, 0.12), color2=(0.5, 0.78, 0.25)),
        _edible(CYLINDER, (0.5, 0.035), (0, 0, 0.28), color=(0.82, 0.1, 0.06), color2=(0.95, 0.35, 0.25)),
        _edible(CYLINDER, (0.52, 0.07), (0, 0, 0.38), color=(0.26, 0.12, 0.06), color2=(0.42, 0.22, 0.13)),
        _edible(
            BOX, (0.42, 0.42, 0.02), (0, 0, 0.46), turn((0, 0, 1), 0.5), color=(1, 0.7, 0.08), color2=(1, 0.78, 0.2)
        ),
        _edible(DOME, bun, (0, 0, 0.48), color=(0.8, 0.47, 0.16), color2=(0.96, 0.84, 0.58), roughness=0.35),
    ]
    for i in range(22):  # sesame
        a, b = i * 2.4, 0.15 + 0.75 * np.sqrt(i / 22)
        at = vec(np.sin(b) * np.cos(a), np.sin(b) * np.sin(a), np.cos(b)) * bun + vec(0, 0, 0.48)
        parts.append(_edible(SPHERE, (0.026, 0.018, 0.014), at, turn((0, 0, 1), a), color=(0.97, 0.9, 0.7)))
    return parts, None


def cake(rng: Rng) -> tuple[list[Part], str | None]:
    color = pick(rng, ["pink", "chocolate", "white", "green"])
    icing = {
        "pink": (0.95, 0.5, 0.62), "chocolate": (0.25, 0.12, 0.07), "white": (0.96, 0.94, 0.9),
        "green": (0.55, 0.78, 0.45),
    }  # fmt: skip
    c, sponge, cream = np.array(icing[color]), (0.93, 0.78, 0.45), (0.98, 0.95, 0.9)
    around = [(0.38 * np.cos(a), 0.38 * np.sin(a), 0.58) for a in np.arange(8) * np.pi / 4]
    cherries = [_edible(SPHERE, (0.06,) * 3, at, color=(0.85, 0.04, 0.06), color2=(0.98, 0.6, 0.55)) for at in around]
    return [
        _edible(CYLINDER, (0.5, 0.11), (0, 0, 0.11), color=c, color2=sponge),
        _edible(CYLINDER, (0.502, 0.025), (0, 0, 0.245), color=cream, color2=cream),
        _edible(CYLINDER, (0.5, 0.11), (0, 0, 0.38), color=c, color2=sponge),
        _edible(CYLINDER, (0.51, 0.03), (0, 0, 0.51), color=c * 0.9 + 0.08, color2=cream, roughness=0.25),
        *cherries,
    ], color


def donut(rng: Rng) -> tuple[list[Part], str | None]:
    color = pick(rng, ["pink", "brown", "turquoise"])
    parts = [
        _edible(TORUS, (0.36, 0.2), (0, 0, 0.2), color=(0.8, 0.52, 0.25), color2=(0.95, 0.82, 0.55)),
        _edible(TORUS, (0.36, 0.19), (0, 0, 0.235), color=RGB[color], color2=(0.95, 0.8, 0.6), roughness=0.2),
    ]
    for i in range(16):  # sprinkles
        a, b = i * 2.4, rng.uniform(-0.9, 0.9)
        r = 0.36 + 0.19 * np.sin(b)
        at = (r * np.cos(a), r * np.sin(a), 0.24 + 0.19 * np.cos(b))
        lie = turn((np.cos(a * 3), np.sin(a * 3), 0.2), 1.4)
        parts.append(_edible(CAPSULE, (0.015, 0.028), at, lie, color=RGB[pick(rng, HUES)]))
    return parts, color


def apple(rng: Rng) -> tuple[list[Part], str | None]:
    color = pick(rng, ["red", "green"])
    return [
        _edible(SPHERE, (0.42, 0.42, 0.4), (0, 0, 0.38), color=RGB[color], color2=(0.97, 0.93, 0.75), roughness=0.25),
        _edible(CYLINDER, (0.018, 0.08), (0, 0, 0.82), color=(0.3, 0.18, 0.08)),
        _edible(SPHERE, (0.12, 0.05, 0.015), (0.1, 0, 0.85), turn((0, 1, 0), -0.4), color=(0.2, 0.55, 0.12)),
    ], color


def watermelon(rng: Rng) -> tuple[list[Part], str | None]:
    tilt = turn((0, 1, 0), 0.3)
    rind, flesh = (0.12, 0.42, 0.14), (0.9, 0.16, 0.18)
    return [_edible(SPHERE, (0.5, 0.5, 0.46), (0, 0, 0.46), tilt, color=rind, color2=flesh, roughness=0.3)], None


# builder, radius at the bite, height of the bite
FOODS = {
    "burger": (burger, 0.53, 0.5), "cake": (cake, 0.5, 0.5), "donut": (donut, 0.5, 0.25),
    "apple": (apple, 0.42, 0.5), "watermelon": (watermelon, 0.48, 0.6),
}  # fmt: skip


def food(rng: Rng) -> tuple[Body, float, float]:
    """A piece of food, with the radius and the height at which to bite."""
    kind = pick(rng, list(FOODS))
    build, radius, height = FOODS[kind]
    parts, color = build(rng)
    return Body(kind, parts, color, role="main", position=vec(0, 0, 0.06), half_height=0.5), radius, height
