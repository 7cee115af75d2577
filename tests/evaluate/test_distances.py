"""PSNR and SSIM against values worked out by hand and by a slow, literal reading of the definition."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tenku.evaluate.distances import evaluate_autoencoder, kernel_distance, psnr, ssim
from tenku.media.writer import write_clip
from tenku.model.autoencoder import Autoencoder, nano
from tenku.model.weights import save_module


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_psnr_of_a_known_difference() -> None:
    a = np.full((4, 16, 16, 3), 100, np.uint8)
    assert psnr(a, a + 1) == pytest.approx(48.1308, abs=1e-4)  # 20 log10 255
    assert psnr(a, a + 51) == pytest.approx(13.9794, abs=1e-4)  # 20 log10 5
    assert psnr(a / 255, (a + 51) / 255) == pytest.approx(13.9794, abs=1e-4)
    assert psnr(a, a) == float("inf")


def test_ssim_of_equal_and_of_constant_pictures() -> None:
    picture = noise((20, 24, 3))
    assert ssim(picture, picture) == pytest.approx(1)
    # Without variance only the luminance term stays: (2ab + c) / (a² + b² + c).
    a, b, c = 0.2, 0.6, 0.01**2
    expected = (2 * a * b + c) / (a * a + b * b + c)
    assert ssim(np.full((12, 12, 3), a), np.full((12, 12, 3), b)) == pytest.approx(expected)


def test_ssim_is_what_the_definition_says() -> None:
    a = noise((13, 12, 2), 1) / 255
    b = np.clip(a + noise((13, 12, 2), 2) / 900, 0, 1)
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for channel in range(2):
        for top in range(3):
            for left in range(2):
                x, y = (p[top : top + 11, left : left + 11, channel] for p in (a, b))
                mx, my = (window * x).sum(), (window * y).sum()
                vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
                cov = (window * (x - mx) * (y - my)).sum()
                top_part = (2 * mx * my + 1e-4) * (2 * cov + 9e-4)
                values.append(top_part / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    assert ssim(a, b) == pytest.approx(np.mean(values))


def test_ssim_is_the_mean_over_frames() -> None:
    a, b = noise((3, 16, 16, 3), 1), noise((3, 16, 16, 3), 2)
    b[1] = a[1]
    assert ssim(a, b) == pytest.approx(np.mean([ssim(a[i], b[i]) for i in range(3)]))
    assert 0.3 < ssim(a, b) < 0.4


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="one shape"):
        psnr(noise((8, 8, 3)), noise((8, 9, 3)))
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(noise((8, 80, 3)), noise((8, 80, 3)))


def test_evaluation_of_an_autoencoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_module(Autoencoder(nano()), nano(), tmp_path / "model" / "autoencoder")
    for index in range(3):
        write_clip(tmp_path / f"{index}.mp4", noise((9, 16, 24, 3), index), 16)
    result = evaluate_autoencoder(tmp_path / "model", tmp_path, limit=2, sheet=tmp_path / "sheet.png")
    assert result["clips"] == 2 and 3 < result["psnr_worst"] <= result["psnr"] < 15
    assert abs(result["psnr_moving"] - result["psnr"]) < 0.5  # all of it moves
    assert (tmp_path / "sheet.png").stat().st_size > 100
    (tmp_path / "calm").mkdir()
    write_clip(tmp_path / "calm" / "0.mp4", np.repeat(noise((1, 16, 24, 3)), 8, axis=0), 16)
    assert evaluate_autoencoder(tmp_path / "model", tmp_path / "calm")["psnr_moving"] is None
    with pytest.raises(ValueError, match="no clips"):
        evaluate_autoencoder(tmp_path / "model", tmp_path / "model")


def test_kernel_distance_tells_sets_apart():
    rng = np.random.default_rng(0)
    a, b, wider, moved = (rng.normal(mean, scale, (80, 6)) for mean, scale in ((0, 1), (0, 1), (0, 2), (1, 1)))
    same = kernel_distance(a, b)
    assert abs(same) < 0.1 * kernel_distance(a, moved) and abs(same) < 0.1 * kernel_distance(a, wider)
    assert kernel_distance(a, moved) == pytest.approx(kernel_distance(moved, a))
    halves = [kernel_distance(a[k::4], b[k::4]) for k in range(4)]
    assert abs(np.mean(halves)) < 0.1 * kernel_distance(a, moved)  # few clips do not look farther apart
    assert kernel_distance(a, a) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="at least 2"):
        kernel_distance(a[:1], b[:1])
