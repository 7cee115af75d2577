"""How many of 585 prompts, written without sight of the code, come out as their writer expected.

    python benchmarks/prompts_kept_back.py [--show 40]

A line of prompts_kept_back.jsonl has the prompt; `in`: what the expansion must hold, each by one of several wordings;
`not_in`: what it must not hold; `noted`: words that a note must name; `not_noted`: words that none may call unknown.
"""

import argparse
import json
from pathlib import Path

from tenku.prompts.expand import expand

SEEDS = (0, 3)
ROWS = Path(__file__).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()


def differences(row: dict[str, list[str]], prompt: str, seed: int) -> list[str]:
    """What of an expansion is not as it was expected."""
    found = expand(prompt, seed)
    text = found.text.lower()
    noted = " ".join(word for note in found.notes for word in note.words).lower()
    unknown = [word.lower() for note in found.notes if note.kind == "unknown" for word in note.words]
    wrong = [f"{'/'.join(each)} is not in it" for each in row["in"] if not any(word in text for word in each)]
    wrong += [f"{word} is in it" for word in row["not_in"] if word in text and found.text != prompt]
    wrong += [f"{word} is not noted" for word in row["noted"] if word.lower() not in noted]
    return wrong + [f"{word} is called unknown" for word in row["not_noted"] if word.lower() in unknown]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--show", type=int, default=40, help="differences that are shown")
    given = parser.parse_args()
    rows = [json.loads(line) for line in ROWS if line.strip()]
    wrong = 0
    for row in rows:
        found = next(filter(None, (differences(row, row["prompt"], seed) for seed in SEEDS)), None)
        if found:
            wrong += 1
            if wrong <= given.show:
                print(f"{row['prompt']}: {', '.join(found)}")
    print(f"{len(rows) - wrong} of {len(rows)} as expected")


if __name__ == "__main__":
    main()
