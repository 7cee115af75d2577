"""Metrics of long and edited videos: seams, drift over a minute, fidelity to user frames (PSNR), cost.

Each measure stands beside what real clips, or the autoencoder alone, give. Frames are uint8 T H W 3.
"""

import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tenku.evaluate.distances import psnr
from tenku.evaluate.recogniser import Recogniser
from tenku.media.clip import Clip
from tenku.media.reader import read_video
from tenku.media.resize import at_rate, fit
from tenku.model.autoencoder import to_frames
from tenku.sample.pipeline import Pipeline

DRIFT_SECONDS = 5.0
EARLY, SPAN = 5.0, 10.0  # the seconds from 5 to 15, whose cost is compared with that of the last ten
COST_SECONDS = 30.0
LUMA = np.array([0.2126, 0.7152, 0.0722])
Curves = dict[str, list[float]]  # of each quantity, a value a second


def changes(frames: np.ndarray, loop: bool = False) -> np.ndarray:
    """Mean absolute difference between neighbouring frames, the last and first too of a loop: T - 1 values, or T."""
    count = len(frames) if loop else len(frames) - 1
    pairs = ((frames[index].astype(np.float32), frames[(index + 1) % len(frames)]) for index in range(count))
    return np.array([np.abs(after - before).mean() for before, after in pairs])


def seam(frames: np.ndarray, joints: Sequence[int] = (), loop: bool = False) -> float:
    """The largest change across a joint over the median change between neighbouring frames: 1 is seamless.

    joints: numbers of the frames that begin a new piece; loop: the last frame leads to the first. ValueError when there
    is no joint, one lies outside, or the video stands still so that nothing can be compared.
    """
    if len(frames) < 3:
        raise ValueError(f"a clip of {len(frames)} frames is too short to compare a joint with what is usual")
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


def seam_of_real_clips(folder: str | Path) -> float:
    """The floor of `seam`: the median of it over a folder's mp4 clips, each with a joint in its middle that is none."""
    found = seams_in_the_middle(frames for frames, _ in clips_and_rates(folder))
    if not found:
        raise ValueError(f"nothing moves in the clips of {folder}")
    return float(np.median(found))


def seams_in_the_middle(clips: Iterable[np.ndarray]) -> list[float]:
    """The seam of each clip that moves, with a joint in its middle."""
    found = []
    for frames in clips:
        try:
            found.append(seam(frames, [len(frames) // 2]))
        except ValueError:  # it stands still
            continue
    return found


def identity(pipeline: Pipeline, clip: Clip, given: Clip, at: float = 0.0) -> dict[str, float]:
    """PSNR (dB) of user frames that stand in a clip from the time `at` on, beside the autoencoder's own loss.

    {"psnr": against what was given, "round_trip": of the autoencoder alone, "lost": their difference}. A picture stands
    for one latent frame. ValueError when less than a latent frame of it lies within the clip.
    """
    if pipeline.autoencoder.causal:
        raise ValueError(f"{pipeline.settings.name} makes each latent frame out of all before it: none is by itself")
    if not 0 <= at <= clip.seconds:
        raise ValueError(f"the clip lasts {clip.seconds:g} s: nothing can be given in it at {at:g} s")
    group, side = pipeline.autoencoder.temporal_compression, pipeline.autoencoder.spatial_compression
    width, height = (each // side * side for each in clip.size)
    frames = fit(at_rate(given, clip.fps) if given.num_frames > 1 else given.frames.repeat(group, axis=0), clip.size)
    frames = frames[:, :height, :width]
    shown = clip.frames[round(at * clip.fps) :, :height, :width][: len(frames) // group * group]
    count = len(shown) // group * group
    if not count:
        raise ValueError(f"nothing that was given lies in the clip at {at:g} s: whole groups of {group} frames count")
    with torch.inference_mode():
        own = to_frames(pipeline.autoencoder.decode(pipeline.engine.encode(frames[:count])))
    values = {"psnr": psnr(shown[:count], frames[:count]), "round_trip": psnr(own, frames[:count])}
    return values | {"lost": values["round_trip"] - values["psnr"]}


def appearance(frames: np.ndarray) -> dict[str, float]:
    """Sharpness, saturation and contrast of frames: what drifts over a long video; means over frames in [0, 1]."""
    floats = frames.astype(np.float32) / 255
    luma = floats @ LUMA
    sharpness = np.abs(np.diff(luma, axis=1)).mean() + np.abs(np.diff(luma, axis=2)).mean()
    saturation = (floats.max(-1) - floats.min(-1)).mean()
    return {
        "sharpness": float(sharpness),
        "saturation": float(saturation),
        "contrast": float(luma.std(axis=(1, 2)).mean()),
    }


def drift(frames: np.ndarray, fps: float, recogniser: Recogniser | None = None) -> dict[str, float]:
    """Each quantity of `appearance` in the last 5 seconds over that in the first 5; with a recogniser also how sure it
    is of what it sees. ValueError below 10 seconds."""
    count = round(DRIFT_SECONDS * fps)
    if len(frames) < 2 * count:
        raise ValueError(f"drift needs at least {2 * DRIFT_SECONDS:g} s of video, got {len(frames) / fps:.1f}")
    first, last = (quantities(part, recogniser) for part in (frames[:count], frames[-count:]))
    return {name: last[name] / max(value, 1e-6) for name, value in first.items()}


def quantities(frames: np.ndarray, recogniser: Recogniser | None) -> dict[str, float]:
    found = appearance(frames)
    if recogniser is not None:
        found["confidence"] = float(np.mean([sure for _, sure in recogniser.read(frames).values()]))
    return found


def drift_of_real_clips(folder: str | Path, recogniser: Recogniser | None = None) -> dict[str, float]:
    """The floor of `drift`: by how much each quantity of long real clips changes, up or down, in the mean.

    1.1 says that the larger of first and last is on average a tenth above the other.
    """
    try:
        each = [drift(frames, fps, recogniser) for frames, fps in clips_and_rates(folder)]
    except ValueError as error:
        raise ValueError(f"real clips of {folder}: {error}") from None
    return {name: float(np.exp(np.mean([abs(np.log(max(one[name], 1e-6))) for one in each]))) for name in each[0]}


def curves(frames: np.ndarray, fps: float, recogniser: Recogniser | None = None) -> Curves:
    """The quantities of `drift` in each window of 3 s, beginning at every second."""
    span = round(3 * fps)
    starts = range(0, max(1, len(frames) - span + 1), max(1, round(fps)))
    each = [quantities(frames[start : start + span], recogniser) for start in starts]
    return {name: [one[name] for one in each] for name in each[0]}


def plot(path: str | Path, lines: dict[str, Curves]) -> None:
    """Plot drift as a png: a panel for each quantity, relative to its beginning, and a line for each named video."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = list(next(iter(lines.values())))
    figure, panels = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3), sharex=True, layout="constrained")
    for panel, name in zip(np.atleast_1d(panels), names, strict=True):
        panel.axhspan(0.85, 1.15, color="0.93")
        for label, found in lines.items():
            values = np.array(found[name])
            panel.plot(values / max(values[:3].mean(), 1e-6), label=label)
        panel.set(title=name, xlabel="seconds", ylim=(0, 2))
    np.atleast_1d(panels)[0].legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def cost(pipeline: Pipeline, prompt: str, seconds: float = 60.0, **options: Any) -> dict[str, float]:
    """Seconds of work for a second of video, from 5 to 15 s and in the last ten, and the peak of memory before these
    over that at 15 s: {"early", "late", "ratio", "memory_ratio"}.

    The same video is made twice at once, one run far ahead of the other, and they take turns from window to window:
    what else the machine does meets both. The ratio is the median over these pairs. ValueError for a video too short.
    """
    fps, window = pipeline.settings.fps, max(1, pipeline.settings.max_frames // 2)  # frames that a window adds
    pairs = int(SPAN * fps) // window
    if seconds < COST_SECONDS or not pairs:
        raise ValueError(f"cost needs a video of at least {COST_SECONDS:g} s made in windows, got {seconds:g} s")
    if pipeline.engine.plan.model_offload:
        raise ValueError("cost runs two videos in turns: it needs a plan in which all parts stay on the device")
    request = pipeline.request(prompt, seconds=seconds, **options)
    ahead, behind = (iter(pipeline.run(request)) for _ in range(2))

    def work(frames: Iterator[np.ndarray], count: int) -> float:
        start = time.perf_counter()
        for _ in itertools.islice(frames, count):
            pass
        return time.perf_counter() - start

    begin, end = round(EARLY * fps), request.num_frames - round(SPAN * fps)
    work(ahead, round((EARLY + SPAN) * fps))
    early_memory = peak_memory(pipeline.device)
    work(ahead, end - round((EARLY + SPAN) * fps))
    memory = peak_memory(pipeline.device) / early_memory
    work(behind, begin)
    times = np.array([(work(behind, window), work(ahead, window)) for _ in range(pairs)])
    early, late = np.median(times, axis=0) * fps / window
    ratio = float(np.median(times[:, 1] / times[:, 0]))
    return {"early": float(early), "late": float(late), "ratio": ratio, "memory_ratio": memory}


def peak_memory(device: torch.device) -> float:
    """Peak memory of this process so far in bytes, on its GPU or in main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def clips_and_rates(folder: str | Path) -> Iterable[tuple[np.ndarray, float]]:
    """Frames and frame rate of each mp4 of a folder. ValueError when there is none."""
    paths = sorted(Path(folder).glob("*.mp4"))
    if not paths:
        raise ValueError(f"there are no clips (*.mp4) in {folder}")
    return ((frames, fps) for frames, fps, _ in map(read_video, paths))
