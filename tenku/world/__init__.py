"""The miniature world: MuJoCo moves it, a small ray tracer draws it, and each clip knows what is true of it."""

from typing import Any

__all__ = ["make_clip"]


def __getattr__(name: str) -> Any:
    if name == "make_clip":  # simulator and ray tracer are imported only when a clip is made
        from tenku.world.clip import make_clip

        return make_clip
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
