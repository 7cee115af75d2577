"""Held-out loss of weights and of their means, as `benchmarks/weights.py` measures it, and also as a long video asks:
half a window known, at noise 0.1, errors counted in the other half.

    python runs/experiments/heldout.py --latents LATENTS BEFORE AFTER --share 0.5 --share 0.7
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tenku import flow
from tenku.data.loader import Bucket, load_buckets
from tenku.model import TextEncoder, Transformer, load_text_encoder, load_transformer
from tenku.train.build import mix
from tenku.train.motion import either_side
from tenku.train.step import answer
from tenku.train.validation import fixed_questions

TIMES = (0.4, 0.8, 0.9, 0.97)
HISTORY_NOISE = 0.1
Model = tuple[TextEncoder, Transformer]


def load(folder: Path) -> Model:
    return load_text_encoder(folder).eval(), load_transformer(folder, dtype=torch.float32).eval()


@torch.no_grad()
def errors(model: Model, bucket: Bucket, number: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[Tensor]] = {}
    for question in fixed_questions(bucket, number, model[0], torch.device("cpu"), generator):
        change = either_side(question.data.diff(dim=2).square().mean(1).sqrt())  # B T H W
        velocity = flow.velocity(question.data, question.noise)
        half = question.data.shape[2] // 2
        for t in TIMES:
            for onwards in (False, True):
                times = torch.full_like(question.t, t)
                if onwards:
                    times[:, :half] = HISTORY_NOISE
                wrong = (answer(model[1], model[0], replace(question, t=times)) - velocity).square().mean(1)
                moving = change > 0.5
                if onwards:
                    wrong, moving = wrong[:, half:], moving[:, half:]
                name = "onwards" if onwards else "clip"
                for key, part in ((name, wrong), (f"{name}, moving", wrong[moving])):
                    found.setdefault(key, []).append(part.flatten())
    return {name: float(torch.cat(each).mean()) for name, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--share", type=float, action="append", default=[])
    parser.add_argument("--number", type=int, default=24)
    given = parser.parse_args()
    torch.set_num_threads(1)
    _, (bucket,) = load_buckets(given.latents)
    every = max(1, len(bucket.captions) // given.number)
    bucket = bucket.select(list(range(0, len(bucket.captions), every))[: given.number])
    columns = ("clip", "clip, moving", "onwards", "onwards, moving")
    print(f"| loss of | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}", flush=True)

    def tell(name: str, model: Model) -> None:
        measured = errors(model, bucket, given.number)
        print(f"| {name} | {' | '.join(f'{measured[column]:.4f}' for column in columns)} |", flush=True)

    for folder in given.models:
        tell(str(folder), load(folder))
    for share in given.share:
        model = load(given.models[1])
        for module, other in zip(model, load(given.models[0]), strict=True):
            mix(module, other, share)
        tell(f"share {share:g}", model)


if __name__ == "__main__":
    main()
