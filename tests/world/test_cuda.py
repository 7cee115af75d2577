"""Clips drawn on a GPU: what can be checked without one, and, where there is one, that its pictures are the same."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from tenku.world.clip import _compose, make_clip
from tenku.world.cuda import FAR, pad
from tenku.world.render import develop, render

# Numba's simulator runs a kernel as plain Python, one thread a pixel.
SIMULATED = """
import sys, numpy, torch
from tenku.world import clip, cuda, render
cuda.DEVICE, cuda.cuda.as_cuda_array = "cpu", torch.Tensor.numpy
filmed = clip._compose(0, 1.0, 48, "train")[0]
numpy.save(sys.argv[1], render.render(filmed, (16, 16), 8, [20], "cuda"))
"""


def test_what_the_gpu_gets_is_padded_without_a_trace():
    rows = [np.zeros((0, 3), np.float32), np.ones((1, 3), np.float32), np.arange(6, dtype=np.float32).reshape(2, 3)]
    padded = pad(rows, 3)
    assert padded.shape == (3, 2, 3)
    assert (padded[0] == FAR).all() and (padded[1] == 1).all() and np.array_equal(padded[2], rows[2])
    assert pad(rows[:1], 3).shape == (1, 1, 3)


def test_a_tensor_is_developed_like_an_array():
    radiance = np.random.default_rng(0).random((2, 32, 48, 3), np.float32) ** 4 * 3
    developed = develop(torch.from_numpy(radiance), 1.1)
    assert developed.dtype == torch.uint8
    assert np.abs(developed.numpy().astype(int) - develop(radiance, 1.1)).max() <= 1


def test_the_kernel_in_the_simulator_draws_what_the_cpu_draws(tmp_path):
    path = tmp_path / "picture.npy"
    simulator = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", SIMULATED, path], env=simulator, check=True)
    expected = render(_compose(0, 1.0, 48, "train")[0], (16, 16), 8, [20])
    assert np.abs(np.load(path).astype(int) - expected).mean() < 0.1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("seed", range(8))
def test_the_gpu_draws_what_the_cpu_draws(seed):
    pytest.importorskip("numba_cuda")
    cpu, truth = make_clip(seed, (64, 64), 8)
    gpu, same_truth = make_clip(seed, (64, 64), 8, device="cuda")
    assert gpu.dtype == np.uint8 and same_truth == truth
    assert np.abs(gpu.astype(int) - cpu).mean() < 1.5
    assert np.array_equal(gpu, make_clip(seed, (64, 64), 8, device="cuda")[0])
