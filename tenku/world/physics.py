"""Simulate an event with MuJoCo: build the model, step it, measure the outcome."""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from tenku.world.scene import FPS, Body, Event, Part, matrix
from tenku.world.solids import BOX, CAPSULE, CONE, CYLINDER, DOME, SPHERE, TORUS

SUBSTEPS = 32  # a frame; fewer lose energy at bounces
GRAVITY = 9.81
STIFFNESS = 12_000.0  # of contacts: with damping by the wanted bounce
GEOM = {SPHERE: "ellipsoid", BOX: "box", CYLINDER: "cylinder", CAPSULE: "capsule", DOME: "ellipsoid"}
FLOOR = -1  # in contact pairs


@dataclass
class Motion:
    """A simulated event: T frames of N bodies, all in the world frame.

    position T N 3 (m), rotation T N 3 3, velocity T N 3 (m/s), spin T N 3 (rad/s, 0 for what follows a path);
    contacts: for each frame the touching pairs (a, b), floor = -1; touches: for each pair the frames (fractional) at
    which it began to touch; energy T (J): kinetic and potential energy of everything free or hinged.
    """

    position: np.ndarray
    rotation: np.ndarray
    velocity: np.ndarray
    spin: np.ndarray
    contacts: list[list[tuple[int, int]]]
    touches: dict[tuple[int, int], list[float]]
    energy: np.ndarray
    sound: bool  # False when MuJoCo warned of an unstable step


def numbers(values: Any) -> str:
    return " ".join(f"{v:.6g}" for v in np.atleast_1d(values))


def _part_xml(part: Part, name: str, attributes: str) -> tuple[str, str]:
    """(geometry, mesh asset) of one part."""
    at = f'pos="{numbers(part.position)}" quat="{numbers(part.rotation)}" {attributes}'
    if part.shape == TORUS:  # sixteen capsules
        big, small = part.size
        ring = [big * np.array([np.cos(a), np.sin(a), 0]) + part.position for a in np.arange(17) * np.pi / 8]
        segments = zip(ring[:-1], ring[1:], strict=True)
        return "".join(
            f'<geom type="capsule" size="{small}" fromto="{numbers(a)} {numbers(b)}" {attributes}/>'
            for a, b in segments
        ), ""
    if part.shape == CONE:
        radius, half = part.size
        base = [numbers((radius * np.cos(a), radius * np.sin(a), -half)) for a in np.arange(20) * np.pi / 10]
        corners = " ".join([*base, numbers((0, 0, half))])
        return f'<geom type="mesh" mesh="{name}" {at}/>', f'<mesh name="{name}" vertex="{corners}"/>'
    if part.shape == SPHERE and len(set(part.size)) == 1:
        return f'<geom type="sphere" size="{part.size[0]}" {at}/>', ""
    return f'<geom type="{GEOM[part.shape]}" size="{numbers(part.size)}" {at}/>', ""


def _body_xml(index: int, body: Body, grip: float) -> tuple[str, str]:
    moves = body.joint in ("free", "hinge")
    contact = 'friction=".6 .005 .002"'
    if moves:
        # The share of speed kept at a bounce is exp(-pi * damping ratio) of the contact spring.
        ratio = np.clip(-np.log(max(body.bounce, 0.05)) / np.pi, 0.01, 0.95)
        damping = 2 * ratio * np.sqrt(STIFFNESS)
        rolling = 0.002 if grip > 0.5 else 0.0005
        contact = (
            f'solref="{-STIFFNESS} {-damping:.3f}" solimp=".97 .99 .001" condim="6" priority="1" '
            f'friction="{body.friction * grip:.3g} .005 {rolling}"'
        )
    joint = {"free": "<freejoint/>", "hinge": '<joint type="hinge" axis="0 1 0" damping=".02"/>'}.get(body.joint, "")
    mocap = ' mocap="true"' if body.joint == "mocap" else ""
    text = f'<body name="b{index}" pos="{numbers(body.position)}" quat="{numbers(body.rotation)}"{mocap}>{joint}'
    meshes = ""
    for j, part in enumerate(body.parts):
        ghost = "" if part.solid and body.kind != "brush" else 'contype="0" conaffinity="0"'
        density = body.density if part.solid else 1
        geom, mesh = _part_xml(part, f"c{index}_{j}", f'{contact} {ghost} density="{density}"')
        text, meshes = text + geom, meshes + mesh
    return text + "</body>", meshes


def build(bodies: list[Body], grip: float) -> mujoco.MjModel:
    """Build the MuJoCo model of bodies on a floor with the friction coefficient `grip`."""
    parts = [_body_xml(i, body, grip) for i, body in enumerate(bodies)]
    return mujoco.MjModel.from_xml_string(
        f'<mujoco><option timestep="{1 / FPS / SUBSTEPS}" integrator="implicitfast" gravity="0 0 {-GRAVITY}">'
        f'<flag energy="enable"/></option><asset>{"".join(mesh for _, mesh in parts)}</asset><worldbody>'
        f'<geom name="floor" type="plane" size="20 20 .1" friction="{grip} .005 .0005"/>'
        f"{''.join(text for text, _ in parts)}</worldbody></mujoco>"
    )


def _start(model: mujoco.MjModel, data: mujoco.MjData, bodies: list[Body], ids: list[int]) -> None:
    for body, i in zip(bodies, ids, strict=True):
        if body.joint == "free":
            dof = model.jnt_dofadr[model.body_jntadr[i]]
            data.qvel[dof : dof + 3] = body.velocity
            data.qvel[dof + 3 : dof + 6] = matrix(body.rotation).T @ body.spin  # MuJoCo wants spin in the body's frame
        if body.joint == "hinge":
            data.qpos[model.jnt_qposadr[model.body_jntadr[i]]] = body.angle


def _steer(model: mujoco.MjModel, data: mujoco.MjData, bodies: list[Body], ids: list[int], frame: float) -> None:
    for body, i in zip(bodies, ids, strict=True):
        if body.path is not None:
            k = model.body_mocapid[i]
            data.mocap_pos[k], data.mocap_quat[k] = body.path(frame)
        if body.held_until > frame:
            joint = model.body_jntadr[i]
            at, dof = model.jnt_qposadr[joint], model.jnt_dofadr[joint]
            data.qpos[at : at + 7] = *body.position, *body.rotation
            data.qvel[dof : dof + 6] = 0


def simulate(event: Event, grip: float, num_frames: int = 48) -> Motion:
    """Simulate an event with MuJoCo for `num_frames` frames at 16 frames a second."""
    bodies = event.bodies
    model = build(bodies, grip)
    data = mujoco.MjData(model)
    ids = [model.body(f"b{i}").id for i in range(len(bodies))]
    index = {body_id: i for i, body_id in enumerate(ids)} | {0: FLOOR}
    owner = np.array([index[body_id] for body_id in model.geom_bodyid])  # the body of each geometry
    _start(model, data, bodies, ids)
    n, t = len(bodies), num_frames
    position, rotation, velocity, spin = (np.zeros((t, n, *shape)) for shape in ((3,), (3, 3), (3,), (3,)))
    motion = Motion(position, rotation, velocity, spin, [], {}, np.zeros(t), True)
    touching: set[tuple[int, int]] = set()
    before = b""  # which geometries touched at the last step: mostly the same as at this one
    six = np.zeros(6)
    for frame in range(num_frames):
        for k in range(SUBSTEPS if frame else 1):
            now = frame - 1 + (k + 1) / SUBSTEPS if frame else 0.0
            _steer(model, data, bodies, ids, now)
            if frame:
                mujoco.mj_step(model, data)
            else:
                mujoco.mj_forward(model, data)
            geoms = data.contact.geom
            if geoms.tobytes() == before:
                continue
            before = geoms.tobytes()
            pairs = {(a, b) for a, b in np.sort(owner[geoms], axis=1).tolist()}
            for pair in pairs - touching:
                motion.touches.setdefault(pair, []).append(round(now, 2))
            touching = pairs
        mujoco.mj_forward(model, data)  # positions and energy at the end of the last step
        motion.position[frame], motion.rotation[frame] = data.xpos[ids], data.xmat[ids].reshape(n, 3, 3)
        for i, body_id in enumerate(ids):
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_BODY, body_id, six, 0)
            motion.spin[frame, i], motion.velocity[frame, i] = six[:3], six[3:]
        motion.energy[frame] = data.energy.sum()
        motion.contacts.append(sorted(touching))
    for i, body in enumerate(bodies):
        if body.path is not None and num_frames > 1:  # MuJoCo takes what is led along for something that stands still
            motion.velocity[:, i] = np.gradient(motion.position[:, i], axis=0) * FPS
    warned = data.warning[mujoco.mjtWarning.mjWARN_BADQACC].number
    motion.sound = not warned and bool(np.isfinite(motion.position).all())
    return motion


def outcome(event: Event, motion: Motion) -> dict[str, Any]:
    """Measure what happened: the claims that captions may make.

    bounces of the main ball, rest (nothing main moves at the end), hit_target, how many targets tipped or moved,
    over_wall, and came_back (it left the way it came, or never got there).
    """
    x, main = motion.position, event.main
    mains = [i for i, body in enumerate(event.bodies) if body.role == "main"] or [main]
    targets = [i for i, body in enumerate(event.bodies) if body.role in ("target", "block")]
    speed = np.linalg.norm(motion.velocity[-1, mains], axis=-1)
    hit = any((min(main, t), max(main, t)) in motion.touches for t in targets)
    upright = motion.rotation[-1, :, 2, 2]
    sank = x[0, :, 2] - x[-1, :, 2]
    tipped = [t for t in targets if event.bodies[t].kind != "ball" and (upright[t] < 0.6 or sank[t] > 0.12)]
    moved = [t for t in targets if np.linalg.norm(x[-1, t] - x[0, t]) > 0.08]
    start, end = x[0, main, 0], x[-1, main, 0]
    return {
        "bounces": _bounces(x[:, main, 2]) if event.bodies[main].kind == "ball" else 0,
        "rest": bool(speed.max() < 0.12),
        "hit_target": hit,
        "tipped": len(tipped),
        "moved": len(moved),
        "targets": len(targets),
        "over_wall": bool(event.claims.get("wall") and abs(end - start) > 1.0),
    }


def _bounces(height: np.ndarray) -> int:
    """Count bounces: low points after which the ball rises by more than 12 cm."""
    going = np.sign(np.diff(height))
    lows = [k for k in range(1, len(going)) if going[k - 1] < 0 < going[k]]
    return sum(bool(height[k] + 0.12 < height[k : k + 14].max()) for k in lows)


def happened_as_claimed(event: Event, motion: Motion) -> bool:
    """Whether what the event is about happened. (A hidden ball that comes back the way it came has no caption.)"""
    if not motion.sound:
        return False
    x, height = motion.position[:, event.main, 0], motion.position[:, event.main, 2]
    if "down" in event.claims:  # stairs, from which nothing should fall sideways
        above = motion.position[height > height[-1] + 0.05, event.main]
        aside = np.abs(above[:, 1]).max(initial=0)
        return bool(height[0] - height[-1] > event.claims["down"] and aside < event.claims["wide"])
    if "stays" in event.claims:
        return bool(abs(x[-1]) < 0.75) if event.claims["stays"] else bool(x[0] * x[-1] < 0 and abs(x[-1]) > 0.75)
    return True
