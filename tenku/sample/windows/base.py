"""What both kinds of windows share: sampling a window in which some latent frames are given."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tenku.sample.conditioning import Conditioning, ConditioningFn, with_cond_frames
from tenku.sample.engine import Engine
from tenku.sample.request import Request, checked_length
from tenku.sample.user_frames import UserFrames, whole_groups

# What is asked of some frames of the video (a slice of their numbers): a text of their own, for example.
FramesFn = Callable[[slice], ConditioningFn]
Part = Any  # of a video: latents 1 C T h w (LatentWindows) or frames uint8 T H W 3 (PixelWindows)


class Windows(ABC):
    """Videos of any length around somebody's own frames, a window at a time.

    A part of a video is whatever is handed from window to window: latents, or frames. `unit` is how much of it a latent
    frame is, and user masks (bool) have an entry for each latent frame or frame accordingly.
    """

    unit: int
    strength_per_frame: bool  # whether a remix may change its strength from frame to frame

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def group(self) -> int:
        """Frames of a latent frame."""
        return self.engine.autoencoder.temporal_compression

    @property
    def size(self) -> int:
        """The most latent frames that the model makes at a time."""
        return self.engine.autoencoder.latent_frames(self.engine.settings.max_frames)

    # ------------------------------------------------------------------------------------------- whole videos

    @abstractmethod
    def fill(
        self, request: Request, user_frames: Sequence[UserFrames] = (), *, frames_fn: FramesFn | None = None
    ) -> Iterator[np.ndarray]:
        """Frames uint8 k H W 3 of a video in which user frames (in order of time) stand at their places.

        All others are made; they come as soon as they are decoded, and may be a few more than were asked for.
        """

    # ------------------------------------------------------------------------------------- parts of a video

    @abstractmethod
    def take(self, frames: np.ndarray, keep: str) -> Part:
        """A user's frames as a part; where only whole groups can be taken, `keep` says which end stays."""

    @abstractmethod
    def length(self, part: Part) -> int:
        """Entries that a part has in a user mask."""

    def num_frames(self, part: Part) -> int:
        """Frames of a part."""
        return self.length(part) * self.group // self.unit

    @abstractmethod
    def join(self, parts: Sequence[Part]) -> Part:
        """Parts one after the other in time."""

    @abstractmethod
    def continue_from(self, request: Request, part: Part, count: int, earlier: int = 0) -> Iterator[Part]:
        """A part and `count` latent frames made after it, as they come; earlier: latent frames made before it."""

    @abstractmethod
    def extend_backward(self, request: Request, part: Part, count: int) -> list[Part]:
        """`count` latent frames that come before a part, made window by window from the last to the first."""

    @abstractmethod
    def bridge(self, request: Request, before: Part, after: Part, seconds: float, cross_fade: float = 1.0) -> Part:
        """New frames that lead from the end of one part to the start of another; cross_fade as in `sample_between`."""

    @abstractmethod
    def sample_cyclic(self, request: Request) -> Part:
        """A clip made on a circle, whose end leads to its beginning. ValueError where that cannot be."""

    @abstractmethod
    def to_frames(
        self, request: Request, parts: Iterable[Part], user_mask: Tensor, cyclic: bool = False
    ) -> tuple[Iterator[np.ndarray], int]:
        """Frames of parts as they come, and how many; cyclic: the end leads to the beginning."""

    # ----------------------------------------------------------------------------------- places in a video

    extra_frames: int  # that a clip has beside whole groups

    @abstractmethod
    def frame_centers(self, part: slice) -> list[float]:
        """The moment, in frames of the video, in the middle of each latent frame of some frames."""

    @abstractmethod
    def place_picture(self, at: int, num_frames: int) -> tuple[int, int]:
        """Where a picture can stand that should stand at a frame of a video, and how many frames it takes up."""

    def whole_groups(self, frames: np.ndarray, keep: str) -> np.ndarray:
        """As many of the frames as can be encoded."""
        return whole_groups(frames, self.group, keep, extra=self.extra_frames)

    def latent_count(self, seconds: float) -> int:
        """Latent frames of so many seconds, rounded up. ValueError when these are no length."""
        return -int(-checked_length(seconds) * self.engine.settings.fps // self.group)

    def room_between(self, seconds: float) -> tuple[int, int]:
        """New latent frames for `seconds` between two clips, and how many of each clip are seen with them."""
        new, most = self.latent_count(seconds), self.size
        if most < 3:
            raise ValueError(
                f"{self.engine.settings.name} makes too few frames at once to see two clips and what is between"
            )
        if not 1 <= new <= most - 2:
            longest = (most - 2) * self.group / self.engine.settings.fps
            raise ValueError(f"new seconds between two ends are above 0 and at most {longest:g}, got {seconds:g}")
        return new, (most - new) // 2

    # -------------------------------------------------------------------------------------------- one window

    def inpaint_frames(
        self,
        request: Request,
        latents: Tensor,
        mask: Tensor,
        noise_level: float | Tensor = 0.0,
        *,
        conditioning_fn: ConditioningFn | None = None,
    ) -> Tensor:
        """Latents 1 C T h w with the frames that are not given (mask: T bool) made to fit the others and the prompt.

        noise_level: at which given frames are shown to a model that was trained for it.
        """

        def inpainting(conditioning: Conditioning) -> Conditioning:
            conditioning = conditioning_fn(conditioning) if conditioning_fn is not None else conditioning
            if not bool(mask.any()):
                return conditioning
            level = shown_noise_level(self.engine.settings.known, noise_level, len(mask))
            return with_cond_frames(conditioning, latents, mask, level)

        autoencoder = self.engine.autoencoder
        if autoencoder.latent_frames(request.num_frames) != latents.shape[2]:
            request = replace(request, num_frames=autoencoder.num_frames(latents.shape[2]))
        return self.engine.sample(request, conditioning_fn=inpainting)

    def sample_between(
        self,
        request: Request,
        head: Tensor | None,
        tail: Tensor | None,
        new: int,
        *,
        cross_fade: float = 1.0,
        conditioning_fn: ConditioningFn | None = None,
    ) -> Tensor:
        """Latents `head`, then `new` ones that are made to lead from it to `tail`, and `tail`; either may be None.

        cross_fade: the noise level of a cross-fade of both ends that the new ones are made out of; at 1 nothing of it
        is left.
        """
        frames = self.engine.autoencoder.num_frames(new)
        middle, _ = self.nothing_given(replace(request, num_frames=frames))
        if head is not None and tail is not None:
            share = torch.linspace(0, 1, new + 2, device=head.device)[1:-1].view(-1, 1, 1).to(head.dtype)
            middle = torch.lerp(head[:, :, -1:], tail[:, :, :1], share)
        parts = [(part, given) for part, given in ((head, True), (middle, False), (tail, True)) if part is not None]
        whole = torch.cat([part for part, _ in parts], dim=2)
        mask = torch.tensor([given for part, given in parts for _ in range(part.shape[2])])

        def from_both_ends(conditioning: Conditioning) -> Conditioning:
            conditioning = conditioning_fn(conditioning) if conditioning_fn is not None else conditioning
            return replace(conditioning, start_latents=whole, strength=cross_fade) if cross_fade < 1 else conditioning

        return self.inpaint_frames(request, whole, mask, conditioning_fn=from_both_ends)

    def nothing_given(self, request: Request) -> tuple[Tensor, Tensor]:
        """Zeros in the shape of a request's latents, which take no memory, and a mask of its frames, all False."""
        shape = self.engine.latent_shape(request)
        return torch.zeros((), device=self.engine.device).expand(shape), torch.zeros(shape[2], dtype=torch.bool)


def shown_noise_level(can: str, noise_level: float | Tensor, frames: int) -> float | Tensor:
    """The noise level at which a model that `can` be given "any", the "first" or "none" of its frames is shown them.

    What it was not trained to see clean is as noisy as what it makes (RePaint, arXiv 2201.09865).
    """
    if can == "any":
        return noise_level
    levels = torch.ones(frames)
    if can == "first":
        levels[0] = 0.0
    return levels
