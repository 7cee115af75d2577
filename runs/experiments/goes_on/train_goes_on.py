"""Fine-tune what ships on what goes on: windows from the middles of long clips, known frames as the sampler shows them.

    python runs/experiments/train_goes_on.py --latents out/goes-on/all --out out/goes-on/run --minutes 55

The trainer is `tenku train`'s. What differs: of the samples that begin with known frames, most begin with half a window,
as every window after the first does in a long video (`sample/long.py`: half of it history, at noise 0.1), and nearly
all of these carry noise or are worn (`train/wear.py`).
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from tenku.data.loader import Lengths
from tenku.train import step
from tenku.train.loop import TrainConfig, train
from tenku.train.step import Objective

HALF = 0.65  # of the samples whose head is known: those of which half is
_draw_known = step.draw_known


def draw_known(batch: int, frames: int, objective: Objective, generator: torch.Generator) -> Tensor:
    """As `step.draw_known`, with more heads of half a window."""
    known = _draw_known(batch, frames, objective, generator)
    head = known[:, 0] & ~known[:, -1] & (known.long().diff(dim=1).clamp(min=0).sum(1) == 0)
    longer = head & (torch.rand(batch, generator=generator) < HALF)
    known[longer] = torch.arange(frames) < max(1, frames // 2)
    return known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, default=Path("tenku/weights/embedded"))
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--muon-lr", type=float, default=2e-3)
    parser.add_argument("--adamw-lr", type=float, default=6e-4)
    parser.add_argument("--text-share", type=float, default=0.3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    step.draw_known = draw_known
    objective = Objective(shift=2.0, conditioned=0.5, kinds=(0.76, 0.08, 0.08, 0.08), noisy=0.75, worn=0.7, motion=3.0)
    train(
        TrainConfig(
            given.latents,
            given.out,
            minutes=given.minutes,
            batch_size=given.batch_size,
            muon_lr=given.muon_lr,
            adamw_lr=given.adamw_lr,
            text_share=given.text_share,
            stills_until=0.0,
            decay_from=0.45,
            ema_decay=0.99,
            warmup_steps=20,
            objective=objective,
            lengths=Lengths(full=0.8, shorter=0.17, still=0.03),
            checkpoint_minutes=5.0,
            log_every=10,
            validate_every=150,
            initial=given.start,
            show_progress=False,
        )
    )


if __name__ == "__main__":
    main()
