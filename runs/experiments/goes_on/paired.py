"""Two results of `tenku evaluate prompts` on the same captions and seeds, paired.

    python runs/experiments/paired.py BEFORE/prompts.json AFTER/prompts.json

For each label: right before and after (and of the real clips), the difference with its interval by bootstrap over
captions, and how many captions became right or wrong.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

LABELS = ("light", "floor", "event", "color", "kind")


def right(samples: list[dict[str, Any]], label: str, side: str = "generated") -> np.ndarray:
    """1 or 0 for each caption that has such a label, nan for the others."""
    return np.array([np.nan if s["truth"][label] is None else float(s["truth"][label] == s[side][label]) for s in samples])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    given = parser.parse_args()
    first, second = (json.loads(path.read_text()) for path in (given.before, given.after))
    number = min(len(first["samples"]), len(second["samples"]))
    a, b = first["samples"][:number], second["samples"][:number]
    assert [s["prompt"] for s in a] == [s["prompt"] for s in b]
    rng = np.random.default_rng(0)
    print("| | n | real | before | after | after - before (95 %) | became right | became wrong |\n|---|---|---|---|---|---|---|---|")
    for label in LABELS:
        before, after, real = right(a, label), right(b, label), right(a, label, "real")
        known = ~np.isnan(before)
        before, after, real = before[known], after[known], real[known]
        change = after - before
        means = 100 * change[rng.integers(len(change), size=(4000, len(change)))].mean(1)
        low, high = np.percentile(means, (2.5, 97.5))
        print(
            f"| {label} | {len(change)} | {100 * real.mean():.0f} | {100 * before.mean():.0f} | {100 * after.mean():.0f} | "
            f"{100 * change.mean():+.1f} ({low:+.1f} to {high:+.1f}) | {int((change > 0).sum())} | {int((change < 0).sum())} |"
        )
    print(f"\nkernel distance {first['kernel_distance']:.3f} -> {second['kernel_distance']:.3f}")


if __name__ == "__main__":
    main()
