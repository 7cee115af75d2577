"""The video autoencoder (a deterministic VAE): 4x temporal and 8x8 spatial compression, streaming decoder.

The encoder sees each group of 4 frames by itself, so a latent frame means the same wherever it stands and
cutting, joining or looping latents is exact. The decoder also sees features of the groups before and the latents of
the one that follows; a deblocking filter in time, as in video codecs, removes what is left of a jump between groups.
It decodes piece by piece in constant memory, one group late. Pixels are unshuffled by 4 and the frames of a group
stacked as channels first, so the widest feature maps are a quarter of the picture's size, once per group and not per
frame; convolutions are 2-D and channels-last (up to 1.8 times as fast on a CPU).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tenku.model.weights import load_config, load_into, part_folder

GROUP = 4  # frames in a group
PATCH = 4  # pixels unshuffled at the entrance; one more halving of the size follows
PAST = 4  # a block sees 1/PAST of the channels of the group before
LOG_VARIANCE_LIMITS = (-12.0, 6.0)
# Filter taps: the share of a jump that the two frames before a border and the two after it take over; where user frames
# meet generated ones, the generated ones take over all of it. What is left of the jump, as measured, is nothing.
EVENLY = (0.125, 0.375, -0.375, -0.125)
BEFORE, AFTER = (0.25, 0.75, 0.0, 0.0), (0.0, 0.0, -0.75, -0.25)
KEPT = 2  # frames before a border that the filter changes once the next group is known
JUMP = 0.15  # threshold of the filter, of values in [-1, 1]: much larger jumps are motion, not errors …
JOINT = 0.5  # … and the same between a user frame and a generated one

State = list[Tensor]  # of a stream: each block's features of the last group, and its last two frames


@dataclass(frozen=True)
class AutoencoderConfig:
    """Widths and numbers of blocks at a quarter and at an eighth of the picture's size."""

    latent_channels: int = 16
    encoder_widths: tuple[int, int] = (128, 192)
    encoder_depths: tuple[int, int] = (2, 5)
    decoder_widths: tuple[int, int] = (128, 256)
    decoder_depths: tuple[int, int] = (4, 5)

    def __post_init__(self) -> None:
        for name in ("encoder_widths", "encoder_depths", "decoder_widths", "decoder_depths"):
            values = getattr(self, name)
            if len(values) != 2 or min(values) < 1:
                raise ValueError(f"{name} must be two numbers of at least 1, got {values}")
        if min(self.decoder_widths) < PAST:
            raise ValueError(f"decoder_widths must be at least {PAST}, got {self.decoder_widths}")
        if self.latent_channels < 1:
            raise ValueError(f"latent_channels must be at least 1, got {self.latent_channels}")


def embedded() -> AutoencoderConfig:
    """Trains in 36 minutes on two CPU cores that multiply bf16; the one shipped."""
    return AutoencoderConfig()


def nano() -> AutoencoderConfig:
    """For tests."""
    return AutoencoderConfig(
        encoder_widths=(16, 16), encoder_depths=(1, 1), decoder_widths=(16, 16), decoder_depths=(1, 1)
    )


PRESETS = {"embedded": embedded, "nano": nano}


class Block(nn.Module):
    """Residual convolution block on N C H W. With `past`, it also sees 1/PAST of the channels of the group before."""

    def __init__(self, width: int, past: bool = False):
        super().__init__()
        self.past = width // PAST if past else 0
        self.norm = nn.LayerNorm(width)
        self.conv_in = nn.Conv2d(width + self.past, width, 3, padding=1)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        assert self.conv_out.bias is not None
        nn.init.zeros_(self.conv_out.bias)

    def forward(
        self, x: Tensor, groups: int = 1, before: Tensor | None = None, alone: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """x: (B groups) C H W; before: B 1 H W C/PAST. Returns x and the features that the next group will see.

        alone: bool per group, which see themselves in place of the group before.
        """
        h = F.silu(self.norm(x.permute(0, 2, 3, 1)))  # N H W C: channels-last memory, no copy
        last = None
        if self.past:
            seen = h[..., -self.past :].unflatten(0, (-1, groups))  # B groups H W C
            last = seen[:, -1:]
            earlier = torch.cat([seen[:, :1] if before is None else before.to(h.dtype), seen[:, :-1]], dim=1)
            if alone is not None:
                earlier = torch.where(alone[:, None, None, None], seen, earlier)
            h = torch.cat([h, earlier.flatten(0, 1)], dim=-1)
        h = self.conv_in(h.permute(0, 3, 1, 2))
        return x + self.conv_out(F.silu(h)), last


class Encoder(nn.Module):
    """(B T) (4 3) H W -> (B T) 2C H/8 W/8: mean and log variance of each group's latents."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        quarter, eighth = config.encoder_widths
        self.conv_in = nn.Conv2d(GROUP * 3 * PATCH**2, quarter, 3, padding=1)
        self.quarter = nn.ModuleList(Block(quarter) for _ in range(config.encoder_depths[0]))
        self.down = nn.Conv2d(quarter, eighth, 2, stride=2)
        self.eighth = nn.ModuleList(Block(eighth) for _ in range(config.encoder_depths[1]))
        self.head = nn.Conv2d(eighth, 2 * config.latent_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_unshuffle(x, PATCH).contiguous(memory_format=torch.channels_last)
        x = self.conv_in(x)
        for block in self.quarter:
            x, _ = block(x)
        x = self.down(x)
        for block in self.eighth:
            x, _ = block(x)
        return self.head(x)


class Decoder(nn.Module):
    """B T 2C h w, each group beside the one that follows -> (B T) (4 3) 8h 8w."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        quarter, eighth = config.decoder_widths
        self.conv_in = nn.Conv2d(2 * config.latent_channels, eighth, 3, padding=1)
        self.eighth = nn.ModuleList(Block(eighth, past=True) for _ in range(config.decoder_depths[1]))
        self.up = nn.Conv2d(eighth, 4 * quarter, 1)
        self.quarter = nn.ModuleList(Block(quarter, past=True) for _ in range(config.decoder_depths[0]))
        self.norm = nn.LayerNorm(quarter)
        self.head = nn.Conv2d(quarter, GROUP * 3 * PATCH**2, 3, padding=1)

    def forward(self, x: Tensor, state: State | None = None, alone: Tensor | None = None) -> tuple[Tensor, State]:
        groups = x.shape[1]
        before: list[Tensor | None] = [None] * (len(self.eighth) + len(self.quarter))
        if state is not None:
            before = list(state)
        after: State = []
        x = self.conv_in(x.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        for index, block in enumerate([*self.eighth, *self.quarter]):
            if index == len(self.eighth):
                x = F.pixel_shuffle(self.up(x), 2).contiguous(memory_format=torch.channels_last)
            x, last = block(x, groups, before[index], alone)
            after.append(last)
        x = F.silu(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return F.pixel_shuffle(self.head(x), PATCH), after


class Autoencoder(nn.Module):
    """Video B 3 T H W in [-1, 1] <-> latents B C T/4 H/8 W/8 of about unit variance."""

    spatial_compression = 2 * PATCH
    temporal_compression = GROUP
    streams = True  # decodes piece by piece
    causal = False  # each latent frame encodes its own group of frames alone
    looks_ahead = True  # decoding a piece needs the latent frame that follows it
    encode_frames: int | None = 64  # frames that may be encoded at a time: groups do not depend on one another
    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("latent_mean", torch.zeros(config.latent_channels))
        self.register_buffer("latent_std", torch.ones(config.latent_channels))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def latent_channels(self) -> int:
        return self.config.latent_channels

    @property
    def memory_frames(self) -> int:
        """Receptive field of the decoder in time: latent frames before a frame that it depends on, one a block."""
        return sum(self.config.decoder_depths)

    def latent_frames(self, num_frames: int) -> int:
        """Latent frames of a video; its last group is filled up by repeating the last frame."""
        return -(-num_frames // GROUP)

    def num_frames(self, latent_frames: int) -> int:
        """The most frames that so many latent frames hold."""
        return latent_frames * GROUP

    def encode(self, video: Tensor) -> Tensor:
        """B 3 T H W to latents B C T/4 H/8 W/8. T is a multiple of 4, or 1: a still is one latent frame.

        ValueError for other lengths and for sides that are not multiples of 8.
        """
        mean, _ = self.encode_distribution(video)
        return self.scale(mean)

    def encode_distribution(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the posterior, unnormalized, both B C T/4 H/8 W/8: for training the autoencoder."""
        batch, channels, frames, height, width = video.shape
        if frames == 1:
            video, frames = video.expand(-1, -1, GROUP, -1, -1), GROUP
        if channels != 3 or frames % GROUP or not frames:
            raise ValueError(f"video must be B 3 T H W with T a multiple of {GROUP} or 1, got {tuple(video.shape)}")
        if height % self.spatial_compression or width % self.spatial_compression or not height * width:
            raise ValueError(f"width and height must be multiples of {self.spatial_compression}, got {width}x{height}")
        x = video.to(self.latent_dtype).unflatten(2, (-1, GROUP)).transpose(1, 2)  # B T/4 3 4 H W
        x = self.encoder(x.flatten(2, 3).flatten(0, 1))
        x = x.unflatten(0, (batch, -1)).transpose(1, 2)  # B 2C T/4 H/8 W/8
        mean, log_variance = x.chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_LIMITS)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents B C T h w to video B 3 4T 8h 8w, not clamped."""
        return self.decode_next(latents)[0]

    def decode_next(
        self,
        latents: Tensor,
        state: State | None = None,
        following: Tensor | None = None,
        is_user_frame: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Decode the next latent frames of a stream: piece by piece this gives what `decode` gives at once.

        state: None at the start (the first group is then its own past), else what the call before returned.
        following: the latent frame B C 1 h w after these, None at the end; while one follows, the last two frames are
        held back and come with the next piece. is_user_frame: bool mask of the latent frames that encode the user's
        frames, with one entry more for the latent frame before (where state is given) and for the one after (where
        there is one); None: none. ValueError for a wrong shape.
        """
        video, features = self._decode(latents, None if state is None else state[:-1], following, is_user_frame)
        kept = video[:, :, :0] if state is None else state[-1]
        video = smooth_borders(torch.cat([kept.float(), video.float()], dim=2), kept.shape[2] or GROUP, is_user_frame)
        ready = video.shape[2] - (0 if following is None else KEPT)
        return video[:, :, :ready], [*features, video[:, :, -KEPT:]]

    def _decode(
        self,
        latents: Tensor,
        state: State | None = None,
        following: Tensor | None = None,
        is_user_frame: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """As `decode_next`, without the deblocking filter, and with nothing held back.

        User frames should come back unchanged: where generated ones follow, the last user group looks only half
        ahead, and a single user group among generated ones does not look back.
        """
        if latents.ndim != 5 or latents.shape[1] != self.latent_channels or not latents.shape[2]:
            raise ValueError(
                f"latents must be B {self.latent_channels} T h w with T above 0, got {tuple(latents.shape)}"
            )
        batch, _, groups = latents.shape[:3]
        following = latents[:, :, -1:] if following is None else following
        shifted = torch.cat([latents[:, :, 1:], following], dim=2)
        alone = None
        if is_user_frame is not None:
            mask = is_user_frame if state is not None else F.pad(is_user_frame, (1, 0), value=bool(is_user_frame[0]))
            mask = F.pad(mask, (0, 1))[: groups + 2].to(latents.device)  # the frames before and after included
            before, own, after = mask[:-2], mask[1:-1], mask[2:]
            ends = own & ~after
            alone = ends & ~before
            shifted = torch.where(ends[:, None, None], 0.5 * (latents + shifted), shifted)
        x = torch.cat([self.unscale(frames.to(self.latent_dtype)) for frames in (latents, shifted)], dim=1)
        x, state = self.decoder(x.transpose(1, 2), state, alone)
        return x.unflatten(0, (batch, groups)).unflatten(2, (3, GROUP)).transpose(1, 2).flatten(2, 3), state

    def decode_raw(self, latents: Tensor) -> Tensor:
        """The decoder alone, without filter, for unnormalized latents: for training the autoencoder."""
        return self._decode(self.scale(latents))[0]

    @property
    def latent_dtype(self) -> torch.dtype:
        return self.encoder.head.weight.dtype

    def scale(self, latents: Tensor) -> Tensor:
        """Normalize latents to about zero mean and unit variance."""
        return (latents - self.latent_mean.view(-1, 1, 1, 1)) / self.latent_std.view(-1, 1, 1, 1)

    def unscale(self, latents: Tensor) -> Tensor:
        """Undo `scale`."""
        return latents * self.latent_std.view(-1, 1, 1, 1) + self.latent_mean.view(-1, 1, 1, 1)


def smooth_borders(video: Tensor, first: int, is_user_frame: Tensor | None = None) -> Tensor:
    """Deblocking filter in time: remove small jumps of a video B 3 T H W at frame `first` and every 4 from there.

    A jump is what the step across a border has more than the steps before and after it. Where it is small it is an
    error, and spread over two frames on either side; where it is large something moves, and it stays. is_user_frame:
    bool mask of the group before the first border and of each that follows; user frames that meet generated ones stay.
    """
    frames = list(video.unbind(2))
    for number, border in enumerate(range(first, len(frames) - 1, GROUP)):
        a, b, c, d = frames[border - 2 : border + 2]
        jump = (c - b) - 0.5 * ((b - a) + (d - c))
        size = F.avg_pool2d(jump.abs().mean(1, keepdim=True), 3, stride=1, padding=1, count_include_pad=False)
        own_before, own_after = (False, False) if is_user_frame is None else is_user_frame[number : number + 2].tolist()
        joint = own_before != own_after
        jump = jump * torch.exp(-((size / (JOINT if joint else JUMP)) ** 2))
        shares = EVENLY if not joint else AFTER if own_before else BEFORE
        frames[border - 2 : border + 2] = [
            frame + share * jump for frame, share in zip((a, b, c, d), shares, strict=True)
        ]
    return torch.stack(frames, dim=2)


def to_video(frames: np.ndarray, device: torch.device) -> Tensor:
    """Frames uint8 T H W 3 to a video tensor 1 3 T H W in [-1, 1]."""
    video = torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(3, 0, 1, 2)[None]
    return video.float() / 127.5 - 1


def to_frames(video: Tensor) -> np.ndarray:
    """A video tensor 1 3 T H W in [-1, 1], clamped, to frames uint8 T H W 3."""
    pixels = (video[0].float().clamp(-1, 1) + 1).mul(127.5).round().to(torch.uint8)
    return pixels.permute(1, 2, 3, 0).contiguous().cpu().numpy()


def load_autoencoder(folder: str | Path) -> Autoencoder:
    """Load the autoencoder of FOLDER/autoencoder or of the folder itself: float32, evaluation mode.

    ValueError names the file or tensor that is missing or wrong.
    """
    folder = part_folder(folder, "autoencoder")
    autoencoder = Autoencoder(load_config(folder, AutoencoderConfig))
    load_into(autoencoder, folder)
    return autoencoder.eval()
