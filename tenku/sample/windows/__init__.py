"""Videos longer than a model makes at once, or with user frames in them: window by window.

Chosen once by the autoencoder: `LatentWindows` where latent frames can be moved, `PixelWindows` where they are causal.
"""

from tenku.sample.engine import Engine
from tenku.sample.windows.base import FramesFn, Windows
from tenku.sample.windows.latent import LatentWindows
from tenku.sample.windows.pixel import PixelWindows, wants_user_frames

__all__ = ["FramesFn", "LatentWindows", "PixelWindows", "Windows", "wants_user_frames", "windows_for"]


def windows_for(engine: Engine) -> Windows:
    """The kind of windows that a model's autoencoder allows."""
    return PixelWindows(engine) if engine.autoencoder.causal else LatentWindows(engine)
