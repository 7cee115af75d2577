"""The reconstruction loss of the autoencoder: L1, MSE, edges, SSIM, flicker, coarse error and KL."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tenku.train.motion import either_side

SSIM_WINDOW = 7
MOVES = 0.2  # of values in [-1, 1]: a pixel that changes so much from one frame to the next counts as moving
AROUND = 5  # pixels


def loss_parts(
    decoded: Tensor,
    video: Tensor,
    decoded_small: Tensor,
    mean: Tensor,
    log_variance: Tensor,
    looked_at: int = 0,
    motion: float = 0.0,
) -> Tensor:
    """Absolute error, squared error, edges, structure, flicker, coarse error, KL; and the squared error for the log.

    The first five count errors where something moves 1 + motion times, and are scaled so that they stay as large; the
    last is plain. Edges and structure are looked at in one frame of each group of 4: in all, they would cost as much as
    the network.
    """
    difference = decoded - video
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    x, y = (frames[:, :, looked_at::4].transpose(1, 2).flatten(0, 1) for frames in (decoded, video))  # (B T/4) 3 H W
    coarse = (decoded_small - halve(video)).abs()
    meets = torch.arange(video.shape[2] - 1, device=video.device) % 4 == 3  # two groups, each encoded by itself
    flicker = difference.diff(dim=2).abs() * (1 + 4 * meets)[:, None, None]
    weights = 1 + motion * moving(video) if motion else torch.ones_like(video[:, :1])
    weights = weights / weights.mean()  # B 1 T H W, 1 on average
    seen = weights[:, :, looked_at::4].transpose(1, 2).flatten(0, 1)  # (B T/4) 1 H W
    parts = [
        weights * difference.abs(),
        weights * difference.square(),
        edges(seen * (x - y)),
        F.avg_pool2d(seen, SSIM_WINDOW, stride=2) * (1 - similarity(x, y)),
        weights[:, :, 1:] * flicker,
        coarse,
        kl,
        difference.detach().square(),
    ]
    return torch.stack([part.mean() for part in parts])


def moving(video: Tensor) -> Tensor:
    """B 1 T H W in [0, 1]: how much the surroundings of each pixel of B C T H W in [-1, 1] change from frame to frame.

    The same for all frames of a group, which share their latents: where a thing was a moment ago, its ghost may stay.
    """
    change = either_side(video.diff(dim=2).abs().mean(1))  # B T H W
    change = F.max_pool2d(change.unflatten(1, (-1, 4)).amax(2), AROUND, stride=1, padding=AROUND // 2)
    return (change / MOVES).clamp(max=1).repeat_interleave(4, 1)[:, None]


def halve(video: Tensor) -> Tensor:
    """B C T H W to half the height and width, by averaging."""
    return F.avg_pool3d(video, (1, 2, 2))


def edges(difference: Tensor, scales: int = 3) -> Tensor:
    """How much neighbouring pixels' errors N C H W differ, absolutely, averaged over halved sizes."""
    total = difference.new_zeros(())
    for scale in range(scales):
        if scale:
            difference = F.avg_pool2d(difference, 2)
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return total / scales


def similarity(x: Tensor, y: Tensor) -> Tensor:
    """SSIM N C H' W' of pictures in [-1, 1], with a plain square window: cheaper than the Gaussian one."""
    x, y = (x + 1) / 2, (y + 1) / 2  # its luminance term has a meaning only for values from 0 up
    stacked = torch.cat([x, y, x * x, y * y, x * y], dim=1)  # one pooling call over all five statistics
    mean_x, mean_y, xx, yy, xy = F.avg_pool2d(stacked, SSIM_WINDOW, stride=2).chunk(5, dim=1)
    low, high = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + low) / (mean_x**2 + mean_y**2 + low)
    covariance, variances = xy - mean_x * mean_y, xx - mean_x**2 + yy - mean_y**2
    return luminance * (2 * covariance + high) / (variances + high)
