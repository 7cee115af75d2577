"""The ray tracer on an NVIDIA GPU: the functions of shading.py, compiled for CUDA, one thread a pixel.

Needs the package numba-cuda and a driver; nothing is compiled at install time. All frames of a clip go in one launch.
Memory is torch's: it and Numba share the GPU's context and its default stream, so that the picture can be developed
where it was drawn.
"""

from importlib import import_module
from typing import Any

import numpy as np
import torch

from tenku.world.shading import add_samples, needs_more_samples
from tenku.world.surroundings import Floor, Light, Paint, View

cuda: Any = import_module("numba.cuda")  # untyped: its kernels are no Python

DEVICE = "cuda"
BLOCK = (8, 8, 1)  # small squares: neighbouring rays meet the same things
FAR = 1e6  # where the padding of bites and strokes lies


def pad(rows: list[np.ndarray], columns: int) -> np.ndarray:
    """Pad arrays of different lengths to T x M x columns float32, with their last row or with one far away.

    M is at least 1: an empty array has no address on the GPU.
    """
    longest = max(1, *(len(r) for r in rows))
    out = np.full((len(rows), longest, columns), FAR, np.float32)
    for k, r in enumerate(rows):
        out[k, : len(r)] = r
        if len(r):
            out[k, len(r) :] = r[-1]
    return out


def views_as_rows(views: list[View]) -> np.ndarray:
    """Camera views as T x 15 float32: eye, right, up, forward, tangent, time, salt."""
    return np.array([[*v.eye, *v.right, *v.up, *v.forward, v.tangent, v.time, v.salt] for v in views], np.float32)


def upload(arrays: list[np.ndarray]) -> list[Any]:
    """Copy float32 arrays to the GPU, all at once."""
    together = torch.from_numpy(np.concatenate([a.ravel() for a in arrays])).to(DEVICE)
    pieces = together.split([a.size for a in arrays])
    return [cuda.as_cuda_array(piece.view(a.shape)) for piece, a in zip(pieces, arrays, strict=True)]


@cuda.jit(fastmath=True, cache=True)
def add_pass(
    parts, bodies, bites, strokes, lamps, rows, count, light, floor_, paint, first, last, samples, before, sums
):  # fmt: skip
    """Kernel: add samples first..last to the sums of all pixels, or, after the first ones, where `before` is busy.

    `rows` are the views, `count` says how many rows of `lamps` are lamps.
    """
    x, y, k = cuda.grid(3)
    height, width = sums.shape[1], sums.shape[2]
    if x < width and y < height and (first == 0 or needs_more_samples(before[k], x, y, height, width, first)):
        r = rows[k]
        view = View(
            (r[0], r[1], r[2]), (r[3], r[4], r[5]), (r[6], r[7], r[8]), (r[9], r[10], r[11]), r[12], r[13], r[14]
        )
        scene = (parts[k], bodies[k], bites[k], strokes[k], lamps[:count])
        add_samples(scene, view, light, floor_, paint, width, height, x, y, first, last, samples, sums[k])


def render_frames(
    parts: np.ndarray,
    bodies: np.ndarray,
    bites: list[np.ndarray],
    strokes: list[np.ndarray],
    lamps: np.ndarray,
    views: list[View],
    light: Light,
    floor: Floor,
    paint: Paint,
    first: int,
    samples: int,
    size: tuple[int, int],
) -> torch.Tensor:
    """Render all frames at once on the GPU: linear radiance T H W 3, as shading.render_frame gives for each."""
    width, height = size
    frames = len(parts)
    grid = (-(-width // BLOCK[0]), -(-height // BLOCK[1]), frames)
    arrays = [parts, bodies, pad(bites, 4), pad(strokes, 3), pad([lamps], 10)[0], views_as_rows(views)]
    scene = (*upload(arrays), len(lamps), light, floor, paint)
    sums = torch.zeros((frames, height, width, 6), device=DEVICE)
    more = torch.zeros_like(sums)  # its own sums: neighbours still look at the first ones
    first_sums, more_sums = cuda.as_cuda_array(sums), cuda.as_cuda_array(more)
    add_pass[grid, BLOCK](*scene, 0, first, samples, first_sums, first_sums)
    add_pass[grid, BLOCK](*scene, first, samples, samples, first_sums, more_sums)
    sums += more
    return sums[..., :3] / sums[..., 5:]
