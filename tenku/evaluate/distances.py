"""PSNR and SSIM of pictures, both for an autoencoder on held-out clips, and the kernel video distance of sets of clips.

Arrays are uint8 (0 to 255) or floats in [0, 1], of shape H W C or T H W C.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from tenku.loading import find
from tenku.media.reader import read_video
from tenku.media.sheet import contact_sheet
from tenku.media.writer import write_png
from tenku.model.autoencoder import load_autoencoder, to_frames, to_video
from tenku.model.precision import autocast
from tenku.system.device import choose_device
from tenku.train.reconstruction import moving

SIGMA = 1.5
RADIUS = 5  # a window of 11 pixels
STABILITY = (0.01**2, 0.03**2)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over all values together; infinite for equal arrays."""
    a, b = _as_floats(a, b)
    error = float(np.mean((a - b) ** 2))
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11, sigma 1.5, without the border.

    The mean over frames and colour channels, each by itself. ValueError for pictures smaller than the window.
    """
    a, b = _as_floats(a, b)
    if a.ndim == 3:
        a, b = a[None], b[None]
    if min(a.shape[1:3]) < 2 * RADIUS + 1:
        raise ValueError(f"ssim needs at least {2 * RADIUS + 1} pixels a side, got {a.shape[2]}x{a.shape[1]}")
    return float(np.mean([_ssim_of_frame(x, y) for x, y in zip(a, b, strict=True)]))


def _ssim_of_frame(a: np.ndarray, b: np.ndarray) -> float:
    low, high = STABILITY
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a = _blur(a * a) - mean_a**2
    variance_b = _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + low) / (mean_a**2 + mean_b**2 + low)
    structure = (2 * covariance + high) / (variance_a + variance_b + high)
    return float(np.mean(luminance * structure))


def _blur(picture: np.ndarray) -> np.ndarray:
    """Gaussian mean of H W C around every pixel whose window lies inside."""
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        length = picture.shape[axis] - 2 * RADIUS
        slices = [np.take(picture, range(start, start + length), axis) for start in range(len(weights))]
        picture = sum(weight * part for weight, part in zip(weights, slices, strict=True))  # type: ignore[assignment]
    return picture


def _as_floats(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if a.shape != b.shape:
        raise ValueError(f"only pictures of one shape can be compared, got {a.shape} and {b.shape}")
    if a.ndim not in (3, 4) or not a.size:
        raise ValueError(f"pictures must be H W C or T H W C, got {a.shape}")
    first, second = (x / 255.0 if x.dtype == np.uint8 else x.astype(np.float64) for x in (a, b))
    return first, second


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared maximum mean discrepancy of two sets of features, both N D, by a cubic polynomial kernel.

    Without bias for few clips, where Fréchet's distance depends on their number; around 0 for sets of one kind, even
    below it (Kernel Video Distance of Unterthiner et al. 1812.01717, after Bińkowski et al. 1801.01401). Rows of the
    same number may belong together, as clips of one caption do: only others are compared. ValueError for fewer than 2.
    """
    if len(a) < 2 or a.shape != b.shape:
        raise ValueError(f"two sets of equally many vectors, at least 2, are needed, got {a.shape} and {b.shape}")

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        """The mean over pairs of different numbers."""
        values = (x.astype(np.float64) @ y.T / x.shape[1] + 1) ** 3
        return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))

    return kernel(a, a) + kernel(b, b) - 2 * kernel(a, b)


def round_trip(model: str | Path) -> Callable[[np.ndarray], np.ndarray]:
    """Load an autoencoder: a function that encodes and decodes frames, uint8 T H W 3, in whole groups of frames."""
    device = choose_device()
    autoencoder = load_autoencoder(find(model)).to(device)
    group = autoencoder.temporal_compression

    @torch.inference_mode()
    def through(frames: np.ndarray) -> np.ndarray:
        whole = max(1, len(frames) // group * group) if len(frames) >= group else 1
        latents = autoencoder.encode(to_video(frames[:whole], device))
        return to_frames(autoencoder.decode(latents)[:, :, :whole])

    return through


def evaluate_autoencoder(
    folder: str | Path,
    clips: str | Path | Sequence[Path],
    limit: int = 64,
    sheet: str | Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, float | None]:
    """Reconstruct whole clips: {"clips", "psnr", "psnr_worst", "psnr_moving", "ssim", "encode_seconds",
    "decode_seconds"}.

    folder: of a model or of its autoencoder. clips: a folder of mp4 files or their paths. psnr and ssim are means over
    clips, seconds are of the fastest clip; psnr_moving is over all places where something moves
    (`train.reconstruction.moving`), None without such. With `sheet` a png shows clips above what came back.
    ValueError without clips.
    """
    paths = sorted(Path(clips).glob("*.mp4")) if isinstance(clips, str | Path) else list(clips)
    if not paths:
        raise ValueError(f"there are no clips (*.mp4) in {clips}")
    paths = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, min(limit, len(paths))).astype(int))]
    device = choose_device()
    autoencoder = load_autoencoder(folder).to(device)
    group = autoencoder.temporal_compression
    rows: list[tuple[float, float, float, float]] = []
    moved = [[np.empty((0, 3), np.uint8)] for _ in range(2)]  # pixels where something moves, and what came back of them
    shown: list[np.ndarray] = []
    for index, path in enumerate(paths):
        frames = read_video(path)[0]
        frames = frames[: max(1, len(frames) // group * group)]
        video = to_video(frames, device)
        with torch.inference_mode(), autocast(device):
            start = time.perf_counter()
            latents = autoencoder.encode(video)
            encoded = time.perf_counter()
            decoded = autoencoder.decode(latents)[:, :, : len(frames)].float().cpu()
            end = time.perf_counter()
        pixels = to_frames(decoded)
        if len(frames) > 1:
            moves = (moving(video)[0, 0] == 1).cpu().numpy()
            for side, values in zip(moved, (frames, pixels), strict=True):
                side.append(values[moves])
        rows.append((psnr(frames, pixels), ssim(frames, pixels), encoded - start, end - encoded))
        if len(shown) < 24:
            shown += [frames, pixels]
        if on_progress is not None:
            on_progress(index + 1, len(paths))
    if sheet is not None:
        write_png(sheet, contact_sheet(shown))
    table = np.array(rows)
    true, back = (np.concatenate(side)[None] for side in moved)  # 1 N 3
    return {
        "clips": len(rows),
        "psnr": round(float(table[:, 0].mean()), 2),
        "psnr_worst": round(float(table[:, 0].min()), 2),
        "psnr_moving": round(psnr(true, back), 2) if true.size else None,
        "ssim": round(float(table[:, 1].mean()), 4),
        "encode_seconds": round(float(table[:, 2].min()), 3),
        "decode_seconds": round(float(table[:, 3].min()), 3),
    }
