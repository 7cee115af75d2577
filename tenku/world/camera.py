"""Camera poses: where the camera stands, how it moves, and whether the subject stays in view."""

from dataclasses import dataclass

import numpy as np

from tenku.world.physics import Motion
from tenku.world.scene import Event, Vector, vec
from tenku.world.things import pick

Rng = np.random.Generator
TANGENT = float(np.tan(np.radians(21)))  # of half the angle of view, over the shorter side of the picture
MOVES = {
    "static": 0.3, "orbit_left": 0.12, "orbit_right": 0.12, "push_in": 0.11, "pull_out": 0.08,
    "pan_left": 0.06, "pan_right": 0.06, "rise": 0.07, "track": 0.08,
}  # fmt: skip


@dataclass
class Pose:
    """A camera pose: position in metres and unit axes right, up and forward."""

    eye: Vector
    right: Vector
    up: Vector
    forward: Vector


@dataclass
class Subject:
    """The points that should be in view: P x 3 with radii, and which of them count."""

    points: np.ndarray
    radii: np.ndarray
    counts: np.ndarray
    middle: Vector


def cross(a: Vector, b: Vector) -> Vector:
    """Cross product of two vectors: np.cross for single ones, ten times as fast."""
    return vec(a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def look_at(eye: Vector, target: Vector) -> Pose:
    forward = target - eye
    forward = forward / np.linalg.norm(forward)
    right = cross(forward, vec(0, 0, 1))
    right = right / np.linalg.norm(right)
    return Pose(eye, right, cross(right, forward), forward)


def _subject(event: Event, motion: Motion) -> Subject:
    points, radii, counts = [], [], []
    for i, body in enumerate(event.bodies):
        at = motion.position[::4, i]
        reach = float(max(np.linalg.norm(p.position) + max(p.size) for p in body.parts))
        if body.joint == "hinge":
            at = np.concatenate([at + motion.rotation[::4, i] @ np.asarray(body.parts[0].position), at])
            reach = 0.25
        at = at[(np.abs(at[:, :2]) < 1.45).all(1) & (at[:, 2] < 2.2)]
        prop = body.role == "prop"
        points.append(at)
        radii += [min(reach, 0.45 if prop else 0.75)] * len(at)
        counts += [not prop] * len(at)
    p, r, c = np.concatenate(points), np.array(radii)[:, None], np.array(counts)
    if not c.any():
        c[:] = True
    low, high = (p - r)[c].min(0), (p + r)[c].max(0)
    low[2] = max(low[2], 0)
    return Subject(p, r, c, (low + high) / 2)


@dataclass
class Camera:
    """A camera move around `target`, from an azimuth and an elevation in degrees at `distance` metres."""

    move: str
    target: Vector
    azimuth: float
    elevation: float
    swing: float
    distance: float = 2.0

    def pose(self, frame: int, num_frames: int, motion: Motion, main: int) -> Pose:
        u = frame / max(num_frames - 1, 1)
        ease = u * u * (3 - 2 * u)
        azimuth, elevation, distance, target = self.azimuth, self.elevation, self.distance, self.target
        sign = 1 if self.move.endswith("left") else -1
        if self.move.startswith("orbit"):
            azimuth += sign * (ease - 0.5) * -self.swing
        elif self.move == "push_in":
            distance *= 1.3 - 0.48 * ease
        elif self.move == "pull_out":
            distance *= 0.82 + 0.48 * ease
        elif self.move == "rise":
            elevation = elevation * 0.5 + ease * 26
        a, e = np.radians(azimuth), np.radians(elevation)
        eye = target + distance * vec(np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e))
        eye[2] = max(eye[2], 0.12)
        if self.move.startswith("pan"):
            target = target + vec(-np.sin(a), np.cos(a), 0) * (ease - 0.5) * sign * -0.34 * distance
        if self.move == "track":
            near = motion.position[max(0, frame - 6) : frame + 7, main].mean(0)
            target = target * 0.45 + np.clip(near, -3, 3) * 0.55
            eye = eye + (target - self.target) * 0.8
        return look_at(eye, target)

    def is_framed(self, pose: Pose, subject: Subject, share: float) -> bool:
        """Whether a share of the points that count is within the picture."""
        q = subject.points - pose.eye
        reach = TANGENT * 0.95 * np.maximum(q @ pose.forward, 0.1)
        margin = subject.radii[:, 0] * 0.8
        inside = (np.abs(q @ pose.right) + margin < reach) & (np.abs(q @ pose.up) + margin < reach)
        return bool(inside[subject.counts].mean() > share)


def choose_camera(rng: Rng, event: Event, motion: Motion) -> tuple[Camera, list[Pose]]:
    """Choose a camera move and step back until the subject is in view: the camera, and its pose at every frame."""
    shot, num_frames = event.shot, len(motion.position)
    move = pick(rng, shot.moves) if shot.moves else pick(rng, list(MOVES), list(MOVES.values()))
    azimuth = shot.azimuth if shot.azimuth is not None else -90 + rng.uniform(-35, 35)
    elevation = shot.elevation if shot.elevation is not None else rng.uniform(6, 21)
    subject = _subject(event, motion)
    target = shot.target if shot.target is not None else subject.middle
    camera = Camera(move, target, float(azimuth), float(elevation), shot.swing, shot.distance or 2.0)
    share = 0.7 if move.startswith("pan") else 0.93
    farthest = 3.2 if move == "track" else 4.3
    checks = (0, num_frames // 2, num_frames - 1)
    while shot.distance is None and camera.distance < farthest:
        if all(camera.is_framed(camera.pose(f, num_frames, motion, event.main), subject, share) for f in checks):
            break
        camera.distance += 0.12
    return camera, [camera.pose(f, num_frames, motion, event.main) for f in range(num_frames)]


def in_view(event: Event, motion: Motion, poses: list[Pose], aspect: float) -> np.ndarray:
    """Whether the centre of the main body is in the picture (width / height = `aspect`), for each frame: bool T."""
    i = event.main
    wide, tall = tangents(aspect)
    inside = []
    for frame, pose in enumerate(poses):
        at = motion.position[frame, i] + motion.rotation[frame, i] @ np.asarray(event.bodies[i].parts[0].position)
        q = at - pose.eye
        depth = q @ pose.forward
        inside.append(depth > 0 and abs(q @ pose.right) < wide * depth and abs(q @ pose.up) < tall * depth)
    return np.array(inside)


def tangents(aspect: float) -> tuple[float, float]:
    """Tangents of half the field of view, across and up: the shorter side always sees 42 degrees."""
    return TANGENT * max(aspect, 1.0), TANGENT * max(1 / aspect, 1.0)
