"""Augment history latents with the small errors that each window of a long video hands on to the next.

They show as contrast and colour that creep, texture that sharpens or fades, patterns that stay in place. Conditioning
frames that carry them in training, while what follows is as it was, teach a model to correct such errors instead of
going on with them (the thought of Stable Video Infinity, arXiv 2510.09212, whose errors are a model's own).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# At the highest degree:
GAIN, SHIFT = 0.2, 0.2  # deviation of each channel's factor, and of what is added to it
TEXTURE = (-0.5, 1.0)  # times what a frame has more than its blurred self
PATTERN, BLOTCHES = 0.25, 0.25  # deviation of patterns that stand still, of one place and of some four across
BLOTCH = 4  # latent places across


def augment_history(latents: Tensor, generator: torch.Generator) -> Tensor:
    """Change B C T h w of about unit variance, by each kind of error to a degree of its own, drawn for each sample.

    All frames of a sample are changed alike. The generator lives on the device of the latents.
    """
    batch, channels, _, height, width = latents.shape

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator, device=latents.device)

    degrees = torch.rand(batch, 5, 1, 1, 1, 1, generator=generator, device=latents.device)
    gain, shift, texture, pattern, blotches = degrees.unbind(1)
    low, high = TEXTURE
    amount = low + (high - low) * torch.rand(batch, 1, 1, 1, 1, generator=generator, device=latents.device)
    coarse = normal(channels, -(-height // BLOTCH), -(-width // BLOTCH))
    large = F.interpolate(coarse, (height, width), mode="bilinear")[:, :, None]
    changed = latents + texture * amount * (latents - blurred(latents))
    changed = changed * (1 + GAIN * gain * normal(channels, 1, 1, 1)) + SHIFT * shift * normal(channels, 1, 1, 1)
    return changed + PATTERN * pattern * normal(channels, 1, height, width) + BLOTCHES * blotches * large


def blurred(latents: Tensor) -> Tensor:
    """Each place of B C T h w as the mean of itself and its neighbours; at the edge, of those that there are."""
    flat = F.avg_pool2d(latents.flatten(1, 2), 3, stride=1, padding=1, count_include_pad=False)
    return flat.view_as(latents)
