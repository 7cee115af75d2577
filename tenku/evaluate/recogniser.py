"""Video classifier that judges prompt following: light, floor, event, main colour and kind of a clip.

It is trained on real clips of the miniature world in a few minutes of CPU (recogniser_training.py) and judges
generated ones; its accuracy on real held-out clips is the ceiling of what it can find right. Each frame goes
through a 2-D convolutional network in which some channels look one frame back and ahead (temporal shift, Lin
et al. 1811.08383), then 1-D convolutions look along time.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from tenku.data import source
from tenku.system.files import read_json, write_json, write_tensors
from tenku.world import lexicon
from tenku.world.caption_writer import color_of, group_color

# Shapes that 64 pixels cannot tell apart are one class; the table of classes is stored with the weights.
KIND_GROUPS = {"capsule": "rounded", "egg": "rounded", "cylinder": "rounded", "automobile": "car"}
NOT_READ = ("box", "wall", "domino")  # kinds that are never what a clip is about
KINDS = tuple(dict.fromkeys(KIND_GROUPS.get(kind, kind) for kind in lexicon.KINDS if kind not in NOT_READ))
COLORS = (
    *("red", "orange", "yellow", "green", "blue", "purple", "pink", "turquoise", "white", "black", "brown"),
    *("gray", "gold", "silver", "chocolate", "colorful"),
)
LABELS: dict[str, tuple[str, ...]] = {
    "light": tuple(lexicon.LIGHTS),
    "floor": tuple(lexicon.FLOORS),
    "event": tuple(lexicon.EVENTS),
    "color": COLORS,
    "kind": KINDS,
}

Frames = np.ndarray  # uint8 T H W 3
LabelledClip = tuple[Frames, dict[str, Any]]  # frames and description


def labels_of(description: dict[str, Any]) -> dict[str, str | None]:
    """The true labels of a clip's description; None where there is no single answer (a burger's colour)."""
    event, objects = description["event"], description["objects"]
    mains = [thing for thing in objects if thing["role"] == "main"]
    kinds = {KIND_GROUPS.get(thing["kind"], thing["kind"]) for thing in mains}
    colors = {color_of(thing) for thing in mains}
    color = colors.pop() if len(colors) == 1 else None
    kind = kinds.pop() if len(kinds) == 1 else None
    if event == "brush":
        color, kind = description["paint"], None
    elif event in ("pour", "apples"):
        color, kind = group_color(description), "ball" if event == "pour" else "apple"
    return {
        "light": description["light"],
        "floor": description["floor"],
        "event": event,
        "color": color if color in COLORS else None,
        "kind": kind if kind in KINDS else None,
    }


def read_clip_folder(folder: str | Path, limit: int | None = None) -> Iterable[tuple[Frames, dict[str, Any]]]:
    """(frames, truth) of each complete clip that `tenku world` wrote, in the order of their seeds.

    ValueError when there are none.
    """
    for sample in source.clips(folder, limit=limit):
        yield sample.frames(), sample.truth


@dataclass
class RecogniserConfig:
    """Sizes of the network; `side` is what the short side of a frame is scaled to."""

    side: int = 64
    num_frames: int = 12
    widths: tuple[int, ...] = (24, 40, 72, 128)
    hidden: int = 160
    labels: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(LABELS))


def evenly(frames: Frames, count: int) -> Frames:
    """`count` frames spread over the clip, first and last included (repeated when there are fewer)."""
    return frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]


def shrink(frames: Frames, side: int) -> Tensor:
    """Scale so that the short side is `side`, both sides multiples of 16: uint8 T 3 h w."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"a clip is uint8 T H W 3, not {frames.dtype} of shape {frames.shape}")
    video = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    height, width = video.shape[2:]
    size = [max(side, round(length * side / min(height, width) / 16) * 16) for length in (height, width)]
    if size == [height, width]:
        return video
    video = F.interpolate(video.float(), size=size, mode="bilinear", antialias=True, align_corners=False)
    return video.round().clamp(0, 255).to(torch.uint8)


def shift_in_time(x: Tensor, num_frames: int) -> Tensor:
    """Temporal shift: an eighth of the channels comes from the previous frame, an eighth from the next; (B T) C H W."""
    part = x.shape[1] // 8
    video = x.unflatten(0, (-1, num_frames))
    past = F.pad(video[:, :-1, :part], (0, 0, 0, 0, 0, 0, 1, 0))
    future = F.pad(video[:, 1:, part : 2 * part], (0, 0, 0, 0, 0, 0, 0, 1))
    shifted = torch.cat([past, future, video[:, :, 2 * part :]], dim=2).flatten(0, 1)
    return shifted.contiguous(memory_format=torch.channels_last)


class Stage(nn.Module):
    """Halve the picture, then one residual convolution that also looks at the neighbouring frames."""

    def __init__(self, in_channels: int, channels: int, residual: bool = True):
        super().__init__()
        self.down = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False)
        self.down_norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False) if residual else None
        self.conv_norm = nn.BatchNorm2d(channels) if residual else None

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        x = F.relu(self.down_norm(self.down(x)))
        if self.conv is None or self.conv_norm is None:
            return x
        return x + F.relu(self.conv_norm(self.conv(shift_in_time(x, num_frames))))


class RecogniserNetwork(nn.Module):
    """B T 3 H W in [0, 1] -> one row of logits per label."""

    def __init__(self, config: RecogniserConfig):
        super().__init__()
        channels = (6, *config.widths)
        self.stages = nn.ModuleList(
            Stage(before, after, residual=i > 0)
            for i, (before, after) in enumerate(zip(channels[:-1], channels[1:], strict=True))
        )
        self.project = nn.Linear(2 * sum(channels[2:]), config.hidden)
        self.along_time = nn.ModuleList(
            nn.Conv1d(config.hidden, config.hidden, 3, padding=dilation, dilation=dilation) for dilation in (1, 2)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(config.hidden) for _ in self.along_time)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(2 * config.hidden, len(classes)) for name, classes in config.labels.items()}
        )

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        x = self.features(video)
        return {name: head(x).float() for name, head in self.heads.items()}

    def features(self, video: Tensor) -> Tensor:
        """B T 3 H W in [0, 1] -> B 2·hidden: what all the labels are read from."""
        num_frames = video.shape[1]
        changes = torch.diff(video, dim=1, prepend=video[:, :1])
        x = torch.cat([2 * video - 1, 4 * changes], dim=2).flatten(0, 1)  # (B T) 6 H W
        x = x.contiguous(memory_format=torch.channels_last)
        pooled: list[Tensor] = []
        for i, stage in enumerate(self.stages):
            x = stage(x, num_frames)
            if i > 0:  # finer stages too: the colour of a small thing is lost further down
                pooled += [x.mean((2, 3)), x.amax((2, 3))]
        x = self.project(torch.cat(pooled, dim=1)).unflatten(0, (-1, num_frames)).transpose(1, 2)  # B D T
        for conv, norm in zip(self.along_time, self.norms, strict=True):
            x = x + F.relu(norm(conv(x)))
        return torch.cat([x.mean(2), x.amax(2)], dim=1)


class Recogniser:
    """A trained network with its classes. `read` judges one clip, `accuracy` a labelled set."""

    def __init__(self, network: RecogniserNetwork, config: RecogniserConfig):
        self.network = network.eval()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config = config

    def save(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors, atomically."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", asdict(self.config))
        write_tensors(folder / "model.safetensors", self.network.state_dict())

    @classmethod
    def load(cls, folder: str | Path) -> "Recogniser":
        """Read what `save` wrote. ValueError when the folder lacks it or it does not fit."""
        folder = Path(folder)
        for name in ("config.json", "model.safetensors"):
            if not (folder / name).is_file():
                raise ValueError(f"no recogniser in {folder}: {name} is missing (tenku evaluate recogniser)")
        stored = read_json(folder / "config.json")
        stored["widths"] = tuple(stored["widths"])
        stored["labels"] = {name: tuple(classes) for name, classes in stored["labels"].items()}
        try:
            config = RecogniserConfig(**stored)
            network = RecogniserNetwork(config)
            network.load_state_dict(load_file(folder / "model.safetensors"))
        except (TypeError, RuntimeError) as error:
            raise ValueError(f"the recogniser in {folder} does not fit this version: {error}") from error
        return cls(network, config)

    @torch.inference_mode()
    def probabilities(self, frames: Frames) -> dict[str, Tensor]:
        """Softmax over the classes of each label, for one clip (uint8 T H W 3, any size)."""
        return {name: row[0].softmax(0) for name, row in self.network(self._video(frames)).items()}

    @torch.inference_mode()
    def features(self, frames: Frames) -> np.ndarray:
        """Feature vector of one clip, from the last layer before the heads: for the distance between sets of clips."""
        return self.network.features(self._video(frames))[0].float().numpy()

    def _video(self, frames: Frames) -> Tensor:
        return shrink(evenly(frames, self.config.num_frames), self.config.side)[None].float() / 255

    def read(self, frames: Frames) -> dict[str, tuple[str, float]]:
        """label -> (most likely class, its probability)."""
        found = self.probabilities(frames)
        best = {name: row.max(0) for name, row in found.items()}
        classes = self.config.labels
        return {name: (classes[name][int(top.indices)], float(top.values)) for name, top in best.items()}

    def accuracy(self, clips: Iterable[LabelledClip]) -> dict[str, dict[str, Any]]:
        """Per label: share right, number judged, share of the commonest class, and the commonest confusions.

        Confusions are "truth -> read" with their counts; nothing is merged. ValueError without clips.
        """
        pairs: dict[str, list[tuple[str, str]]] = {name: [] for name in self.config.labels}
        for frames, description in clips:
            truth, found = labels_of(description), self.read(frames)
            for name, wanted in truth.items():
                if wanted is not None:
                    pairs[name].append((wanted, found[name][0]))
        if not pairs["event"]:
            raise ValueError("accuracy needs at least one clip")
        return {name: score(found) for name, found in pairs.items()}


def score(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """(truth, found) pairs -> share right, n, share of the commonest true class, commonest confusions."""
    if not pairs:
        return {"right": None, "n": 0, "majority": None, "confusions": {}}
    wrong = Counter(f"{truth} -> {found}" for truth, found in pairs if truth != found)
    commonest = Counter(truth for truth, _ in pairs).most_common(1)[0][1]
    return {
        "right": sum(truth == found for truth, found in pairs) / len(pairs),
        "n": len(pairs),
        "majority": commonest / len(pairs),
        "confusions": dict(wrong.most_common(8)),
    }
