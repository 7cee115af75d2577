"""What raises quality most per minute: the recipe with one thing changed at a time, each from nothing and as long.

    tenku world --clips 1500 --size 64x64 --samples 4 --out CLIPS
    tenku world --clips 48 --size 64x64 --samples 4 --split validation --out HELD_OUT
    tenku encode CLIPS HELD_OUT --autoencoder tenku/weights/embedded --out LATENTS
    python benchmarks/recipe.py --latents LATENTS --clips CLIPS --minutes 8

Prints a line for each: steps and samples, the loss on held-out clips, and how much larger it is with the captions of
others (0: the text is not looked at), with their ratios to the recipe as it is in the same run. The second line is the
recipe with another seed, averaged in other ways too: what it differs by is chance. Minutes are of wall time, so nothing
else should run beside it.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tenku.train.step import Question
from torch import Tensor, nn

from tenku import flow
from tenku.data.latents import read_manifest
from tenku.data.loader import Batch, Lengths, held_out_seeds
from tenku.model import Transformer, presets
from tenku.model.transformer import rotary_table
from tenku.system.files import read_json
from tenku.train.diffusion import Run, TrainConfig
from tenku.train.ema import Average
from tenku.world.camera import tangents

# Further averages beside the recipe's, which forgets what is older than a ninth of the run until it settles: decay, and
# how far it is ahead with settling.
AVERAGES = {
    "the weights themselves": (0.0, 1),
    "average of 0.9": (0.9, 1),
    "average of 0.97": (0.97, 1),
    "average of a third of the run": (0.9999, 3),
}
CONTRAST = 0.05
ROUTED = 0.5  # share of the tokens that skip the blocks between the first and the last
STATE_WEIGHT = 0.1
STATE = 7  # numbers: within the picture or not, across, down, distance, velocity across, down and away


class SeveralAverages(Run):
    """The recipe as it is, averaged over several lengths at once."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        self.others = {name: Average(self.modules, decay) for name, (decay, _) in AVERAGES.items()}

    def update(self, lengths: Lengths, lr_scale: float) -> None:
        super().update(lengths, lr_scale)
        for name, average in self.others.items():
            average.update(self.step * AVERAGES[name][1])


class AdamWAlone(Run):
    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        self.optimizer = self.new_optimizer(hidden=lambda name, parameter: False)


class LongCaptions(Run):
    """Only the captions that state everything; half of the held-out ones are of the other kinds."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        for bucket in self.loader.buckets:
            bucket.captions = [{language: each[1:3] for language, each in one.items()} for one in bucket.captions]


class Contrastive(Run):
    """Also away from the velocity of another sample of the batch (contrastive flow matching, arXiv 2506.05350)."""

    def loss(self, batch: Question) -> Tensor:
        predicted = step.answer(self.transformer, self.text, batch)
        loss = flow.loss(predicted, batch.latents, batch.noise, batch.cond_mask)
        others = (each.roll(1, 0) for each in (batch.latents, batch.noise))
        return loss - CONTRAST * flow.loss(predicted, *others, batch.cond_mask)


class Routed(Run):
    """Half of the tokens skip the blocks in the middle (TREAD, arXiv 2501.04765): cheaper steps, and more of them."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        self.transformer.forward = partial(routed, self.transformer)  # type: ignore[method-assign]


def routed(
    model: Transformer, latents: Tensor, t: Tensor, text_embeds: Tensor, text_mask: Tensor | None = None
) -> Tensor:
    """`Transformer.forward`, but only some of each frame's tokens pass the blocks between the first and the last."""
    grid = frames, height, width = latents.shape[2], *(side // model.config.patch_size[1] for side in latents.shape[3:])
    texts = model.text_keys_values(text_embeds)
    x = model._patches(latents).float()
    time = model.embed_time(t if t.dim() == 2 else t[:, None])
    modulation = model.time_projection(time).float().unflatten(-1, (6, -1))
    rotary = rotary_table(grid, model.config.hidden_size // model.config.num_heads, x.device)
    count = max(1, round((1 - ROUTED) * height * width))
    chosen = torch.rand(frames, height * width).argsort(1)[:, :count].sort(1).values
    chosen = (chosen + height * width * torch.arange(frames)[:, None]).flatten().to(x.device)
    first, *middle, last = zip(model.blocks, texts, strict=True)
    x = first[0](x, modulation, first[1], text_mask, rotary)
    some = x[:, chosen]
    for block, keys_values in middle:
        some = block(some, modulation, keys_values, text_mask, rotary[chosen])
    x = x.index_copy(1, chosen, some)
    x = last[0](x, modulation, last[1], text_mask, rotary)
    return model._unpatch(model.head(x, time), grid).to(latents.dtype)


class StateHead(Run):
    """The tokens of the middle block also tell where the main thing is, how far away, and how it moves.

    The truth travels as further channels of the latents, the same at every place of a frame. Not compiled, since that
    would ask for a step before they are there.
    """

    def __init__(self, config: TrainConfig, clips: Path) -> None:
        super().__init__(replace(config, compile=False))
        for bucket, states in zip(self.loader.buckets, states_of(config.latents, clips), strict=True):
            states = states[..., None, None].expand(-1, -1, -1, *bucket.latents.shape[3:])
            bucket.latents = torch.cat([bucket.latents, states.to(bucket.latents)], dim=1)
        self.loader.hold(self.loader.buckets)
        self.draw, self.loader.next = self.loader.next, self.next  # type: ignore[method-assign]
        self.head = nn.Linear(self.transformer.config.hidden_size, STATE).to(self.device)
        self.modules["state"] = self.head
        self.optimizer, self.average = self.new_optimizer(), Average(self.modules, config.ema_decay)
        self.tokens = self.states = torch.zeros(())
        self.transformer.blocks[len(self.transformer.blocks) // 2].register_forward_hook(self.keep)

    def keep(self, module: nn.Module, given: Any, tokens: Tensor) -> None:
        self.tokens = tokens

    def next(self, lengths: Lengths) -> Batch:
        """A batch whose states are kept for the loss."""
        batch = self.draw(lengths)
        self.states = batch.latents[:, -STATE:, :, 0, 0].transpose(1, 2).to(self.device)
        return Batch(batch.latents[:, :-STATE], batch.captions)

    def loss(self, batch: Question) -> Tensor:
        loss = super().loss(batch)
        height, width = (each // self.transformer.config.patch_size[1] for each in batch.latents.shape[3:])
        told = self.head(self.tokens).unflatten(1, (batch.latents.shape[2], -1))  # B T S STATE
        return loss + STATE_WEIGHT * state_loss(told, self.states, height, width)


def state_loss(told: Tensor, states: Tensor, height: int, width: int) -> Tensor:
    """told: B T S STATE, of each token whether the thing is there, and the rest of its state; states: B T STATE."""
    seen = states[..., 0] > 0.5
    if not bool(seen.any()):
        return told.sum() * 0
    told, states = told[seen], states[seen]  # N S 7, N 7
    column, row = ((states[:, i] + 1) / 2 * side for i, side in ((1, width), (2, height)))
    place = row.long().clamp(0, height - 1) * width + column.long().clamp(0, width - 1)
    there = F.cross_entropy(told[..., 0].float(), place)
    return there + F.smooth_l1_loss(told[torch.arange(len(told)), place, 1:].float(), states[:, 1:])


def states_of(latents: Path, clips: Path) -> list[Tensor]:
    """Of each bucket's training clips: N STATE T."""
    buckets = read_manifest(latents)["buckets"]
    entries = [[clip for shard in bucket["shards"] for clip in shard["clips"]] for bucket in buckets]
    held_out = held_out_seeds([clip for bucket in entries for clip in bucket])
    kept = ([clip for clip in each if clip["split"] == "train" and clip["seed"] not in held_out] for each in entries)
    return [torch.stack([state(clips, clip["seed"], clip["mirrored"]) for clip in each]) for each in kept if each]


def state(clips: Path, seed: int, mirrored: bool) -> Tensor:
    """STATE T, a moment in the middle of each group of 4 frames: the main thing as the camera sees it."""
    truth = read_json(clips / f"{seed:010d}.json")
    description, (width, height) = truth["description"], truth["size"]
    roles = [thing["role"] for thing in description["objects"]]
    main = next((roles.index(role) for role in ("main", "many") if role in roles), 0)
    at, velocity = (np.array(truth["states"][name])[2::4, main] for name in ("position", "velocity"))
    axes = {name: np.array(values)[2::4] for name, values in truth["camera"].items()}
    axes["up"] = -axes["up"]  # down
    seen = [((at - axes["eye"]) * axes[name]).sum(-1) for name in ("right", "up", "forward")]
    moves = [(velocity * axes[name]).sum(-1) for name in ("right", "up", "forward")]
    wide = tangents(width / height)
    across, down = (each / seen[2].clip(0.1) / tangent for each, tangent in zip(seen[:2], wide, strict=True))
    inside = (np.abs(across) < 1) & (np.abs(down) < 1) & (seen[2] > 0.1)
    inside &= description["event"] != "pendulum"  # its place is that of the hinge
    sign = -1 if mirrored else 1
    found = [inside, sign * across, down, np.log(seen[2].clip(0.1)), sign * moves[0], moves[1], moves[2]]
    return torch.from_numpy(np.stack([each.astype(np.float32) for each in found])).clamp(-4, 4)


@dataclass(frozen=True)
class Variation:
    settings: dict[str, Any]
    run: Callable[[TrainConfig], Run] = Run
    sizes: Callable[[presets.Preset], presets.Preset] = lambda preset: preset


def text_of(**sizes: int) -> Callable[[presets.Preset], presets.Preset]:
    def changed(preset: presets.Preset) -> presets.Preset:
        assert preset.text is not None
        text = replace(preset.text, **sizes)
        return presets.Preset(replace(preset.transformer, text_size=text.hidden_size), text)

    return changed


def small_patches(preset: presets.Preset) -> presets.Preset:
    return presets.Preset(replace(preset.transformer, patch_size=(1, 1, 1)), preset.text)


def variations(clips: Path | None) -> dict[str, Variation]:
    all_of_them = {
        "as it is": Variation({}),
        "as it is, another seed": Variation({"seed": 1}, SeveralAverages),
        "AdamW alone, 2e-3": Variation({}, AdamWAlone),
        "shift 2": Variation({"objective": CorruptionConfig(cond_prob=0.3, shift=2.0)}),
        "where something moves 4 times": Variation({"objective": CorruptionConfig(cond_prob=0.3, motion=3.0)}),
        "no stills first": Variation({"stills_until": 0.0}),
        "text encoder 256x4": Variation({}, Run, text_of(hidden_size=256, depth=4)),
        "text encoder 128x1": Variation({}, Run, text_of(hidden_size=128, depth=1)),
        "long captions alone": Variation({}, LongCaptions),
        "patches of one latent": Variation({}, Run, small_patches),
        "contrastive, 0.05": Variation({}, Contrastive),
        "half of the tokens skip the middle": Variation({}, Routed),
    }
    if clips is not None:
        all_of_them["the middle tells the state"] = Variation({}, partial(StateHead, clips=clips))
    return all_of_them


def train(variation: Variation, config: TrainConfig) -> tuple[Run, dict[str, Any]]:
    """A variation trained until its budget is spent, and what it gave on held-out clips."""
    sizes = variation.sizes(presets.get(config.preset))
    presets.PRESETS["variation"] = lambda: sizes
    run = variation.run(replace(config, preset="variation", **variation.settings))
    if run.validation is None:
        raise ValueError("encode some clips of the validation split too: the comparison is made on these")
    run.started = time.monotonic()  # compiling does not count
    while run.progress < 1:
        run.one_step()
    return run, run.validation.measure(run.average.modules["transformer"], run.average.modules["text"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument(
        "--clips", type=Path, help="where these latents come from: the state of the world is read there"
    )
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--preset", default="embedded-cpu")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--only", nargs="*", help="names of variations; as it is comes first in any case")
    parser.add_argument("--out", type=Path, default=Path("out/recipe"))
    arguments = parser.parse_args()
    everything = variations(arguments.clips)
    if unknown := set(arguments.only or ()) - set(everything):
        parser.error(f"no variation {', '.join(unknown)} (the state needs --clips); there are {', '.join(everything)}")
    config = CorruptionConfig(cond_prob=0.3)
    common = dict(minutes=arguments.minutes, batch_size=arguments.batch_size, objective=objective, show_progress=False)
    print("| changed | steps | samples | held-out loss | caption gain |\n|---|---|---|---|---|", flush=True)
    usual: dict[str, Any] = {}
    for index, (name, variation) in enumerate(everything.items()):
        if arguments.only and index and name not in arguments.only:
            continue
        out = arguments.out / f"{index:02d}"
        config = TrainConfig(arguments.latents, out, arguments.preset, resume="never", **common)
        run, found = train(variation, config)
        usual = usual or found
        report(name, run, found, usual)
        for other, average in getattr(run, "others", {}).items():
            found = run.validation.measure(average.modules["transformer"], average.modules["text"])
            report(other, run, found, usual)


def report(name: str, run: Run, found: dict[str, Any], usual: dict[str, Any]) -> None:
    told = (f"{found[key]:.4f} ({found[key] / usual[key]:.2f})" for key in ("validation_loss", "caption_gain"))
    print(f"| {name} | {run.step} | {run.samples} | {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
