"""tenku, an open and self-hosted Sora: a sentence becomes a video, on your own machine.

    import tenku
    tenku.load("embedded").generate("a red ball drops onto wet asphalt at night").save("ball.mp4")

The names here load what they need when they are first used, so that importing tenku costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenku.media.clip import Clip, Stream
    from tenku.prompts.auto_expand import auto_expand
    from tenku.prompts.expand import expand
    from tenku.sample.edits import animate, connect, extend, loop, remix
    from tenku.sample.pipeline import Pipeline, load
    from tenku.sample.storyboard import Card, Storyboard, read_storyboard, render_storyboard

__version__ = "0.1.0"
_HOMES = {
    "tenku.media.clip": ("Clip", "Stream"),
    "tenku.sample.pipeline": ("Pipeline", "load"),
    "tenku.sample.edits": ("animate", "connect", "extend", "loop", "remix"),
    "tenku.sample.storyboard": ("Card", "Storyboard", "read_storyboard", "render_storyboard"),
    "tenku.prompts.expand": ("expand",),
    "tenku.prompts.auto_expand": ("auto_expand",),
}
__all__ = [
    "Card",
    "Clip",
    "Pipeline",
    "Storyboard",
    "Stream",
    "__version__",
    "animate",
    "auto_expand",
    "connect",
    "expand",
    "extend",
    "load",
    "loop",
    "read_storyboard",
    "remix",
    "render_storyboard",
]


def __getattr__(name: str) -> Any:
    for home, members in _HOMES.items():
        if name in members:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'tenku' has no attribute {name!r}")
