"""Windows by way of pixels, for causal autoencoders (Wan's).

Each of their latent frames is made out of all before it, so none can stand in another place. The last frames of what
there is are therefore encoded anew as the beginning of the next window, and what they decode to is left away, as
SkyReels-V2 does (arXiv 2504.13074). Somebody's own clips come out as they were given.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tenku.media.resize import cut
from tenku.model.autoencoder import to_video
from tenku.sample.conditioning import ConditioningFn
from tenku.sample.request import Request
from tenku.sample.user_frames import UserFrames
from tenku.sample.windows.base import FramesFn, Windows
from tenku.wan.names import MASK_CHANNELS

OVERLAP = 5  # latent frames, 17 frames, that a window begins with: as many as SkyReels-V2 takes
REMEMBERED = 32  # frames, enough for an overlap


class PixelWindows(Windows):
    """Parts are frames uint8 T H W 3 of a request's own width and height."""

    strength_per_frame = False
    extra_frames = 1

    @property
    def unit(self) -> int:  # type: ignore[override]
        return self.group

    def fill(
        self, request: Request, user_frames: Sequence[UserFrames] = (), *, frames_fn: FramesFn | None = None
    ) -> Iterator[np.ndarray]:
        """A picture that the video begins with comes out as the decoder gives it back, like what follows it."""
        end = no_frames(request)
        seen, done, owed = end, 0, 0  # what there is, of which so many frames have not come out yet
        if self.reads_frames_beside and user_frames:  # such a network begins with nothing out of sight
            at, own = user_frames[0]
            picture = int(len(own) == 1)
            if self.engine.autoencoder.latent_frames(at + picture) - picture >= self.size:
                for frames in self._backward(request, own, at, frames_fn):
                    seen, done = np.concatenate([seen, frames])[-REMEMBERED:], done + len(frames)
                    yield frames
        for at, own in [*user_frames, (request.num_frames, end)]:
            while done < at:
                pieces = self.sample_window(request, seen, own, done, at - done, owed=owed, frames_fn=frames_fn)
                seen, done, owed = seen[: len(seen) - owed], done - owed, 0
                for frames in pieces:
                    seen, done = np.concatenate([seen, frames])[-REMEMBERED:], done + len(frames)
                    yield frames
            if owed:  # nothing was made after it
                yield seen
            owed = int(done == 0 and len(own) == 1)
            seen, done = np.concatenate([seen, own])[-REMEMBERED:], done + len(own)
            if len(own) and not owed:
                yield own

    def sample_window(
        self,
        request: Request,
        seen: np.ndarray,
        own: np.ndarray,
        done: int,
        gap: int,
        *,
        owed: int = 0,
        cross_fade: float = 1.0,
        frames_fn: FramesFn | None = None,
    ) -> Iterator[np.ndarray]:
        """Frames from the number `done` on, made in one window: all of a gap to `own`, or as many as there is room for.

        seen, own: somebody's frames, or made ones, before and after the gap; either may be none. owed: frames at the
        end of `seen` that come out too, as the decoder gives them back. A gap is filled in whole latent frames; what is
        too much is cut off at its end, or at its start where a clip comes after it and nothing before. A picture fills
        a latent frame, with what is left of the gap. cross_fade: as in `sample_between`; image-to-video networks have
        no use for it.
        """
        autoencoder, picture = self.engine.autoencoder, int(len(own) == 1)
        context, new, after = self._split_window(seen, own, gap)
        head = seen[len(seen) - autoencoder.num_frames(context) :] if context else seen[:0]
        length = context + new + (after if picture else 0)  # latent frames that frames are taken from
        count = autoencoder.num_frames(length)
        fresh = min(gap, count - len(head))
        early = count - fresh if not context and after and not picture else 0  # frames before the gap
        begin = done - len(head) - early
        step = replace(request, seed=request.seed + done, num_frames=autoencoder.num_frames(context + new + after))
        asked = frames_fn and frames_fn(slice(begin, begin + step.num_frames))
        if self.reads_frames_beside:
            ahead = own if after else no_frames(request)
            shown = self.frames_beside(step, [(0, head), (len(head) + early + gap, ahead)], asked)
            latents = self.engine.sample(step, conditioning_fn=shown)
        else:
            start = self.engine.encode(head) if context else None
            end = self.encode_after(own[: after * self.group]) if after else None
            latents = self.sample_between(step, start, end, new, cross_fade=cross_fade, conditioning_fn=asked)
        skip = early + len(head) - owed
        pieces = self.engine.decode(latents[:, :, :length], count, skip=skip, on_progress=request.on_progress)
        yield from cut(pieces, owed + fresh)

    def _split_window(self, seen: np.ndarray, own: np.ndarray, gap: int) -> tuple[int, int, int]:
        """Latent frames of a window: those seen before the gap, those that are made, those seen after it."""
        most = self.size
        context = min(OVERLAP, most // 2, -(-len(seen) // self.group))
        picture = int(len(own) == 1)
        whole = -(-(gap + picture) // self.group) - picture
        if context and len(own) and whole <= most - 2:  # then all of it, at the price of less that is seen before it
            context = min(context, most - 1 - whole)
        needed = max(1, whole if context else self.engine.autoencoder.latent_frames(gap + picture) - picture)
        room = most - context
        after = max(1, len(own) // self.group) if len(own) else 0
        if needed < room:
            return context, needed, min(after, OVERLAP, room - needed)
        # The last window is left two latent frames, to make them with what comes then in sight.
        return context, min(room, max(1, needed - 2) if after else needed), 0

    def _backward(
        self, request: Request, frames: np.ndarray, count: int, frames_fn: FramesFn | None = None
    ) -> list[np.ndarray]:
        """`count` frames that come before `frames`, made window by window from the last to the first; in order."""
        longest = self.engine.autoencoder.num_frames(self.size - min(OVERLAP, self.size // 2))
        pieces: list[np.ndarray] = []
        while count > 0:
            gap = min(count, longest)
            count -= gap
            piece = self.sample_window(request, no_frames(request), frames, count, gap, frames_fn=frames_fn)
            pieces.insert(0, np.concatenate(list(piece)))
            frames = np.concatenate([pieces[0], frames[:REMEMBERED]])
        return pieces

    def encode_after(self, frames: np.ndarray) -> Tensor:
        """Encode frames that come after others, as if the first of them had come before. A picture stays."""
        missing = -len(frames) % self.group
        padded = np.concatenate([frames[:1], frames, frames[-1:].repeat(missing, axis=0)])
        return self.engine.encode(padded)[:, :, 1:]

    @property
    def reads_frames_beside(self) -> bool:
        """Whether the network is one for image to video, which reads what is given beside the latents."""
        return bool(self.engine.transformer.config.concat_channels)

    def frames_beside(
        self, request: Request, user_frames: Sequence[UserFrames], conditioning_fn: ConditioningFn | None
    ) -> ConditioningFn:
        """What Wan's image-to-video networks read beside latents: a mask of given frames, and these in a grey video.

        They learned to begin with one frame, to go on with several, and to lead from some to others (arXiv 2503.20314).
        """
        device = self.engine.device
        video = torch.zeros(1, 3, request.num_frames, request.height, request.width, device=device)
        there = torch.zeros(request.num_frames, device=device)
        for at, frames in user_frames:
            seen = frames[: request.num_frames - at]
            video[:, :, at : at + len(seen)], there[at : at + len(seen)] = to_video(seen, device), 1.0
        latents = self.engine.encode(video)
        # A channel for each frame of a latent frame; the first of these is of one frame, which has them all.
        mask = torch.cat([there[:1].expand(MASK_CHANNELS), there[1:]]).view(1, -1, MASK_CHANNELS, 1, 1).transpose(1, 2)
        beside = torch.cat([mask.expand(-1, -1, -1, *latents.shape[3:]), latents], dim=1)
        return lambda each: replace(conditioning_fn(each) if conditioning_fn else each, channel_cond=beside)

    # ------------------------------------------------------------------------------------- parts of a video

    def take(self, frames: np.ndarray, keep: str) -> np.ndarray:
        return frames

    def length(self, part: np.ndarray) -> int:
        return len(part)

    def join(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(list(parts))

    def continue_from(self, request: Request, part: np.ndarray, count: int, earlier: int = 0) -> Iterator[np.ndarray]:
        total, seed = len(part) + count * self.group, request.seed + earlier * self.group
        return self.fill(replace(request, num_frames=total, seed=seed), [(0, part)])

    def extend_backward(self, request: Request, part: np.ndarray, count: int) -> list[np.ndarray]:
        return self._backward(request, part, count * self.group)

    def bridge(
        self, request: Request, before: np.ndarray, after: np.ndarray, seconds: float, cross_fade: float = 1.0
    ) -> np.ndarray:
        gap = self.room_between(seconds)[0] * self.group
        pieces = self.sample_window(request, before, after, len(before), gap, cross_fade=cross_fade)
        return self.join(list(pieces))

    def sample_cyclic(self, request: Request) -> np.ndarray:
        raise ValueError(
            f"{self.engine.settings.name} makes each latent frame out of all before it, so time cannot be a circle: "
            "lead a clip back to its start (loop --clip), or take embedded"
        )

    def to_frames(
        self, request: Request, parts: Iterable[np.ndarray], user_mask: Tensor, cyclic: bool = False
    ) -> tuple[Iterator[np.ndarray], int]:
        return iter(parts), len(user_mask)

    def frame_centers(self, part: slice) -> list[float]:
        """The first latent frame is of one frame."""
        later = range(part.start + 1, part.stop, self.group)
        return [part.start + 0.5, *(frame + self.group / 2 for frame in later)]

    def place_picture(self, at: int, num_frames: int) -> tuple[int, int]:
        return min(at, num_frames - 1), 1


def wants_user_frames(name: str) -> str:
    """What a model is for that makes nothing out of text alone."""
    return (
        f"{name} makes videos out of a picture or clip that they begin or end with (animate, extend, connect, "
        "loop --clip): for text alone, or to remix, take a text-to-video model"
    )


def no_frames(request: Request) -> np.ndarray:
    """No frames, of a request's size."""
    return np.empty((0, request.height, request.width, 3), np.uint8)
