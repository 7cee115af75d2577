"""How smoothly a video goes on: at its seams, and over a minute. Numbers beside what real clips give.

Frames are uint8 T H W 3.
"""

from collections.abc import Sequence

import numpy as np

DRIFT_SECONDS = 5.0
LUMA = np.array([0.2126, 0.7152, 0.0722])


def changes(frames: np.ndarray, loop: bool = False) -> np.ndarray:
    """Mean absolute difference of each frame to the next one, the last to the first too when it is a loop."""
    floats = frames.astype(np.float32)
    following = np.roll(floats, -1, axis=0)
    differences = np.abs(following - floats).mean(axis=(1, 2, 3))
    return differences if loop else differences[:-1]


def seam(frames: np.ndarray, joints: Sequence[int] = (), loop: bool = False) -> float:
    """The largest change across a joint over the median change between neighbouring frames: 1 is seamless.

    joints: numbers of the frames that begin a new piece; loop: the last frame leads to the first. ValueError when there
    is no joint, one lies outside, or the video stands still so that nothing can be compared.
    """
    each = changes(frames, loop)
    for joint in joints:
        if not 0 < joint < len(frames):
            raise ValueError(f"a joint lies between frames 1 and {len(frames) - 1}, not at {joint}")
    places = [joint - 1 for joint in joints] + ([len(frames) - 1] if loop else [])
    if not places:
        raise ValueError("name the joints, or say that the video is a loop")
    usual = float(np.median(np.delete(each, places)))
    if usual == 0:
        raise ValueError("the video stands still: there is no change to compare a joint with")
    return float(each[places].max()) / usual


def appearance(frames: np.ndarray) -> dict[str, float]:
    """What drifts over a long video: sharpness, saturation and contrast, means over frames in [0, 1]."""
    floats = frames.astype(np.float32) / 255
    luma = floats @ LUMA
    sharpness = np.abs(np.diff(luma, axis=1)).mean() + np.abs(np.diff(luma, axis=2)).mean()
    saturation = (floats.max(-1) - floats.min(-1)).mean()
    return {
        "sharpness": float(sharpness),
        "saturation": float(saturation),
        "contrast": float(luma.std(axis=(1, 2)).mean()),
    }


def drift(frames: np.ndarray, fps: float) -> dict[str, float]:
    """Each quantity of `appearance` in the last 5 seconds over that in the first 5. ValueError below 10 seconds."""
    count = round(DRIFT_SECONDS * fps)
    if len(frames) < 2 * count:
        raise ValueError(f"drift needs at least {2 * DRIFT_SECONDS:g} s of video, got {len(frames) / fps:.1f}")
    first, last = appearance(frames[:count]), appearance(frames[-count:])
    return {name: last[name] / max(value, 1e-6) for name, value in first.items()}
