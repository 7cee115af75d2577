"""Windows in latent space, for autoencoders whose latent frames mean the same wherever they stand (ours).

Nothing goes through pixels on the way and only one window is remembered, so memory and the cost of a second stay the
same. History is shown with a little noise, and the network is told so: it was trained to forgive what is wrong there,
which stops errors from growing (diffusion forcing, arXiv 2407.01392; `train/history_augmentation.py`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tenku.sample.request import Request
from tenku.sample.user_frames import UserFrames
from tenku.sample.windows.base import FramesFn, Windows

HISTORY_NOISE = 0.1
# Of what guidance adds, so much where a video just goes on: what was made shows already what the prompt says, and what
# guidance exaggerates would be exaggerated again in every window.
GUIDANCE_SHARE = 1 / 2


class LatentWindows(Windows):
    """Parts are latents 1 C T h w."""

    unit = 1
    strength_per_frame = True
    extra_frames = 0

    def fill(
        self, request: Request, user_frames: Sequence[UserFrames] = (), *, frames_fn: FramesFn | None = None
    ) -> Iterator[np.ndarray]:
        latents, mask = self.place(request, user_frames)
        pieces = self.continue_forward(request, latents, mask, frames_fn=frames_fn)
        return self.engine.decode(pieces, request.num_frames, is_user_frame=mask, on_progress=request.on_progress)

    def place(self, request: Request, user_frames: Sequence[UserFrames]) -> tuple[Tensor, Tensor]:
        """Latents 1 C T h w of a request with user frames at their places, and which are given (T bool).

        Places are whole latent frames, and a picture fills one. Without user frames the latents take no memory.
        """
        latents, mask = self.nothing_given(request)
        latents = latents.clone() if user_frames else latents
        for at, frames in user_frames:
            encoded, start = self.engine.encode(frames), at // self.group
            part = slice(start, start + encoded.shape[2])
            latents[:, :, part], mask[part] = encoded, True
        return latents, mask

    def continue_forward(
        self, request: Request, latents: Tensor, mask: Tensor, *, frames_fn: FramesFn | None = None
    ) -> Iterator[Tensor]:
        """Latents 1 C T h w from first to last frame, a window at a time; pieces come as soon as they are made.

        latents: the whole clip, of which the frames True in `mask` (T bool) are read. frames_fn: what else is asked of
        some frames of the video, which what was made does not show yet. Each window has a seed of its own, so that it
        does not repeat the last.
        """
        done, history = 0, latents[:, :, :0]
        while done < len(mask):
            if there := leading(mask[done:]):
                piece = latents[:, :, done : done + there]
            else:
                part = next_window(mask, done, self.size)
                context = done - part.start
                seen = torch.cat([torch.ones(context, dtype=torch.bool), mask[done : part.stop]])
                known = torch.cat([history[:, :, history.shape[2] - context :], latents[:, :, done : part.stop]], dim=2)
                step = replace(request, seed=request.seed + done)
                is_user_history = bool(mask[part.start : done].all())  # somebody's frames are right
                noise = torch.full((len(seen),), 0.0 if is_user_history else HISTORY_NOISE)
                noise[context:] = 0.0  # as what is given ahead is
                if frames_fn is None and not is_user_history:
                    step = with_less_guidance(step)
                asked = frames_fn and frames_fn(slice(part.start * self.group, part.stop * self.group))
                window = self.inpaint_frames(step, known, seen, noise, conditioning_fn=asked)
                piece = window[:, :, context:]
            yield piece
            history = torch.cat([history, piece], dim=2)[:, :, -self.size :]
            done += piece.shape[2]

    def take(self, frames: np.ndarray, keep: str) -> Tensor:
        return self.engine.encode(self.whole_groups(frames, keep))

    def length(self, part: Tensor) -> int:
        return part.shape[2]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts), dim=2)

    def continue_from(self, request: Request, part: Tensor, count: int, earlier: int = 0) -> Iterator[Tensor]:
        blank = torch.zeros_like(part[:, :, :1]).expand(-1, -1, count, -1, -1)
        mask = torch.arange(part.shape[2] + count) < part.shape[2]
        return self.continue_forward(request, self.join([part, blank]), mask)

    def extend_backward(self, request: Request, part: Tensor, count: int) -> list[Tensor]:
        pieces: list[Tensor] = []
        history, made = part, 0
        while made < count:
            context = min(history.shape[2], self.size // 2)
            new = min(count - made, self.size - context)
            seen = history[:, :, :context]
            blank = torch.zeros_like(seen[:, :, :1]).expand(-1, -1, new, -1, -1)
            mask = torch.arange(context + new) >= new
            step = replace(request, seed=request.seed + made)
            step, noise = (with_less_guidance(step), HISTORY_NOISE) if made else (step, 0.0)
            history = self.inpaint_frames(step, self.join([blank, seen]), mask, noise)
            pieces.insert(0, history[:, :, :new])
            made += new
        return [self.join(pieces)] if pieces else []

    def bridge(
        self, request: Request, before: Tensor, after: Tensor, seconds: float, cross_fade: float = 1.0
    ) -> Tensor:
        new, context = self.room_between(seconds)
        head, tail = before[:, :, -context:], after[:, :, :context]
        whole = self.sample_between(request, head, tail, new, cross_fade=cross_fade)
        return whole[:, :, head.shape[2] : head.shape[2] + new]

    def sample_cyclic(self, request: Request) -> Tensor:
        """In whole latent frames. ValueError: too short for a circle, or longer than the model makes at once."""
        longest, fps = self.engine.settings.max_frames, self.engine.settings.fps
        if not 2 * self.group <= request.num_frames <= longest:
            asked = request.num_frames / fps
            raise ValueError(f"a loop lasts {2 * self.group / fps:g} to {longest / fps:g} s, got {asked:g}")
        whole = min(-(-request.num_frames // self.group), longest // self.group)
        return self.engine.sample(
            replace(request, num_frames=whole * self.group), conditioning_fn=lambda each: replace(each, cyclic=True)
        )

    def to_frames(
        self, request: Request, parts: Iterable[Tensor], user_mask: Tensor, cyclic: bool = False
    ) -> tuple[Iterator[np.ndarray], int]:
        decode = partial(self.engine.decode, on_progress=request.on_progress)
        total = self.engine.autoencoder.num_frames(len(user_mask))
        if not cyclic:
            return decode(parts, total, is_user_frame=user_mask), total
        # Decoding begins with what the end leaves behind, two frames of it included, and goes on to the first latent
        # frame once more.
        autoencoder: Any = self.engine.autoencoder
        latents = self.join(list(parts))
        first, second = latents[:, :, :1], latents[:, :, 1:2]
        before = torch.arange(-autoencoder.memory_frames - 1, 0) % latents.shape[2]
        with torch.inference_mode():
            _, state = autoencoder.decode_next(
                latents[:, :, before], None, first, torch.cat([user_mask[before], user_mask[:1]])
            )
        frames = decode(
            self.join([latents, first]),
            total,
            state=state,
            following=second,
            skip=state[-1].shape[2],
            is_user_frame=torch.cat([user_mask[-1:], user_mask, user_mask[:2]]),
        )
        return frames, total

    def frame_centers(self, part: slice) -> list[float]:
        return [frame + self.group / 2 for frame in range(part.start, part.stop, self.group)]

    def place_picture(self, at: int, num_frames: int) -> tuple[int, int]:
        whole = self.engine.autoencoder.latent_frames(num_frames) * self.group
        return min(at, whole - self.group), self.group


def leading(mask: Tensor) -> int:
    """How many entries of a bool mask are True from the beginning on."""
    return int(mask.int().cumprod(0).sum())


def with_less_guidance(request: Request) -> Request:
    """The request of a window that only goes on with what was made."""

    def less(scale: float) -> float:
        return 1 + GUIDANCE_SHARE * (scale - 1)

    scale, low = request.params.guidance_scale, request.params.guidance_scale_2
    params = replace(request.params, guidance_scale=less(scale), guidance_scale_2=None if low is None else less(low))
    return replace(request, params=params)


def next_window(mask: Tensor, done: int, most: int) -> slice:
    """Which frames the model is shown to make those from `done` on; mask: T bool, those that are given.

    Half of them lie before `done`; where given frames come next, as many of the ones before and of those are shown as
    there is room for, so that what is made leads up to them. A gap too wide for one window is filled in several, the
    last of which is left two frames where the window has room for that. What fits into one window is seen whole.
    """
    gap, total = leading(~mask[done:]), len(mask)
    if total <= most:
        return slice(0, total)
    context = min(done, most // 2)
    stop = min(total, done - context + most)
    around = max(1, (most - gap) // 2)
    if done + gap < total and stop < min(total, done + gap + around):
        if gap <= most - 4:
            stop = min(total, done + gap + around)
            context = min(done, most - (stop - done))
        else:
            stop = min(stop, done + max(1, gap - 2))
    return slice(done - context, stop)
