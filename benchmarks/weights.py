"""Which weights denoise held-out clips best, over all, where something moves and where nothing does.

    python benchmarks/weights.py --latents LATENTS tenku/weights/embedded out/model
    python benchmarks/weights.py --latents LATENTS tenku/weights/embedded out/model --share 0.6 --share 0.8

All are asked the same: clips of LATENTS (`tenku encode`) that training holds out, with the same noise, at six times.
With --share, the means of the first two as well, so much of it the second's (`tenku export --mix`). A share should be
chosen by this before one looks at samples: fifty clips tell weights apart that two hundred judged prompts do not.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from tenku import flow
from tenku.data.loader import Bucket, load_buckets
from tenku.model import TextEncoder, Transformer, load_text_encoder, load_transformer
from tenku.train.build import mix
from tenku.train.motion import either_side
from tenku.train.step import Question, answer

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
    text, transformer = model
    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[Tensor]] = {}
    for bucket in buckets:
        chosen = torch.linspace(0, len(bucket.captions) - 1, min(number, len(bucket.captions))).round().long().tolist()
        for k, i in enumerate(chosen):
            data = bucket.latents[i : i + 1].float()
            told = bucket.captions[i]["zh" if k % 2 else "en"]
            ids, mask = text.tokenize([told[k // 2 % len(told)]])
            change = either_side(data.diff(dim=2).square().mean(1).sqrt())  # 1 T H W
            for t in TIMES:
                noise = torch.randn(data.shape, generator=generator)
                times = torch.full((1, bucket.num_frames), t)
                question = Question(data, data, noise, times, times > 1, ids, mask)
                wrong = (answer(transformer, text, question) - flow.velocity(data, noise)).square().mean(1)
                parts = {
                    "all": wrong,
                    "moving": wrong[change > MOVING],
                    "still": wrong[change < STILL],
                    f"t = {t}": wrong,
                }
                for name, part in parts.items():
                    found.setdefault(name, []).append(part.flatten())
    return {name: float(torch.cat(parts).mean()) for name, parts in found.items()}


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
    for index, folder in enumerate(arguments.models):
        measured = errors(load(folder), held_out, arguments.number)
        if not index:
            print(f"| loss of | {' | '.join(measured)} |\n|{'---|' * (len(measured) + 1)}")
        print(f"| {folder} | {' | '.join(f'{value:.4f}' for value in measured.values())} |", flush=True)
    for share in arguments.share:
        measured = errors(mean_of(first, others[0], share), held_out, arguments.number)
        name = f"{share:g} of {others[0]}, the rest of {first}"
        print(f"| {name} | {' | '.join(f'{value:.4f}' for value in measured.values())} |", flush=True)


if __name__ == "__main__":
    main()
