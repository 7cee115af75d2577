"""Make a clip of the miniature world from a seed: frames, captions and ground truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tenku.world import captions
from tenku.world.appearance import FLOORS, Look, choose_floor, choose_light, choose_look
from tenku.world.camera import Camera, choose_camera, in_view
from tenku.world.events import EVENTS
from tenku.world.physics import happened_as_claimed, outcome, simulate
from tenku.world.render import Filmed, render
from tenku.world.scene import FPS, SAMPLES, Event
from tenku.world.splits import events_of, fits, stream_of
from tenku.world.things import pick

ATTEMPTS = 200
# Some events are dull when nothing is hit: keep only some of those misses.
HITTING = ("tower", "pyramid", "domino", "collide")


def make_clip(
    seed: int,
    size: tuple[int, int] = (128, 128),
    num_frames: int = 48,
    split: str = "train",
    samples: int = SAMPLES,
    device: str = "cpu",
    events: Sequence[str] = (),
) -> tuple[np.ndarray, dict[str, Any]]:
    """Simulate, film and render the clip of a seed, with ground truth.

    Returns frames, uint8 T H W 3 at 16 frames a second, and `truth`, JSON-serializable: description, captions,
    states of every body, contacts and camera. `size` is (width, height), each a multiple of 8 from 16 to 2048. The
    physics does not depend on the size, but clips whose subject leaves the picture are drawn anew, so that another
    aspect may show another clip. Splits differ in their random streams; `combinations` shows only pairs
    (colour x event, kind x event) that the others never do. `device` is "cpu" or "cuda" (with the package numba-cuda).
    `events` names those that may happen; without any, all of them may that last as long.
    """
    check_clip(size, num_frames, split, device, events)
    if seed < 0:
        raise ValueError(f"a seed is a whole number from 0, not {seed}")
    # At least the full three seconds are simulated, so that short clips show the beginning of the same event.
    filmed, camera, measured = _compose(seed, size[0] / size[1], max(num_frames, 48), split, events)
    frames = render(filmed, size, samples, list(range(num_frames)), device)
    return frames, _truth(seed, split, size, num_frames, filmed, camera, measured)


def check_clip(size: tuple[int, int], num_frames: int, split: str, device: str, events: Sequence[str]) -> None:
    """Check the settings of clips: ValueError when none can be drawn with them, whatever the seed."""
    width, height = size
    if any(not 16 <= side <= 2048 or side % 8 for side in size):
        raise ValueError(f"a clip's sides are multiples of 8 from 16 to 2048, not {width}x{height}")
    if not 1 <= num_frames <= 960:
        raise ValueError(f"a clip has 1 to 960 frames, not {num_frames}")
    if device not in ("cpu", "cuda"):
        raise ValueError(f"clips are drawn on cpu or cuda, not {device!r}")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ValueError("clips cannot be drawn on cuda here: torch finds no NVIDIA GPU")
    stream_of(split)
    events_of(split, events, num_frames)


def _compose(
    seed: int, aspect: float, num_frames: int, split: str, events: Sequence[str] = ()
) -> tuple[Filmed, Camera, dict[str, Any]]:
    """Draw events until one can be filmed: it happens as claimed, belongs to the split, and stays in view."""
    rng = np.random.default_rng([stream_of(split), seed])
    names = events_of(split, events, num_frames)
    name = pick(rng, names, [EVENTS[n][1] for n in names])
    light = choose_light(rng)
    floor = choose_floor(rng, light)
    for _ in range(ATTEMPTS):
        event = EVENTS[name][0](rng)
        event.claims["event"] = name
        if not fits(split, name, event):
            continue
        if FLOORS[floor].soft:
            for body in event.bodies:
                body.bounce *= 0.55
        motion = simulate(event, FLOORS[floor].grip, num_frames)
        measured = outcome(event, motion)
        if not happened_as_claimed(event, motion):
            continue
        if name in HITTING and not measured["hit_target"] and rng.random() > 0.15:
            continue
        camera, poses = choose_camera(rng, event, motion)
        if not stays_in_view(in_view(event, motion, poses, aspect)):
            continue
        look = choose_look(rng, floor, light, camera.azimuth)
        return Filmed(event, motion, look, poses), camera, measured
    raise ValueError(f"no {name} of {num_frames} frames keeps in view (seed {seed}): ask for fewer frames")


def stays_in_view(inside: np.ndarray) -> bool:
    """Whether the subject is there for most of the first half, and has not left for good by half time."""
    half = len(inside) // 2
    return bool(inside[:half].mean() >= 0.5 and inside[half - 2 :].any())


def describe(event: Event, look: Look, camera: str, measured: dict[str, Any]) -> dict[str, Any]:
    """The description of a clip that captions are written from, JSON-serializable."""
    claims = event.claims
    return {
        "event": claims["event"],
        "floor": look.floor,
        "light": look.light,
        "backdrop": look.backdrop,
        "neon": look.neon,
        "camera": camera,
        "direction": event.direction,
        "objects": [body.describe() for body in event.bodies],
        "count": claims.get("count"),
        **{key: bool(claims.get(key)) for key in ("wall", "tree")},
        **{key: claims.get(key) for key in ("behind", "paint", "stroke")},
        **{key: bool(claims.get(key)) for key in ("stays", "reveal", "same_color")},
        "outcome": measured,
    }


def _truth(
    seed: int,
    split: str,
    size: tuple[int, int],
    num_frames: int,
    filmed: Filmed,
    camera: Camera,
    measured: dict[str, Any],
) -> dict[str, Any]:
    description = describe(filmed.event, filmed.look, camera.move, measured)
    words = np.random.default_rng([stream_of(split), seed, 1])
    motion, t = filmed.motion, slice(num_frames)
    return {
        "seed": seed,
        "split": split,
        "size": list(size),
        "num_frames": num_frames,
        "fps": FPS,
        "description": description,
        "captions": captions.write_all(description, words),
        "states": {name: _rounded(getattr(motion, name)[t]) for name in ("position", "rotation", "velocity", "spin")},
        "contacts": [[list(pair) for pair in pairs] for pairs in motion.contacts[t]],
        "touches": [[*pair, times] for pair, times in sorted(motion.touches.items())],
        "camera": {
            name: _rounded(np.stack([getattr(pose, name) for pose in filmed.poses[t]]))
            for name in ("eye", "right", "up", "forward")
        },
    }


def _rounded(values: np.ndarray) -> list[Any]:
    return np.round(values, 4).tolist()
