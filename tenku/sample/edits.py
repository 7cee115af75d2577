"""Every way of prompting beside text alone: pictures and clips are given, and what is missing is made.

    animate   a picture at the start, at the end, or at both
    extend    frames before and after a clip
    connect   frames between two clips
    loop      a clip whose end leads into its beginning
    remix     a clip made anew after another prompt, all of it or some places

All give back a Stream: frames are made while they are read, `.clip()` is all of them and `.save(path)` a file.
What is given comes back as it was, but for the autoencoder's own loss; the decoder makes frames at a joint meet.
With a causal autoencoder (`windows/pixel.py`) clips come back exactly, and only what is made has been through it.
Where frames of a clip are kept, its sound is kept beside them; what is made is silent.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tenku.media.clip import Clip, Stream
from tenku.media.resize import at_rate, fit, nearest_size
from tenku.media.sound import Sound, beside
from tenku.sample.conditioning import ConditioningFn
from tenku.sample.pipeline import Pipeline
from tenku.sample.request import Request, checked_length
from tenku.sample.user_frames import sound_beside
from tenku.sample.windows.base import Part

CROSS_FADE = 0.8  # noise level at which a connection begins with a cross-fade of both clips
Size = tuple[int, int]  # width, height in pixels
# Where a part of a video begins, in frames; the clip that it was taken from; itself; which end of the clip it is.
KeptPart = tuple[int, Clip, Part, str]


def animate(
    pipeline: Pipeline,
    prompt: str,
    first: Clip | None = None,
    last: Clip | None = None,
    *,
    size: Size | None = None,
    **options: Any,
) -> Stream:
    """Make a clip that begins with the picture `first`, ends with `last`, or both; options as in `Pipeline.generate`.

    Pictures are scaled to fill the size (None: the nearest that the model was trained on) and cut. ValueError without
    a picture.
    """
    pictures = [each for each in (first, last) if each is not None]
    if not pictures:
        raise ValueError("there is no picture to animate: give the first frame, the last one, or both")
    request = clip_request(pipeline, prompt, pictures[0], size, options)
    if pipeline.autoencoder.latent_frames(request.num_frames) <= len(pictures):
        raise ValueError("so few frames leave nothing to make beside what is given: ask for more seconds")
    user_frames = [
        (at, fit(picture.frames[:1], (request.width, request.height)))
        for at, picture in ((0, first), (request.num_frames - 1, last))
        if picture is not None
    ]
    return pipeline.fill(request, user_frames, task="animate")


def extend(
    pipeline: Pipeline,
    prompt: str,
    clip: Clip,
    *,
    forward: float = 0.0,
    backward: float = 0.0,
    size: Size | None = None,
    **options: Any,
) -> Stream:
    """Make `forward` seconds after a clip and `backward` seconds before it, in whole latent frames.

    Longer ones are made window by window, each from the end of what there is: cost a second stays the same, and memory
    too but for what comes before the clip, which is made backwards and held until then.
    ValueError for a clip that fills no latent frame, or when nothing is asked for.
    """
    forward, backward = checked_length(forward), checked_length(backward)
    if not forward + backward > 0:
        raise ValueError(f"say how far to extend: forward or backward above 0 s, got {forward:g} and {backward:g}")
    request, windows = clip_request(pipeline, prompt, clip, size, options), pipeline.windows
    later, earlier = windows.latent_count(forward), windows.latent_count(backward)
    keep = "end" if forward else "start"
    given = windows.take(resized(pipeline, clip, request), keep)
    before = windows.extend_backward(request, given, earlier)
    after = windows.continue_from(request, given, later, earlier=earlier)
    mask = user_mask((earlier * windows.unit, False), (windows.length(given), True), (later * windows.unit, False))
    frames, count = windows.to_frames(request, chain(before, after), mask)
    sound = kept_sound(pipeline, count, (earlier * windows.group, clip, given, keep))
    return pipeline.video(request, frames, count, sound=sound, task="extend", forward=forward, backward=backward)


def connect(
    pipeline: Pipeline,
    prompt: str,
    before: Clip,
    after: Clip,
    seconds: float = 1.5,
    *,
    size: Size | None = None,
    **options: Any,
) -> Stream:
    """Join two clips by `seconds` of new frames in which the end of the one becomes the start of the other.

    They begin as a cross-fade of both, noised (`CROSS_FADE`), so that the one scene turns into the other by and by.
    Guidance would lead to the prompt's scene and from there cut to what is given: for models that were trained to be
    given any frames it is 1 unless it or a negative prompt, which needs it, is asked for.
    """
    seconds = checked_length(seconds)
    if pipeline.settings.known == "any" and options.get("guidance") is None and not options.get("negative_prompt"):
        options["guidance"] = 1.0
    request, windows = clip_request(pipeline, prompt, before, size, options), pipeline.windows
    first = windows.take(resized(pipeline, before, request), keep="end")
    second = windows.take(resized(pipeline, after, request), keep="start")
    middle = windows.bridge(request, first, second, seconds, cross_fade=CROSS_FADE)
    mask = user_mask((windows.length(first), True), (windows.length(middle), False), (windows.length(second), True))
    frames, count = windows.to_frames(request, [windows.join([first, middle, second])], mask)
    second_at = windows.num_frames(first) + windows.num_frames(middle)
    sound = kept_sound(pipeline, count, (0, before, first, "end"), (second_at, after, second, "start"))
    return pipeline.video(request, frames, count, sound=sound, task="connect", seconds=seconds)


def loop(
    pipeline: Pipeline,
    prompt: str,
    clip: Clip | None = None,
    *,
    seconds: float | None = None,
    size: Size | None = None,
    **options: Any,
) -> Stream:
    """Make a clip that can be played over and over without a seam.

    Without a clip all of it is made, on a circle: at every step the latents start at another frame, so no place is
    ever the end. With a clip, `seconds` of new frames lead from its end back to its start. Decoding begins with what
    the end leaves behind. A causal autoencoder can only lead a clip back: ValueError without one.
    """
    windows, asked, kept = pipeline.windows, dict[str, Any](), list[KeptPart]()
    if clip is None:
        request = pipeline.request(prompt, seconds=seconds, size=size, **options)
        whole = windows.sample_cyclic(request)
        mask = user_mask((windows.length(whole), False))
    else:
        request = clip_request(pipeline, prompt, clip, size, options)
        asked["seconds"] = seconds = 1.5 if seconds is None else checked_length(seconds)
        given = windows.take(resized(pipeline, clip, request), keep="start")
        kept.append((0, clip, given, "start"))
        way_back = windows.bridge(request, given, given, seconds)
        whole = windows.join([given, way_back])
        mask = user_mask((windows.length(given), True), (windows.length(way_back), False))
    frames, count = windows.to_frames(request, [whole], mask, cyclic=True)
    return pipeline.video(request, frames, count, sound=kept_sound(pipeline, count, *kept), task="loop", **asked)


def remix(
    pipeline: Pipeline,
    prompt: str,
    clip: Clip,
    strength: float | tuple[float, float] = 0.6,
    *,
    keep: Clip | None = None,
    size: Size | None = None,
    **options: Any,
) -> Stream:
    """Make a clip anew after the prompt: noised to the level `strength` and denoised from there (SDEdit, 2108.01073).

    Little strength keeps layout and motion, 1 keeps nothing; two are those of the first and the last frame, and what
    lies between changes evenly. keep: a mask, white where the clip should stay as it is, a picture for all frames or a
    clip. A long clip is done window by window, each beginning with the end of the one before. ValueError when the
    strength is not above 0 and at most 1, the clip is too short, or the model takes one noise level for all frames and
    is asked for two.
    """
    request = clip_request(pipeline, prompt, clip, size, options)
    frames = pipeline.windows.whole_groups(resized(pipeline, clip, request), keep="start")
    request = replace(request, num_frames=len(frames))
    level = strengths(pipeline, strength, len(frames))

    def start_from_clip(part: slice) -> ConditioningFn:
        start = pipeline.engine.encode(frames[part])
        kept = None if keep is None else kept_places(pipeline, keep, request, part)
        return lambda each: replace(each, start_latents=start, strength=level(part), keep_mask=kept)

    return pipeline.fill(request, frames_fn=start_from_clip, task="remix", strength=strength)


# ----------------------------------------------------------------------------------------------------------
# what they are made of


def clip_request(pipeline: Pipeline, prompt: str, clip: Clip, size: Size | None, options: dict[str, Any]) -> Request:
    """A request in the size asked for, or in the model's own that is nearest to the clip's."""
    size = nearest_size(pipeline.settings.sizes, clip.size) if size is None else size
    return pipeline.request(prompt, size=size, **options)


def resized(pipeline: Pipeline, clip: Clip, request: Request) -> np.ndarray:
    """A clip's frames at the model's rate and in the request's size."""
    return fit(at_rate(clip, pipeline.settings.fps), (request.width, request.height))


def kept_sound(pipeline: Pipeline, num_frames: int, *parts: KeptPart) -> Sound | None:
    """The sound of a video of so many frames: each part keeps its own, and what is made is silent."""
    fps, windows = pipeline.settings.fps, pipeline.windows
    heard = [(at, sound_beside(clip, windows.num_frames(part), fps, keep)) for at, clip, part, keep in parts]
    return beside(num_frames, fps, heard)


def user_mask(*segments: tuple[int, bool]) -> Tensor:
    """Which entries of a video are somebody's own: so many of each segment."""
    return torch.tensor([is_user for length, is_user in segments for _ in range(length)], dtype=torch.bool)


def strengths(
    pipeline: Pipeline, strength: float | tuple[float, float], num_frames: int
) -> Callable[[slice], float | Tensor]:
    """The strength of some frames: the same for all latent frames, or one for each of them."""
    if isinstance(strength, Real):
        level = float(strength)
        if not 0 < level <= 1:
            raise ValueError(f"strength must be above 0 and at most 1, got {level:g}")
        return lambda part: level
    if not isinstance(strength, tuple | list) or [isinstance(each, Real) for each in strength] != [True, True]:
        raise ValueError(f"strength must be a number or two, got {strength!r}")
    group = pipeline.windows.group
    count = num_frames // group
    if pipeline.settings.known != "any" or not pipeline.windows.strength_per_frame:
        raise ValueError(f"{pipeline.settings.name} has one strength for all frames; embedded can change it on the way")
    if count < 2:
        raise ValueError("two strengths need a clip of at least two latent frames, 8 frames: give one strength")
    if not 0 <= min(strength) < max(strength) <= 1:
        raise ValueError(f"two strengths lie between 0 and 1 and differ, got {strength[0]:g} and {strength[1]:g}")
    levels = torch.linspace(*strength, count)
    return lambda part: levels[part.start // group : part.stop // group]


def kept_places(pipeline: Pipeline, mask: Clip, request: Request, part: slice) -> Tensor:
    """1 1 T h w bool of some frames, True in latents most of whose pixels are white; the last mask goes on for ever."""
    compression = pipeline.autoencoder.spatial_compression
    seen = [min(int(moment), mask.num_frames - 1) for moment in pipeline.windows.frame_centers(part)]
    frames = fit(mask.frames[seen], (request.width, request.height))
    white = torch.from_numpy(frames).float().mean(-1) / 255  # T H W
    return (torch.nn.functional.avg_pool2d(white[:, None], compression) > 0.5).transpose(0, 1)[None]
