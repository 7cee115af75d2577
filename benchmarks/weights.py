"""Which weights denoise held-out clips best, over all, where something moves and where nothing does.

    python benchmarks/weights.py --latents LATENTS tenku/weights/embedded out/model
    python benchmarks/weights.py --latents LATENTS tenku/weights/embedded out/model --share 0.6 --share 0.8

All are asked the same: clips of LATENTS (`tenku encode`) that training holds out, with the same noise, at six times.
With --share, the means of the first two as well, so much of it the second's (`tenku export --mix`). A share should be
chosen by this before one looks at samples: fifty clips tell weights apart that two hundred judged prompts do not.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from tenku.train.step import answer
from torch import Tensor

from tenku import flow
from tenku.data.loader import Bucket, load_buckets
from tenku.loading import load_transformer
from tenku.model import TextEncoder, Transformer, load_text_encoder
from tenku.train.build import mix
from tenku.train.motion import either_side
from tenku.train.validation import fixed_questions

TIMES = (0.2, 0.4, 0.6, 0.8, 0.9, 0.97)
MOVING, STILL = 0.5, 0.1  # by how much latents differ from a neighbouring frame's: above the one, below the other
Model = tuple[TextEncoder, Transformer]


def load(folder: Path) -> Model:
    return load_text_encoder(folder).eval(), load_transformer(folder, dtype=torch.float32).eval()


def mean_of(first: Path, second: Path, share: float) -> Model:
    model = load(second)
    for module, other in zip(model, load(first), strict=True):
        mix(module, other, share)
    return model


@torch.no_grad()
def errors(model: Model, buckets: list[Bucket], number: int) -> dict[str, float]:
    """Mean squared velocity error over all times: over all, where something moves, where nothing does, at each time."""
    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[Tensor]] = {}
    for bucket in buckets:
        for question in fixed_questions(bucket, number, model[0], torch.device("cpu"), generator):
            change = either_side(question.data.diff(dim=2).square().mean(1).sqrt())  # B T H W
            velocity = flow.velocity(question.data, question.noise)
            for t in TIMES:
                asked = replace(question, t=torch.full_like(question.t, t))
                wrong = (answer(model[1], model[0], asked) - velocity).square().mean(1)
                parts = {
                    "all": wrong,
                    "moving": wrong[change > MOVING],
                    "still": wrong[change < STILL],
                    f"t = {t}": wrong,
                }
                for name, part in parts.items():
                    found.setdefault(name, []).append(part.flatten())
    return {name: float(torch.cat(each).mean()) for name, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--share", type=float, action="append", default=[])
    parser.add_argument("--number", type=int, default=48, help="clips of each size at most")
    arguments = parser.parse_args()
    if arguments.share and len(arguments.models) < 2:
        parser.error("--share takes two models")
    _, held_out = load_buckets(arguments.latents)
    if not held_out:
        parser.error(f"{arguments.latents} holds out no clips: encode at least 25, or some of the split validation")
    first, *others = arguments.models
    columns = ("all", "moving", "still", *(f"t = {t}" for t in TIMES))
    print(f"| loss of | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")

    def tell(name: str, model: Model) -> None:
        measured = errors(model, held_out, arguments.number)
        print(f"| {name} | {' | '.join(f'{measured[column]:.4f}' for column in columns)} |", flush=True)

    for folder in arguments.models:
        tell(str(folder), load(folder))
    for share in arguments.share:
        tell(f"{share:g} of {others[0]}, the rest of {first}", mean_of(first, others[0], share))


if __name__ == "__main__":
    main()
