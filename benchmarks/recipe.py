"""What raises quality most per minute: the recipe with one thing changed at a time, each from nothing and as long.

    tenku world --clips 1500 --size 64x64 --samples 4 --out CLIPS
    tenku world --clips 48 --size 64x64 --samples 4 --split validation --out HELD_OUT
    tenku encode CLIPS HELD_OUT --autoencoder tenku/weights/embedded --out LATENTS
    python benchmarks/recipe.py --latents LATENTS --minutes 8

Prints a line for each: steps and samples, the loss on held-out clips, and how much larger it is with the captions of
others (0: the text is not looked at), with their ratios to the recipe as it is in the same run. The second line is the
recipe with another seed, averaged in other ways too: what it differs by is chance. Minutes are of wall time, so nothing
else should run beside it. What was tried and not taken (docs/LOG.md) is no longer here.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tenku.model import presets
from tenku.train.corruption import CorruptionConfig
from tenku.train.diffusion import DiffusionTrainer, TrainConfig
from tenku.train.ema import EMA
from tenku.train.trainer import Step

# Further averages beside the recipe's, which forgets what is older than a ninth of the run until it settles: decay, and
# how far it is ahead with settling.
AVERAGES = {
    "the weights themselves": (0.0, 1),
    "average of 0.9": (0.9, 1),
    "average of 0.97": (0.97, 1),
    "average of a third of the run": (0.9999, 3),
}
CORRUPTION = CorruptionConfig(cond_prob=0.3)


class SeveralAverages(DiffusionTrainer):
    """The recipe as it is, averaged over several lengths at once."""

    def warm_up(self) -> None:
        super().warm_up()
        self.others = {name: EMA(self.modules, decay) for name, (decay, _) in AVERAGES.items()}

    def update(self, result: Step) -> None:
        super().update(result)
        for name, average in self.others.items():
            average.update(self.step * AVERAGES[name][1])


def small_text(preset: presets.Preset) -> presets.Preset:
    assert preset.text is not None
    text = replace(preset.text, hidden_size=128, depth=1)
    return presets.Preset(replace(preset.transformer, text_size=text.hidden_size), text)


def small_patches(preset: presets.Preset) -> presets.Preset:
    return presets.Preset(replace(preset.transformer, patch_size=(1, 1, 1)), preset.text)


@dataclass(frozen=True)
class Variation:
    settings: dict[str, Any]
    trainer: type[DiffusionTrainer] = DiffusionTrainer
    sizes: Callable[[presets.Preset], presets.Preset] = lambda preset: preset


VARIATIONS = {
    "as it is": Variation({}),
    "as it is, another seed": Variation({"seed": 1}, SeveralAverages),
    "shift 2": Variation({"corruption": replace(CORRUPTION, shift=2.0)}),
    "text encoder 128x1": Variation({}, sizes=small_text),
    "patches of one latent": Variation({}, sizes=small_patches),
}


def train(variation: Variation, config: TrainConfig) -> tuple[DiffusionTrainer, dict[str, Any]]:
    """A variation trained until its budget is spent, and what it gave on held-out clips."""
    sizes = variation.sizes(presets.get(config.preset))
    presets.PRESETS["variation"] = lambda: sizes
    run = variation.trainer(replace(config, preset="variation", **variation.settings))
    if run.validation is None:
        raise ValueError("encode some clips of the validation split too: the comparison is made on these")
    run.started = time.monotonic()  # compiling does not count
    while run.progress < 1:
        run.update(run.train_step())
    run.close()
    return run, run.validate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--preset", default="embedded-cpu")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--only", nargs="*", help="names of variations; as it is comes first in any case")
    parser.add_argument("--out", type=Path, default=Path("out/recipe"))
    arguments = parser.parse_args()
    if unknown := set(arguments.only or ()) - set(VARIATIONS):
        parser.error(f"no variation {', '.join(unknown)}; there are {', '.join(VARIATIONS)}")
    print("| changed | steps | samples | held-out loss | caption gain |\n|---|---|---|---|---|", flush=True)
    usual: dict[str, Any] = {}
    for index, (name, variation) in enumerate(VARIATIONS.items()):
        if arguments.only and index and name not in arguments.only:
            continue
        config = TrainConfig(
            latents=arguments.latents,
            out=arguments.out / f"{index:02d}",
            preset=arguments.preset,
            minutes=arguments.minutes,
            batch_size=arguments.batch_size,
            corruption=CORRUPTION,
            resume="never",
            show_progress=False,
        )
        run, found = train(variation, config)
        usual = usual or found
        report(name, run, found, usual)
        for other, average in getattr(run, "others", {}).items():
            assert run.validation is not None
            found = run.validation.measure(average.modules["transformer"], average.modules["text"])
            report(other, run, found, usual)


def report(name: str, run: DiffusionTrainer, found: dict[str, Any], usual: dict[str, Any]) -> None:
    told = (
        f"{found[key]:.4f} ({found[key] / (usual[key] or float('nan')):.2f})"
        for key in ("validation_loss", "caption_gain")
    )
    print(f"| {name} | {run.step} | {run.samples} | {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
