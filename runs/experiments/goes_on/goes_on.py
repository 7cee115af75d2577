"""A world in which events go on, drawn straight to latents: balls keep rolling in, things keep falling onto a pile,
people and cars pass one after another; and fresh three-second clips of what people ask for first, larger, camera still.

    python runs/experiments/goes_on.py long  --out out/goes-on/long  --clips 120 --seconds 16
    python runs/experiments/goes_on.py short --out out/goes-on/short --clips 200
    python runs/experiments/goes_on.py gather out/goes-on/long out/goes-on/short out/latents/bench --out out/goes-on/all

`long` and `short` write SEED.mp4, SEED.json and the latents of each clip and its mirror image (SEED.safetensors);
clips that are there stay. `gather` cuts long clips into windows of 12 latent frames, each six after the one before
(as `sample/long.py` goes on), and writes a folder that `tenku train` reads. Every sixteenth clip is held out.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tenku.data.files import read_json
from tenku.data.latents import describe_encoding, encode_frames, folder_digest, read_manifest, write_manifest
from tenku.model.autoencoder import load_autoencoder
from tenku.video import write_clip
from tenku.world import captions, clip, events, outdoors, physics, pictures, street, things, words
from tenku.world.camera import film, in_view
from tenku.world.chinese import Chinese, colored
from tenku.world.english import English
from tenku.world.looks import FLOORS, choose_floor, choose_light, choose_look
from tenku.world.outdoors import perhaps_a_tree
from tenku.world.people import HIPS, Gait, person
from tenku.world.physics import Motion
from tenku.world.pictures import Filmed
from tenku.world.scene import BASIC, FPS, HUES, LYING, RGB, UPRIGHT, Body, Event, Part, Shot, matrix, vec
from tenku.world.solids import BOX
from tenku.world.things import pick, rolling_radius, simple, toy, way
from tenku.world.voice import Voice, group_color

Rng = np.random.Generator
AUTOENCODER = Path("tenku/weights/embedded")
SIZE = (128, 128)
WINDOW, STRIDE = 12, 6  # latent frames: what the model sees at a time, and how far it goes on
HELD_OUT = 16  # every so many clips
STREAM = 7  # of random numbers: none of the splits' of the world

# ------------------------------------------------------------------------------------------------ bodies that wait
# A free body with `held_until` stays away, out of sight and touch, and starts with its velocity when its time comes.

AWAY = 60.0  # metres


def steer(model: Any, data: Any, bodies: list[Body], ids: list[int], frame: float) -> None:
    """As `physics._steer`, but what waits does so far away, and begins with its velocity and spin."""
    import mujoco

    for k, (body, i) in enumerate(zip(bodies, ids, strict=True)):
        if body.path is not None:
            mocap = model.body_mocapid[i]
            data.mocap_pos[mocap], data.mocap_quat[mocap] = body.path(frame)
        if body.held_until <= 0:
            continue
        joint = model.body_jntadr[i]
        at, dof = model.jnt_qposadr[joint], model.jnt_dofadr[joint]
        if frame < body.held_until:
            data.qpos[at : at + 7] = AWAY + 3 * k, AWAY, 1.0, *body.rotation
            data.qvel[dof : dof + 6] = 0
        elif data.qpos[at + 1] > AWAY / 2:
            data.qpos[at : at + 7] = *body.position, *body.rotation
            data.qvel[dof : dof + 3] = body.velocity
            data.qvel[dof + 3 : dof + 6] = matrix(body.rotation).T @ body.spin
            mujoco.mj_forward(model, data)


def settle(motion: Motion) -> np.ndarray:
    """T N bool: what is out of sight. What waits is moved to where it will begin, so that its coming is no blur."""
    waits = (motion.position[..., 1] > AWAY / 2) & (motion.position[..., 0] > AWAY / 2)
    for i in np.flatnonzero(waits.any(0)):
        there = np.flatnonzero(~waits[:, i])
        if len(there):
            first = there[0]
            motion.position[:first, i], motion.rotation[:first, i] = motion.position[first, i], motion.rotation[first, i]
    far = np.abs(motion.position[..., :2]).max(-1) > 4.5
    return waits | far


def led(event: Event, num_frames: int) -> Motion:
    """The motion of an event in which all that moves follows a path: no physics, which would ask 32 times a frame."""
    n = len(event.bodies)
    motion = Motion(
        np.zeros((num_frames, n, 3)), np.zeros((num_frames, n, 3, 3)), np.zeros((num_frames, n, 3)),
        np.zeros((num_frames, n, 3)), [[]] * num_frames, {}, np.zeros(num_frames), True,
    )  # fmt: skip
    for i, body in enumerate(event.bodies):
        for frame in range(num_frames if body.path is not None else 1):
            position, rotation = body.path(frame) if body.path is not None else (body.position, body.rotation)
            motion.position[frame:, i], motion.rotation[frame:, i] = position, matrix(rotation)
    motion.velocity[:] = np.gradient(motion.position, axis=0) * FPS
    return motion


_pack = pictures.pack_solids


def pack_seen(filmed: Filmed) -> tuple[np.ndarray, Any]:
    """`pictures.pack_solids` without what is out of sight, which costs time."""
    parts, bodies = _pack(filmed)
    hidden = getattr(filmed, "hidden", None)
    if hidden is None:
        return parts, bodies
    tubes = np.zeros((len(hidden), bodies.shape[1] - hidden.shape[1]), bool)
    seen = ~np.concatenate([hidden, tubes], axis=1)
    return parts, [np.ascontiguousarray(rows[keep]) for rows, keep in zip(bodies, seen, strict=True)]


physics._steer = steer
pictures.pack_solids = pack_seen

# ------------------------------------------------------------------------------------------------------- what goes on


def times(rng: Rng, seconds: float, gap: tuple[float, float], first: float = 0.0) -> list[float]:
    """Seconds, one after another."""
    found, t = [], first
    while t < seconds:
        found.append(t)
        t += rng.uniform(*gap)
    return found


def rolling(rng: Rng, seconds: float) -> Event:
    """Balls roll through the picture, one after another, and bump into each other at times."""
    sign, direction = way(rng)
    both = rng.random() < 0.2
    same, alike = rng.random() < 0.6, rng.random() < 0.5
    allowed = [name for name in BASIC if name != "purple"]
    color = pick(rng, allowed)
    material = pick(rng, ["matte", "plastic", "rubber", "striped", "dotted", "checkered"])
    kind = pick(rng, ["ball", "ball", "ball", "ball", "cylinder"])
    large = rng.uniform(0.2, 0.36)
    bodies = []
    quick = rng.uniform(0.9, 1.3)
    for k, t in enumerate(times(rng, seconds, (0.55, 1.5))):
        s = pick(rng, [-1, 1]) if both else sign
        surface = material if alike else pick(rng, ["matte", "plastic", "rubber", "striped", "dotted", "checkered"])
        if kind == "cylinder" and surface in ("rubber", "dotted", "checkered"):
            surface = "striped"
        hue = color if same else pick(rng, allowed)
        body = simple(rng, kind, large * rng.uniform(0.85, 1.15), hue, surface)
        r, speed = rolling_radius(body), s * quick * rng.uniform(0.85, 1.25)
        x = -s * (rng.uniform(0.9, 1.3) if k == 0 else 2.3)
        velocity = vec(speed, rng.uniform(-0.12, 0.12), 0)
        turned = events.tumbled(rng) if kind == "ball" else LYING
        at = vec(x, rng.uniform(-0.5, 0.5), r + 0.003)
        spin = vec(-velocity[1] / r if kind == "ball" else 0, speed / r, 0)
        bodies.append(body.place(at, turned, role="many", velocity=velocity, spin=spin, held_until=t * FPS))
    claims = {"kind": kind, "same_color": same, "material": material if alike else None, "both": both}
    shot = Shot(("static",), vec(0, 0, 0.35), rng.uniform(3.0, 3.8), -90 + rng.uniform(-18, 18), rng.uniform(7, 20))
    return Event(bodies, None if both else direction, claims, shot=shot)


PILING = ["ball", "ball", "cube", "cube", "cylinder", "capsule", "egg", "ring", "toys", "mixed"]


def heap(rng: Rng, seconds: float) -> Event:
    """Things fall onto a pile, or into a tray, one after another."""
    kind, same, alike = pick(rng, PILING), rng.random() < 0.6, rng.random() < 0.5
    allowed = [name for name in BASIC if name != "orange"]
    color = pick(rng, allowed)
    material = pick(rng, ["matte", "plastic", "metal", "striped"])
    tray = kind == "ball" and rng.random() < 0.5
    large, wide = rng.uniform(0.15, 0.25), rng.uniform(0.25, 0.5)
    bodies = []
    for k, t in enumerate(times(rng, seconds, (0.5, 1.2))):
        hue, surface = color if same else pick(rng, allowed), material if alike else None
        if kind == "toys":
            body = toy(rng, pick(rng, [name for name in things.TOY_KINDS if name != "duck"]))
        else:
            form = pick(rng, ["ball", "cube", "cylinder", "capsule"]) if kind == "mixed" else kind
            body = simple(rng, form, large * rng.uniform(0.9, 1.1), hue, surface)
        height = rng.uniform(1.2, 1.7) if k == 0 else 2.5
        at = vec(rng.uniform(-wide, wide), rng.uniform(-wide, wide), height)
        spin, angle = rng.normal(size=3) * 1.5, rng.uniform(0, 1.2)
        bodies.append(
            body.place(at, events.tumbled(rng, angle), role="many", spin=spin, velocity=vec(0, 0, -0.5), held_until=t * FPS)
        )
    if tray:
        wood = events.WOOD
        rims = [
            Part(BOX, (0.7 * abs(y) + 0.04, 0.7 * abs(x) + 0.04, 0.13), (0.7 * x, 0.7 * y, 0.13), **wood)
            for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))
        ]
        base = Part(BOX, (0.7, 0.7, 0.03), (0, 0, 0.03), color=RGB["brown"])
        bodies.append(Body("tray", [base, *rims], "brown", "wooden"))
    if kind in ("toys", "mixed"):
        same = same and kind == "mixed"
    same = same and len({body.color for body in bodies if body.role == "many"}) == 1
    claims = {"kind": kind, "same_color": same, "material": material if alike and kind != "toys" else None, "tray": tray}
    shot = Shot(("static",), vec(0, 0, 0.75), rng.uniform(3.3, 4.0), -90 + rng.uniform(-25, 25), rng.uniform(8, 20))
    return Event(bodies, None, claims, shot=shot)


def lane(rng: Rng, seconds: float, speed: float, gap: tuple[float, float]) -> list[float]:
    """When each of a lane is in the middle of the picture: the first ones are under way when the clip begins."""
    return times(rng, seconds + 2.5 / speed, gap, rng.uniform(-0.5, 1.2))


def traffic(rng: Rng, seconds: float) -> Event:
    """People walk and cars drive through the picture, one after another: either, or people before cars."""
    kind = pick(rng, ["cars", "people", "both"])
    sign, direction = way(rng)
    bodies: list[Body] = []
    same = rng.random() < 0.4
    two_ways = rng.random() < 0.35
    cars = [name for name in BASIC if name != "purple"]
    coats = [name for name in BASIC if name != "turquoise"]
    behind, car_color, coat_color = sign, pick(rng, cars), pick(rng, coats)
    if kind != "cars":
        for s in (sign, -sign) if two_ways else (sign,):
            speed = rng.uniform(0.5, 0.7)
            y = rng.uniform(-0.3, -0.2) if s > 0 else rng.uniform(0.1, 0.25)
            for t in lane(rng, seconds, speed, (3.0, 5.0) if two_ways else (1.7, 3.2)):
                heading = 0.0 if s > 0 else np.pi
                start = vec(-s * speed * t, y + rng.uniform(-0.05, 0.05), 0)
                while True:
                    someone = person(rng, Gait(start, heading, speed, 0.62, rng.random()))
                    if someone[0].color in ([coat_color] if same else coats):
                        break
                someone[0].role = "main"
                bodies += someone
    if kind != "people":
        opposite = kind == "cars" and two_ways
        behind = pick(rng, [-1, 1]) if kind == "both" else sign
        for s in (behind, -behind) if opposite else (behind,):
            speed = rng.uniform(0.8, 1.3)
            y = (0.0 if s == behind else 0.8) if kind == "cars" else rng.uniform(0.95, 1.1)
            for t in lane(rng, seconds, speed, (1.9 / speed, 3.4 / speed)):
                heading = 0.0 if s > 0 else np.pi
                color = car_color if same and kind == "cars" else pick(rng, cars)
                passes = street.car(color, vec(-s * speed * t, y, 0), heading, street.steady(speed))
                passes[0].role = "main" if kind == "cars" else "target"
                bodies += passes
    trees = [] if kind == "both" else perhaps_a_tree(rng, 0.6)
    moves = Shot(
        ("static",),
        vec(0, 0.2 if kind == "both" else 0, 0.4 if kind == "cars" else HIPS + 0.05),
        rng.uniform(3.0, 3.8),
        -90 + rng.uniform(-12, 12),
        rng.uniform(4, 14),
    )
    if kind == "both":
        moves.distance = rng.uniform(3.4, 4.1)
    claims = {"kind": kind, "same_color": same, "both": two_ways and kind != "both", "tree": bool(trees)}
    claims["behind"] = "right" if behind > 0 else "left"
    return Event([*bodies, *trees], None if two_ways else direction, claims, shot=moves)


GOES_ON: dict[str, tuple[Callable[[Rng, float], Event], float]] = {
    "rolling": (rolling, 1.2), "heap": (heap, 1.0), "traffic": (traffic, 1.6),
}  # fmt: skip

# --------------------------------------------------------------------------------------------------- what is said of it

PLURAL = {
    "ball": (("balls", "spheres"), ("球", "小球"), "个"), "cube": (("cubes", "blocks"), ("方块", "积木"), "个"),
    "cylinder": (("cylinders",), ("圆柱",), "个"), "capsule": (("capsules",), ("胶囊",), "颗"),
    "egg": (("eggs",), ("蛋",), "颗"), "ring": (("rings",), ("圆环",), "个"), "toys": (("toys",), ("玩具",), "个"),
    "mixed": (("things", "objects"), ("东西", "物体"), "个"),
}  # fmt: skip


class Goes:
    """What both languages share."""

    def clause(self: Any) -> str:
        return getattr(self, self.event)()

    def said_color(self: Any) -> str | None:
        """The one colour of all; colorful, or nothing, where they have several."""
        if self.description["same_color"]:
            return group_color_of(self.description)
        return "colorful" if self.full or self.rng.random() < 0.4 else None


def group_color_of(description: dict[str, Any]) -> str:
    found = {each["color"] for each in description["objects"] if each["role"] in ("many", "main")}
    return found.pop() if len(found) == 1 else "colorful"


class GoesEnglish(Goes, English):
    def many(self) -> str:
        """ "red plastic balls" """
        color, material = self.said_color(), self.description.get("material")
        before = after = ""
        if material and (self.full or self.rng.random() < 0.4):
            before, after = pick(self.rng, words.MATERIALS[material]["en"])
        kind = self.pick(*PLURAL[self.description["kind"]][0])
        return " ".join(word for word in (before, color and self.color(color), after, kind) if word)

    def way(self, whose: str = "direction") -> str:
        if whose == "direction" and self.description.get("both"):
            return " in both directions" if self.full else ""
        return super().way(whose) if self.full or self.rng.random() < 0.4 else ""

    def rolling(self) -> str:
        across = self.on(self.pick("across", "on", "over"))
        if not self.full:
            return self.pick(f"{self.many()} roll{self.way()}{across}", f"{self.many()} keep rolling{self.way()}{across}")
        return self.pick(
            f"{self.many()} roll{self.way()}{across}, one after another",
            f"{self.many()} keep rolling in and roll on{self.way()}{across}",
            f"one after another, {self.many()} roll{self.way()}{across}",
        )

    def heap(self) -> str:
        where = f" into a wooden tray{self.on()}" if self.description.get("tray") else self.on("onto")
        fall = self.pick("fall", "drop")
        if not self.full:
            falling = {"fall": "falling", "drop": "dropping"}[fall]
            return self.pick(
                f"{self.many()} {fall}{where}", f"{self.many()} keep {falling}{where}", f"{self.many()} {fall}{where} and pile up"
            )
        return self.pick(
            f"{self.many()} {fall}{where}, one after another, and pile up",
            f"{self.many()} keep falling{where}, onto a growing pile",
            f"one after another, {self.many()} {fall}{where}",
        )

    def traffic(self) -> str:
        kind, street_too = self.description["kind"], "" if self.say_floor else pick(self.rng, ["", "", " along a street"])
        along = self.on(self.pick("along", "on", "across")) or street_too
        color = self.said_color() if self.description["same_color"] else None
        coat = f" in {self.color(color)} {self.pick('coats', 'jackets')}" if color and kind != "cars" else ""
        people, cars = f"people{coat}", " ".join(word for word in (color and self.color(color), "cars") if word)
        if kind == "cars":
            some, move, moving = cars, "drive", "driving"
        else:
            some, move, moving = people, "walk", "walking"
        if kind == "both":
            if not self.full:
                return self.pick(f"{people} walk{self.way()}{along} and cars drive by", f"people and cars pass by{along}")
            return f"{people} walk{self.way()}{along} while cars drive{self.way('behind')} behind them"
        if not self.full:
            return self.pick(f"{some} {move}{self.way()}{along}", f"{some} keep {moving} by{along}", f"{some} pass by{along}")
        past = " past a tree" if self.description.get("tree") else ""
        return self.pick(
            f"{some} {move}{self.way()}{along}{past}, one after another",
            f"{some} keep {moving}{self.way()}{along}{past}",
            f"one after another, {some} {move}{self.way()}{along}{past}",
        )


class GoesChinese(Goes, Chinese):
    def many(self) -> str:
        color, material = self.said_color(), self.description.get("material")
        before = after = ""
        if material and (self.full or self.rng.random() < 0.4):
            before, after = pick(self.rng, words.MATERIALS[material]["zh"])
        kind = self.pick(*PLURAL[self.description["kind"]][1])
        if not color:
            return before + after + kind
        return before + (self.color(color) + after + kind if after else colored(self.color(color), kind))

    def way(self, whose: str = "direction") -> str:
        if whose == "direction" and self.description.get("both"):
            return "向两边" if self.full else ""
        return super().way(whose) if self.full or self.rng.random() < 0.4 else ""

    def rolling(self) -> str:
        many, measure = self.many(), PLURAL[self.description["kind"]][2]
        if not self.full:
            return self.pick(f"{many}{self.at()}{self.way()}滚动", f"{many}{self.at()}不断{self.way()}滚过")
        return self.pick(
            f"{many}{self.at()}{self.way()}滚动，一{measure}接一{measure}",
            f"不断有{many}{self.at()}{self.way()}滚过来，又滚走",
            f"一{measure}接一{measure}的{many}{self.at()}{self.way()}滚过",
        )

    def heap(self) -> str:
        many, measure, fall = self.many(), PLURAL[self.description["kind"]][2], self.pick("落", "掉")
        where = f"进{self.of_place()}木盘里" if self.description.get("tray") else self.onto() or "下来"
        if not self.full:
            return self.pick(f"{many}从空中{fall}{where}", f"{many}不断{fall}{where}", f"{many}{fall}{where}，堆在一起")
        return self.pick(
            f"{many}从空中{fall}{where}，一{measure}接一{measure}，堆在一起",
            f"不断有{many}{fall}{where}，越堆越高",
            f"一{measure}接一{measure}的{many}{fall}{where}",
        )

    def traffic(self) -> str:
        kind, at = self.description["kind"], self.at() or pick(self.rng, ["", "", "在街上"])
        color = self.said_color() if self.description["same_color"] else None
        coat = f"穿{self.color(color)}{self.pick('外套', '夹克')}的" if color and kind != "cars" else ""
        people = f"{coat}{'人' if coat else self.pick('人们', '行人')}"
        cars = colored(self.color(color), "汽车") if color else "汽车"
        if kind == "both":
            if not self.full:
                return self.pick(f"{people}{at}{self.way()}走，汽车从旁边开过", f"行人和汽车{at}来来往往")
            return f"{people}{at}{self.way()}走，汽车一辆接一辆从后面{self.way('behind')}开过"
        some, move, one = (cars, self.pick("行驶", "驶过"), "辆") if kind == "cars" else (people, self.pick("走过", "行走"), "个")
        if not self.full:
            return self.pick(f"{some}{at}{self.way()}{move}", f"{some}{at}不断{self.way()}{move}", f"{some}{at}来来往往")
        past = "，从一棵树旁经过" if self.description.get("tree") else ""
        each = some.replace("人们", "行人")
        return self.pick(
            f"{some}{at}{self.way()}{move}{past}，一{one}接一{one}",
            f"不断有{each}{at}{self.way()}{move}{past}",
            f"一{one}接一{one}的{each}{at}{self.way()}{move}{past}",
        )


VOICES: dict[str, type[Voice]] = {"en": GoesEnglish, "zh": GoesChinese}


def write_captions(description: dict[str, Any], rng: Rng) -> dict[str, list[str]]:
    """As `captions.write_all`, with the voices that know what goes on."""
    if description["event"] not in GOES_ON:
        return captions.write_all(description, rng)
    known, captions.VOICES = captions.VOICES, VOICES
    try:
        return captions.write_all(description, rng)
    finally:
        captions.VOICES = known


def mirrored(description: dict[str, Any]) -> dict[str, Any]:
    return captions.mirror(description)


# ----------------------------------------------------------------------------------------------------------- one clip

# Three-second clips of what people ask for first, and how often.
SHORT = {"drop": 2.5, "roll": 2, "collide": 1.5, "throw": 1, "walk": 1.5, "drive": 1.5, "street": 1.2, "slide": 0.5,
         "tower": 0.5, "ramp": 0.6, "stairs": 0.5, "domino": 0.4}  # fmt: skip


def nearer(event: Event, rng: Rng) -> None:
    """The camera still, and nearer where the event says how far."""
    event.shot.moves = ("static",)
    if event.shot.distance is not None:
        event.shot.distance *= rng.uniform(0.8, 0.95)


def larger(rng: Rng, kind: str | None = None, radius: float | None = None, *rest: Any, **more: Any) -> Body:
    return simple(rng, kind, radius or rng.uniform(0.25, 0.38), *rest, **more)


def compose_short(seed: int) -> tuple[Filmed, Any, dict[str, Any]]:
    """As `clip._compose`, of these events, filmed by a still camera, with larger things."""
    rng = np.random.default_rng([STREAM, 1, seed])
    name = pick(rng, list(SHORT), list(SHORT.values()))
    light = choose_light(rng)
    floor = choose_floor(rng, light)
    events.simple = larger
    for _ in range(clip.ATTEMPTS):
        event = events.EVENTS[name][0](rng)
        event.claims["event"] = name
        if not clip.fits("train", name, event):
            continue
        nearer(event, rng)
        if FLOORS[floor].soft:
            for body in event.bodies:
                body.bounce *= 0.55
        motion = physics.simulate(event, FLOORS[floor].grip, 48)
        measured = physics.outcome(event, motion)
        if not physics.as_told(event, motion, measured) or (name == "collide" and not measured["hit_target"]):
            continue
        camera, poses = film(rng, event, motion)
        if clip.stays_in_view(in_view(event, motion, poses, 1.0)):
            return Filmed(event, motion, choose_look(rng, floor, light, camera.azimuth), poses), camera, measured
    raise ValueError(f"no {name} keeps in view (seed {seed})")


def moving_in_view(filmed: Filmed) -> np.ndarray:
    """For each frame, whether something that moves is in the picture."""
    from tenku.world.camera import TANGENT

    motion, found = filmed.motion, []
    for frame, pose in enumerate(filmed.poses):
        q = motion.position[frame] - pose.eye
        depth = q @ pose.forward
        inside = (depth > 0) & (np.abs(q @ pose.right) < TANGENT * depth) & (np.abs(q @ pose.up) < TANGENT * depth)
        found.append(bool((inside & (np.linalg.norm(motion.velocity[frame], axis=-1) > 0.25)).any()))
    return np.array(found)


def compose_long(seed: int, seconds: float, wanted: str | None = None) -> tuple[Filmed, Any, dict[str, Any]]:
    """What goes on, drawn at random until in every two seconds something moves in the picture."""
    rng = np.random.default_rng([STREAM, 2, seed])
    name = wanted or pick(rng, list(GOES_ON), [odds for _, odds in GOES_ON.values()])
    light = choose_light(rng)
    floor = choose_floor(rng, light)
    if name == "traffic" and rng.random() < 0.35:
        floor = "wet_asphalt"
    for _ in range(40):
        event = GOES_ON[name][0](rng, seconds)
        event.claims["event"] = name
        if FLOORS[floor].soft:
            for body in event.bodies:
                body.bounce *= 0.55
        num_frames = round(seconds * FPS)
        simulated = any(body.joint == "free" for body in event.bodies)
        motion = physics.simulate(event, FLOORS[floor].grip, num_frames) if simulated else led(event, num_frames)
        hidden = settle(motion)
        if not motion.sound:
            continue
        camera, poses = film(rng, event, motion)
        filmed = Filmed(event, motion, choose_look(rng, floor, light, camera.azimuth), poses)
        filmed.hidden = hidden
        alive = moving_in_view(filmed)
        stretches = alive[: len(alive) // (2 * FPS) * 2 * FPS].reshape(-1, 2 * FPS).mean(1)
        if stretches.min() > 0.3:
            return filmed, camera, {"rest": False}
    raise ValueError(f"no {name} goes on (seed {seed})")


def make(seed: int, seconds: float | None, samples: int, wanted: str | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """Frames and what is true of them; seconds None: a short clip."""
    filmed, camera, measured = compose_short(seed) if seconds is None else compose_long(seed, seconds, wanted)
    description = clip.describe(filmed.event, filmed.look, camera.move, measured)
    for key in ("kind", "both", "tray", "material"):
        if key in filmed.event.claims:
            description[key] = filmed.event.claims[key]
    frames = pictures.draw(filmed, SIZE, samples)
    texts = write_captions(description, np.random.default_rng([STREAM, 3, seed]))
    return frames, {
        "seed": seed, "split": "train" if seed % HELD_OUT else "validation", "size": list(SIZE),
        "num_frames": len(frames), "fps": FPS, "samples": samples, "description": description, "captions": texts,
    }  # fmt: skip


def draw_all(out: Path, first: int, count: int, seconds: float | None, samples: int) -> None:
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    autoencoder = load_autoencoder(AUTOENCODER).float().eval()
    for seed in range(first, first + count):
        path = out / f"{seed:07d}"
        if path.with_suffix(".safetensors").is_file():
            continue
        begun = time.process_time()
        try:
            frames, truth = make(seed, seconds, samples)
        except ValueError as error:
            print(error, flush=True)
            continue
        drawn = time.process_time()
        pieces = [encode_frames(autoencoder, frames[None, k : k + 64], True, "cpu") for k in range(0, len(frames), 64)]
        latents = torch.cat(pieces, dim=2).to(torch.bfloat16).contiguous()
        write_clip(path.with_suffix(".mp4"), frames, FPS)
        path.with_suffix(".json").write_text(json.dumps(truth, ensure_ascii=False))
        save_file({"latents": latents}, str(path) + ".partial")
        os.replace(str(path) + ".partial", path.with_suffix(".safetensors"))
        event = truth["description"]["event"]
        print(f"{seed} {event} drawn {drawn - begun:.1f} s encoded {time.process_time() - drawn:.1f} s", flush=True)


# ------------------------------------------------------------------------------------------------------ to be trained on


def gather(folders: list[Path], out: Path, keep: float) -> None:
    """Windows of all clips, and the shards of what `tenku encode` wrote, as one folder of latents.

    keep: the share of the shards of `tenku encode` that is taken.
    """
    out.mkdir(parents=True, exist_ok=True)
    autoencoder = load_autoencoder(AUTOENCODER)
    settings = describe_encoding(autoencoder, folder_digest(AUTOENCODER), True, torch.bfloat16)
    bucket, shards, number = "t12-h16-w16", {}, 0
    for folder in folders:
        before = len(shards)
        if (folder / "manifest.json").is_file():
            every = [shard for each in read_manifest(folder)["buckets"] for shard in each["shards"]]
            for shard in every[: max(1, round(keep * len(every)))]:
                name = f"{bucket}-{number:05d}"
                number += 1
                link(folder / shard["file"], out / f"{name}.safetensors")
                shards[name] = [
                    {**entry, "split": "train" if entry["seed"] % 40 else "validation"} for entry in shard["clips"]
                ]
        else:
            for path in sorted(folder.glob("*.safetensors")):
                truth, latents = read_json(path.with_suffix(".json")), load_file(str(path))["latents"]
                name = f"{bucket}-{number:05d}"
                number += 1
                entries, windows = [], []
                for side, of_side in enumerate(latents):
                    description = mirrored(truth["description"]) if side else truth["description"]
                    entry = {"seed": truth["seed"] + (10**7 if truth["num_frames"] > 48 else 2 * 10**7)}
                    entry |= {"split": truth["split"], "mirrored": bool(side), "description": description}
                    for start in range(0, of_side.shape[1] - WINDOW + 1, STRIDE):
                        if start == 0 and not side:
                            texts = truth["captions"]
                        else:
                            texts = write_captions(description, np.random.default_rng([STREAM, 4, truth["seed"], side, start]))
                        windows.append(of_side[:, start : start + WINDOW])
                        entries.append({**entry, "captions": texts})
                save_file({"latents": torch.stack(windows).contiguous()}, out / f"{name}.safetensors")
                shards[name] = entries
        print(folder, sum(len(shards[name]) for name in list(shards)[before:]), "windows")
    write_manifest(out, shards, settings, FPS)


def link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    target.symlink_to(source.resolve())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("long", "short"):
        command = commands.add_parser(name)
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--clips", type=int, required=True)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--seconds", type=float, default=16.0 if name == "long" else None)
        command.add_argument("--samples", type=int, default=6, help="rays a pixel at most")
    command = commands.add_parser("gather")
    command.add_argument("folders", type=Path, nargs="+")
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--keep", type=float, default=1.0)
    given = parser.parse_args()
    if given.command == "gather":
        gather(given.folders, given.out, given.keep)
    else:
        draw_all(given.out, given.seed, given.clips, given.seconds, given.samples)


if __name__ == "__main__":
    main()
