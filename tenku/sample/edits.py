"""Every way of prompting beside text alone: each says which latent frames are known, and lets the others be made.

    animate   a picture at the start, at the end, or at both
    extend    frames before and after a clip
    connect   frames between two clips
    loop      a clip whose end leads into its beginning
    remix     a clip made anew after another prompt, all of it or some places

All give back a Stream: frames are made while they are read, `.clip()` is all of them and `.save(path)` a file.
What is known comes back as it was given, but for the autoencoder's own loss; the decoder makes frames at a joint meet.
With a causal autoencoder (`pixel.py`) clips come back exactly, and only what is made has been through it.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tenku.media.clip import Clip, Stream
from tenku.media.resize import at_rate, fit, nearest_size
from tenku.sample.pipeline import OnProgress, Pipeline
from tenku.sample.request import Request, checked_length
from tenku.sample.user_frames import join, middles, whole_groups
from tenku.sample.windows import pixel
from tenku.sample.windows.latent import Change, backwards, led, onwards, window

FADE = 0.8  # noise level at which a connection begins with a cross-fade of both clips


def animate(
    pipeline: Pipeline,
    prompt: str,
    first: Clip | None = None,
    last: Clip | None = None,
    *,
    size: tuple[int, int] | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Stream:
    """A clip that begins with the picture `first`, ends with `last`, or both; see `Pipeline.generate` for the options.

    Pictures are scaled to fill the size (None: the nearest that the model was trained on) and cut. ValueError without
    a picture.
    """
    pictures = [each for each in (first, last) if each is not None]
    if not pictures:
        raise ValueError("there is no picture to animate: give the first frame, the last one, or both")
    size = nearest_size(pipeline.settings.sizes, pictures[0].size) if size is None else size
    request = pipeline.request(prompt, size=size, **options)
    if pipeline.autoencoder.latent_frames(request.num_frames) <= len(pictures):
        raise ValueError("so few frames leave nothing to make beside what is given: ask for more seconds")
    given = [
        (at, fit(picture.frames[:1], (request.width, request.height)))
        for at, picture in ((0, first), (request.num_frames - 1, last))
        if picture is not None
    ]
    return named("animate", pipeline.filled(request, given, on_progress=on_progress))


def extend(
    pipeline: Pipeline,
    prompt: str,
    clip: Clip,
    *,
    forward: float = 0.0,
    backward: float = 0.0,
    size: tuple[int, int] | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Stream:
    """The clip with `forward` seconds made after it and `backward` seconds before it, in whole latent frames.

    Longer ones are made window by window, each from the end of what there is: cost a second stays the same, and memory
    too but for what comes before the clip, which is made backwards and held until then.
    ValueError for a clip that fills no latent frame, or when nothing is asked for.
    """
    forward, backward = checked_length(forward), checked_length(backward)
    if not forward + backward > 0:
        raise ValueError(f"say how far to extend: forward or backward above 0 s, got {forward:g} and {backward:g}")
    request = clip_request(pipeline, prompt, [clip], size, options)
    more, earlier = latent_count(pipeline, forward), latent_count(pipeline, backward)
    if pipeline.autoencoder.causal:
        frames, group = resized(pipeline, clip, request), pipeline.autoencoder.temporal_compression
        start = pixel.backwards(pipeline, request, frames, earlier * group, on_progress=on_progress)
        later = replace(request, num_frames=len(frames) + more * group, seed=request.seed + earlier * group)
        rest = pixel.onwards(pipeline, later, [(0, frames)], on_progress=on_progress)
        video = pipeline.video(request, chain(start, rest), earlier * group + later.num_frames)
        return named("extend", video, forward=forward, backward=backward)
    latents = pipeline.encode(prepare(pipeline, clip, request, keep="end" if forward else "start"))
    blank = torch.zeros_like(latents[:, :, :1]).expand(-1, -1, more, -1, -1)
    known = torch.arange(latents.shape[2] + more) < latents.shape[2]
    after = onwards(pipeline, request, join([latents, blank]), known, on_progress=on_progress)
    before = [backwards(pipeline, request, latents, earlier, on_progress=on_progress)] if earlier else []
    own = torch.cat([torch.zeros(earlier, dtype=torch.bool), known])
    video = decoded(pipeline, request, chain(before, after), own, on_progress)
    return named("extend", video, forward=forward, backward=backward)


def connect(
    pipeline: Pipeline,
    prompt: str,
    before: Clip,
    after: Clip,
    seconds: float = 1.5,
    *,
    size: tuple[int, int] | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Stream:
    """Both clips with `seconds` of new frames between them, in which the end of the one becomes the start of the other.

    They begin as a cross-fade of both, noised (`FADE`), so that the one scene turns into the other by and by. Guidance
    would lead to the prompt's scene and from there cut to what is given: for models that were trained to be given
    any frames it is 1 unless it or a negative prompt, which needs it, is asked for.
    """
    seconds = checked_length(seconds)
    if pipeline.settings.known == "any" and options.get("guidance") is None and not options.get("negative_prompt"):
        options["guidance"] = 1.0
    request = clip_request(pipeline, prompt, [before, after], size, options)
    if pipeline.autoencoder.causal:
        first, second = (resized(pipeline, each, request) for each in (before, after))
        bridge = bridged(pipeline, request, first, second, seconds, on_progress, fade=FADE)
        return named("connect", of_frames(pipeline, request, [first, *bridge, second]), seconds=seconds)
    a = pipeline.encode(prepare(pipeline, before, request, keep="end"))
    b = pipeline.encode(prepare(pipeline, after, request, keep="start"))
    middle = between(pipeline, request, a, b, seconds, on_progress, fade=FADE)
    own = torch.tensor([True] * a.shape[2] + [False] * middle.shape[2] + [True] * b.shape[2])
    return named("connect", decoded(pipeline, request, [join([a, middle, b])], own, on_progress), seconds=seconds)


def loop(
    pipeline: Pipeline,
    prompt: str,
    clip: Clip | None = None,
    *,
    seconds: float | None = None,
    size: tuple[int, int] | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Stream:
    """A clip that can be played over and over without a seam.

    Without a clip all of it is made, on a circle: at every step the latents start at another frame, so no place is
    ever the end. With a clip, `seconds` of new frames lead from its end back to its start. Decoding begins with what
    the end leaves behind. A causal autoencoder can only lead a clip back: ValueError without one.
    """
    if clip is not None:
        request = clip_request(pipeline, prompt, [clip], size, options)
        seconds = 1.5 if seconds is None else checked_length(seconds)
        if pipeline.autoencoder.causal:
            frames = resized(pipeline, clip, request)
            bridge = bridged(pipeline, request, frames, frames, seconds, on_progress)
            return named("loop", of_frames(pipeline, request, [frames, *bridge]), seconds=seconds)
        given = pipeline.encode(prepare(pipeline, clip, request, keep="start"))
        way_back = between(pipeline, request, given, given, seconds, on_progress)
        own = torch.tensor([True] * given.shape[2] + [False] * way_back.shape[2])
        return named(
            "loop", decoded_round(pipeline, request, join([given, way_back]), own, on_progress), seconds=seconds
        )
    if pipeline.autoencoder.causal:
        raise ValueError(
            f"{pipeline.settings.name} makes each latent frame out of all before it, so time cannot be a circle: lead "
            "a clip back to its start (loop --clip), or take embedded"
        )
    request = pipeline.request(prompt, seconds=seconds, size=size, **options)
    count = pipeline.autoencoder.temporal_compression
    longest = pipeline.settings.max_frames
    if not 2 * count <= request.num_frames <= longest:
        shortest, longest_seconds = (frames / pipeline.settings.fps for frames in (2 * count, longest))
        raise ValueError(f"a loop lasts {shortest:g} to {longest_seconds:g} s, got {seconds:g}")
    whole = min(-(-request.num_frames // count), longest // count)
    request = replace(request, num_frames=whole * count)
    latents = pipeline.latents(request, change=lambda each: replace(each, cyclic=True), on_progress=on_progress)
    own = torch.zeros(latents.shape[2], dtype=torch.bool)
    return named("loop", decoded_round(pipeline, request, latents, own, on_progress))


def remix(
    pipeline: Pipeline,
    prompt: str,
    clip: Clip,
    strength: float | tuple[float, float] = 0.6,
    *,
    keep: Clip | None = None,
    size: tuple[int, int] | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Stream:
    """The clip made anew after the prompt: noised to the level `strength` and denoised from there (SDEdit, 2108.01073).

    Little strength keeps layout and motion, 1 keeps nothing; two are those of the first and the last frame, and what
    lies between changes evenly. keep: a mask, white where the clip should stay as it is,
    a picture for all frames or a clip. A long clip is done window by window, each beginning with the end of the one
    before. ValueError when the strength is not above 0 and at most 1, the clip is too short, or the model takes one
    noise level for all frames and is asked for two.
    """
    request = clip_request(pipeline, prompt, [clip], size, options)
    frames = prepare(pipeline, clip, request, keep="start")
    request = replace(request, num_frames=len(frames))
    level = strengths(pipeline, strength, len(frames))

    def begin(part: slice) -> Change:
        start = pipeline.encode(frames[part])
        kept = None if keep is None else kept_places(pipeline, keep, request, part)
        return lambda each: replace(each, start_latents=start, strength=level(part), keep=kept)

    return named("remix", pipeline.filled(request, also=begin, on_progress=on_progress), strength=strength)


def strengths(
    pipeline: Pipeline, strength: float | tuple[float, float], num_frames: int
) -> Callable[[slice], float | Tensor]:
    """The level of some frames: the same one for all latent frames, or one for each of them."""
    if isinstance(strength, Real):
        level = float(strength)
        if not 0 < level <= 1:
            raise ValueError(f"strength must be above 0 and at most 1, got {level:g}")
        return lambda part: level
    if not isinstance(strength, tuple | list) or [isinstance(each, Real) for each in strength] != [True, True]:
        raise ValueError(f"strength must be a number or two, got {strength!r}")
    group = pipeline.autoencoder.temporal_compression
    count = num_frames // group
    if pipeline.settings.known != "any" or pipeline.autoencoder.causal:
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
    seen = [min(int(moment), mask.num_frames - 1) for moment in middles(pipeline, part)]
    frames = fit(mask.frames[seen], (request.width, request.height))
    white = torch.from_numpy(frames).float().mean(-1) / 255  # T H W
    return (torch.nn.functional.avg_pool2d(white[:, None], compression) > 0.5).transpose(0, 1)[None]


# ----------------------------------------------------------------------------------------------------------
# what they are made of


def clip_request(
    pipeline: Pipeline, prompt: str, clips: list[Clip], size: tuple[int, int] | None, options: dict[str, Any]
) -> Request:
    size = nearest_size(pipeline.settings.sizes, clips[0].size) if size is None else size
    return pipeline.request(prompt, size=size, **options)


def resized(pipeline: Pipeline, clip: Clip, request: Request) -> np.ndarray:
    """A clip's frames at the model's rate and in the request's size."""
    return fit(at_rate(clip, pipeline.settings.fps), (request.width, request.height))


def prepare(pipeline: Pipeline, clip: Clip, request: Request, keep: str) -> np.ndarray:
    """The same in whole groups of frames; one more when they are causal."""
    autoencoder = pipeline.autoencoder
    frames = resized(pipeline, clip, request)
    return whole_groups(frames, autoencoder.temporal_compression, keep, extra=int(autoencoder.causal))


def latent_count(pipeline: Pipeline, seconds: float) -> int:
    """Latent frames of so many seconds, rounded up. ValueError when these are no length."""
    seconds = checked_length(seconds)
    return -int(-seconds * pipeline.settings.fps // pipeline.autoencoder.temporal_compression)


def bridged(
    pipeline: Pipeline,
    request: Request,
    a: np.ndarray,
    b: np.ndarray,
    seconds: float,
    on_progress: OnProgress | None,
    fade: float = 1.0,
) -> list[np.ndarray]:
    """With a causal autoencoder, new frames that lead from the end of `a` to the start of `b`; `fade` as in `led`."""
    gap = room(pipeline, seconds)[0] * pipeline.autoencoder.temporal_compression
    return list(pixel.made(pipeline, request, a, b, len(a), gap, fade=fade, on_progress=on_progress))


def room(pipeline: Pipeline, seconds: float) -> tuple[int, int]:
    """New latent frames for `seconds` between two clips, and how many of each clip are seen with them in one window."""
    new, most = latent_count(pipeline, seconds), window(pipeline)
    if most < 3:
        raise ValueError(f"{pipeline.settings.name} makes too few frames at once to see two clips and what is between")
    if not 1 <= new <= most - 2:
        longest = (most - 2) * pipeline.autoencoder.temporal_compression / pipeline.settings.fps
        raise ValueError(f"new seconds between two ends are above 0 and at most {longest:g}, got {seconds:g}")
    return new, (most - new) // 2


def between(
    pipeline: Pipeline,
    request: Request,
    a: Tensor,
    b: Tensor,
    seconds: float,
    on_progress: OnProgress | None,
    fade: float = 1.0,
) -> Tensor:
    """New latent frames that lead from the end of `a` to the start of `b`; `fade` as in `led`."""
    new, context = room(pipeline, seconds)
    head, tail = a[:, :, -context:], b[:, :, :context]
    return led(pipeline, request, head, tail, new, on_progress, fade=fade)[:, :, head.shape[2] : head.shape[2] + new]


def named(task: str, video: Stream, **asked: Any) -> Stream:
    """The video, which also remembers its task and what was asked of it."""
    video.metadata |= {"task": task, **asked}
    return video


def of_frames(pipeline: Pipeline, request: Request, parts: list[np.ndarray]) -> Stream:
    """The video of frames uint8 T H W 3, one part after the other."""
    return pipeline.video(request, parts, sum(map(len, parts)))


def decoded(
    pipeline: Pipeline,
    request: Request,
    pieces: Iterable[Tensor],
    own: Tensor,
    on_progress: OnProgress | None,
    **how: Any,
) -> Stream:
    """The video of latents 1 C T h w as they come. own: T bool, which were given; `how` as in `Pipeline.decode`."""
    total = pipeline.autoencoder.num_frames(len(own))
    frames = pipeline.decode(pieces, total, on_progress=on_progress, **({"given": own} | how))
    return pipeline.video(request, frames, total)


def decoded_round(
    pipeline: Pipeline, request: Request, latents: Tensor, own: Tensor, on_progress: OnProgress | None
) -> Stream:
    """A loop: the video of latents whose end leads to their beginning.

    Decoding begins with what the end leaves behind, two frames of it included, and goes on to the first latent frame
    once more.
    """
    autoencoder: Any = pipeline.autoencoder
    first, second = latents[:, :, :1], latents[:, :, 1:2]
    before = torch.arange(-autoencoder.memory_frames - 1, 0) % latents.shape[2]
    with torch.inference_mode():
        _, state = autoencoder.decode_next(
            latents[:, :, before], following=first, is_user_frame=torch.cat([own[before], own[:1]])
        )
    how = {
        "state": state,
        "following": second,
        "skip": state[-1].shape[2],
        "given": torch.cat([own[-1:], own, own[:2]]),
    }
    return decoded(pipeline, request, [join([latents, first])], own, on_progress, **how)
