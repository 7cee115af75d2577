"""Render an event: pack its solids, camera and lights into arrays, trace rays, tone-map the radiance."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tenku.world import shading, solids, surroundings
from tenku.world.appearance import BACKDROPS, FLOORS, LIGHTS, Look
from tenku.world.camera import Pose, tangents
from tenku.world.physics import Motion
from tenku.world.scene import FPS, RGB, SAMPLES, Event, Part, matrix

SHUTTER = 0.35  # share of a frame's time during which the film is exposed
F4 = np.float32
FIRST = 4  # samples a pixel everywhere, up to SAMPLES where the picture is busy


@dataclass
class Filmed:
    """A simulated event with its camera poses and its surroundings: all that rendering needs."""

    event: Event
    motion: Motion
    look: Look
    poses: list[Pose]


def bounding_radius(part: Part) -> float:
    """Radius of a sphere about a part's centre that holds it."""
    size = part.size
    if part.shape == solids.BOX:
        return float(np.linalg.norm(size))
    if part.shape in (solids.CYLINDER, solids.CONE):
        return float(np.hypot(size[0], size[1]))
    if part.shape in (solids.CAPSULE, solids.TORUS):
        return float(size[0] + size[1])
    return float(max(size))


def _row(part: Part) -> np.ndarray:
    """A part as a row of the ray tracer's array: what does not change from frame to frame, PART_COLUMNS float32."""
    row = np.zeros(solids.PART_COLUMNS, F4)
    row[solids.SHAPE] = part.shape
    row[solids.PATTERN : solids.CANVAS + 1] = (
        *(part.pattern, part.roughness, part.metal, part.glow, part.edible, part.canvas),
    )
    row[solids.RADIUS] = bounding_radius(part) * 1.001
    row[solids.SIZE : solids.SIZE + len(part.size)] = part.size
    row[solids.COLOR : solids.COLOR + 3], row[solids.COLOR2 : solids.COLOR2 + 3] = part.color, part.color2
    return row


def pack_solids(filmed: Filmed) -> tuple[np.ndarray, np.ndarray]:
    """Pack an event into the ray tracer's arrays (solids.py): parts T N 32 and bodies T B 6, float32."""
    event, motion, tubes = filmed.event, filmed.motion, filmed.look.tubes
    frames = len(motion.position)
    count = sum(len(body.parts) for body in event.bodies) + len(tubes)
    parts = np.zeros((frames, count, solids.PART_COLUMNS), F4)
    bodies = np.zeros((frames, len(event.bodies) + len(tubes), 6), F4)
    k = 0
    for i, body in enumerate(event.bodies):
        first = k
        for part in body.parts:
            at = motion.position[:, i] + motion.rotation[:, i] @ np.asarray(part.position, float)
            axes = motion.rotation[:, i] @ matrix(np.asarray(part.rotation, float))
            parts[:, k] = _row(part)
            parts[:, k, solids.POSITION : solids.POSITION + 3] = at
            parts[:, k, solids.ROTATION : solids.ROTATION + 9] = axes.reshape(frames, 9)
            parts[1:, k, solids.MOTION : solids.MOTION + 3] = (at[1:] - at[:-1]) * SHUTTER
            k += 1
        bodies[:, i] = _bounding_spheres(parts[:, first:k], first, k)
    for j, tube in enumerate(tubes):
        parts[:, k] = _row(tube.part)
        parts[:, k, solids.POSITION : solids.POSITION + 3] = tube.position
        parts[:, k, solids.ROTATION : solids.ROTATION + 9] = tube.rotation.reshape(9)
        bodies[:, len(event.bodies) + j] = _bounding_spheres(parts[:, k : k + 1], k, k + 1)
        k += 1
    return parts, bodies


def _bounding_spheres(parts: np.ndarray, first: int, last: int) -> np.ndarray:
    """Bounding sphere of T x n parts at each frame, their motion blur included: rows T x 6 of `bodies`."""
    at, radius = parts[..., solids.POSITION : solids.POSITION + 3], parts[..., solids.RADIUS]
    center = ((at - radius[..., None]).min(1) + (at + radius[..., None]).max(1)) / 2
    blur = np.linalg.norm(parts[..., solids.MOTION : solids.MOTION + 3], axis=-1)
    reach = (np.linalg.norm(at - center[:, None], axis=-1) + radius + blur).max(1)
    return np.concatenate([center, reach[:, None], np.full((len(parts), 2), (first, last))], axis=1)


def _v(values: object) -> tuple[np.float32, np.float32, np.float32]:
    a, b, c = np.asarray(values, F4)
    return a, b, c


def pack_surroundings(look: Look) -> tuple[surroundings.Light, surroundings.Floor, np.ndarray]:
    """Convert a look for the ray tracer: light and floor in float32, lamps L x 10 (start, end, radiance, size)."""
    light, ground = LIGHTS[look.light], FLOORS[look.floor]
    zenith, horizon = light.zenith, light.horizon
    if look.backdrop:
        horizon = BACKDROPS[look.backdrop]
        zenith = (horizon[0] * 0.85, horizon[1] * 0.85, horizon[2] * 0.85)
    a, e = np.radians(look.sun_azimuth), np.radians(look.sun_elevation)
    sun = (np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e))
    sky = _v(zenith), _v(horizon), light.sky, F4(light.ambient), F4(light.fog)
    packed_light = surroundings.Light(_v(sun), F4(light.sun_size), _v(light.sun), *sky)
    water = F4(ground.wet), F4(ground.puddle), F4(ground.scale), F4(0.8 if ground.puddle else 0)
    colors = _v(look.floor_color), _v(ground.color2)
    packed_floor = surroundings.Floor(ground.kind, *colors, F4(ground.roughness), *water)
    lamps = np.array([(*lamp.start, *lamp.end, *lamp.radiance, lamp.size) for lamp in look.lamps], F4)
    return packed_light, packed_floor, lamps.reshape(-1, 10)


def render(
    filmed: Filmed, size: tuple[int, int], samples: int = SAMPLES, frames: list[int] | None = None, device: str = "cpu"
) -> np.ndarray:
    """Render frames of an event: uint8 T H W 3.

    size: (width, height); samples: rays a pixel at most; frames: their numbers, None for all; device: cpu or cuda.
    """
    width, height = size
    event, look, stroke = filmed.event, filmed.look, filmed.event.stroke
    chosen = list(range(len(filmed.poses))) if frames is None else frames
    parts, bodies = pack_solids(filmed)
    light, floor, lamps = pack_surroundings(look)
    paint = surroundings.Paint(F4(stroke.radius if stroke else 0), _v(RGB[stroke.color] if stroke else (0, 0, 0)))
    _, tangent = tangents(width / height)
    views, bites, strokes = [], [], []
    for frame in chosen:
        pose = filmed.poses[frame]
        axes = _v(pose.eye), _v(pose.right), _v(pose.up), _v(pose.forward)
        views.append(surroundings.View(*axes, F4(tangent), F4(frame / FPS), F4(look.salt)))
        bites.append(np.array([(*b.center, b.radius) for b in event.bites if frame >= b.frame], F4).reshape(-1, 4))
        line = stroke.points(frame, filmed.motion.position) if stroke else np.zeros((0, 3))
        strokes.append(np.ascontiguousarray(line, F4).reshape(-1, 3))
    if device == "cuda":
        from tenku.world.cuda import render_frames

        solids = parts[chosen], bodies[chosen], bites, strokes, lamps
        drawn = render_frames(*solids, views, light, floor, paint, FIRST, samples, size)
        return develop(drawn, LIGHTS[look.light].exposure).cpu().numpy()
    radiance = np.zeros((len(chosen), height, width, 3), F4)
    sums = np.zeros((height, width, 6), F4)
    for k, frame in enumerate(chosen):
        scene = (parts[frame], bodies[frame], bites[k], strokes[k], lamps)
        shading.render_frame(scene, views[k], light, floor, paint, FIRST, samples, sums, radiance[k])
    return develop(radiance, LIGHTS[look.light].exposure)


def develop(radiance: Any, exposure: float) -> Any:
    """Tone-map: bloom around what is too bright, more saturation, a filmic curve (Narkowicz' fit of ACES), gamma 2.2.

    Takes linear radiance T H W 3, gives uint8: a NumPy array, or a torch tensor, on its own device.
    """
    height, width = radiance.shape[1:3]
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    squared = ((fy**2 + fx**2) * (min(height, width) / 128) ** 2)[None, :, :, None]
    blur: Any = sum(weight * np.exp(-2 * np.pi**2 * sigma**2 * squared) for sigma, weight in ((2.0, 0.22), (7.0, 0.2)))
    fft: Any = np.fft
    if not isinstance(radiance, np.ndarray):
        import torch

        blur, fft = torch.from_numpy(blur).to(radiance), torch.fft
    spectrum = fft.rfft2((radiance - 0.9).clip(0), None, (1, 2))
    x = (radiance + fft.irfft2(spectrum * blur, (height, width), (1, 2))) * exposure
    grey = x.mean(-1, keepdims=True)
    x = (grey + (x - grey) * 1.18).clip(0)
    x = (x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14)).clip(0, 1)
    x = x ** (1 / 2.2) * 255 + 0.5
    return x.astype(np.uint8) if isinstance(x, np.ndarray) else x.byte()
