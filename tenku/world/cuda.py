"""The same ray tracer on an NVIDIA GPU: the functions of shading.py, compiled for CUDA, one thread a pixel.

Needs the package numba-cuda and a driver; nothing is compiled at install time. All frames of a clip go in one launch.
"""

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from tenku.world import shading
from tenku.world.surroundings import Floor, Light, Paint, View

BLOCK = (16, 8, 1)
FAR = 1e6  # where the padding of bites and strokes lies


def numba_cuda() -> Any:
    """The module numba.cuda: imported late, for it looks for a driver, and untyped, for its kernels are no Python."""
    return import_module("numba.cuda")


def pad(rows: list[np.ndarray], columns: int) -> np.ndarray:
    """T x M x columns float32 of arrays of different lengths: filled up with their last row, or with one far away."""
    longest = max(len(r) for r in rows)
    out = np.full((len(rows), longest, columns), FAR, np.float32)
    for k, r in enumerate(rows):
        out[k, : len(r)] = r
        if len(r):
            out[k, len(r) :] = r[-1]
    return out


def views_as_rows(views: list[View]) -> np.ndarray:
    """T x 15 float32: eye, right, up, forward, tangent, time, salt."""
    return np.array([[*v.eye, *v.right, *v.up, *v.forward, v.tangent, v.time, v.salt] for v in views], np.float32)


@cache
def kernels() -> tuple[Any, Any, Any]:
    """(first pass, second pass, mean): compiled at their first call."""
    cuda = numba_cuda()
    add_samples, is_busy = shading.add_samples, shading.is_busy

    @cuda.jit(fastmath=True)
    def first_pass(parts, bodies, bites, stroke, lamps, rows, light, floor_, paint, first, samples, sums):
        x, y, k = cuda.grid(3)
        height, width = sums.shape[1], sums.shape[2]
        if x < width and y < height:
            r = rows[k]
            view = View(
                (r[0], r[1], r[2]), (r[3], r[4], r[5]), (r[6], r[7], r[8]), (r[9], r[10], r[11]), r[12], r[13], r[14]
            )
            scene = (parts[k], bodies[k], bites[k], stroke[k], lamps)
            add_samples(scene, view, light, floor_, paint, width, height, x, y, 0, first, samples, sums[k])

    @cuda.jit(fastmath=True)
    def second_pass(parts, bodies, bites, stroke, lamps, rows, light, floor_, paint, first, samples, sums, more):
        x, y, k = cuda.grid(3)
        height, width = sums.shape[1], sums.shape[2]
        if x < width and y < height and is_busy(sums[k], x, y, height, width, first):
            r = rows[k]
            view = View(
                (r[0], r[1], r[2]), (r[3], r[4], r[5]), (r[6], r[7], r[8]), (r[9], r[10], r[11]), r[12], r[13], r[14]
            )
            scene = (parts[k], bodies[k], bites[k], stroke[k], lamps)
            add_samples(scene, view, light, floor_, paint, width, height, x, y, first, samples, samples, more[k])

    @cuda.jit(fastmath=True)
    def mean(sums, more, picture):
        x, y, k = cuda.grid(3)
        if x < sums.shape[2] and y < sums.shape[1]:
            weight = sums[k, y, x, 5] + more[k, y, x, 5]
            for j in range(3):
                picture[k, y, x, j] = (sums[k, y, x, j] + more[k, y, x, j]) / weight

    return first_pass, second_pass, mean


def draw_frames(
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
) -> np.ndarray:
    """Linear radiance T H W 3 of all frames: what shading.draw_frame gives for each, drawn at once on the GPU."""
    cuda = numba_cuda()
    width, height = size
    frames = len(parts)
    grid = (-(-width // BLOCK[0]), -(-height // BLOCK[1]), frames)
    stay = [cuda.to_device(np.ascontiguousarray(a)) for a in (parts, bodies, pad(bites, 4), pad(strokes, 3), lamps)]
    sums = cuda.to_device(np.zeros((frames, height, width, 6), np.float32))
    more = cuda.to_device(np.zeros((frames, height, width, 6), np.float32))
    picture = cuda.device_array((frames, height, width, 3), np.float32)
    scene = (*stay, cuda.to_device(views_as_rows(views)), light, floor, paint, first, samples)
    first_pass, second_pass, mean = kernels()
    first_pass[grid, BLOCK](*scene, sums)
    second_pass[grid, BLOCK](*scene, sums, more)  # its own sums: neighbours still look at the first ones
    mean[grid, BLOCK](sums, more, picture)
    return picture.copy_to_host()
