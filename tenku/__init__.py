"""tenku, an open and self-hosted Sora: a sentence becomes a video, on your own machine.

    import tenku
    tenku.load("embedded").generate("a red ball drops onto wet asphalt at night").save("ball.mp4")

The names here load what they need when they are first used, so that importing tenku costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenku.media.clip import Clip
    from tenku.sample.pipeline import Pipeline, load

__version__ = "0.1.0"
__all__ = ["Clip", "Pipeline", "load", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Clip":
        from tenku.media.clip import Clip

        return Clip
    if name in ("Pipeline", "load"):
        from tenku.sample import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'tenku' has no attribute {name!r}")
