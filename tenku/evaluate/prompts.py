"""Prompt following: does a generated clip show the light, floor, colour and event that its prompt names?

Prompts are captions of held-out clips, half English and half Chinese. A recogniser trained on real clips
judges the generated clip and the real one of the same caption; what it reads right from the real ones is the
ceiling.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tenku.evaluate.distances import kernel_distance
from tenku.evaluate.recogniser import Frames, Recogniser, labels_of, read_clip_folder, score
from tenku.media.clip import Clip
from tenku.media.sheet import contact_sheet
from tenku.media.writer import write_png
from tenku.system.files import new_file, write_json

JUDGED = ("light", "floor", "color", "event")  # what has to be right for a clip to count as right
READ = (*JUDGED, "kind")
LANGUAGES = {"en": "English", "zh": "Chinese"}
SHEET_CLIPS = 24


class Generates(Protocol):
    """Anything with `generate`, such as a Pipeline."""

    @property
    def generate(self) -> Callable[..., Clip]: ...


@dataclass
class Judgement:
    """One prompt with what was true, what was read from the generated clip and what from the real one."""

    language: str
    prompt: str
    seed: int
    truth: dict[str, str | None]
    generated: dict[str, str]
    real: dict[str, str]

    def pairs(self, side: str, label: str) -> list[tuple[str, str]]:
        """[(truth, read)], or nothing where the clip has no such label."""
        wanted = self.truth[label]
        return [] if wanted is None else [(wanted, getattr(self, side)[label])]

    def all_right(self, side: str) -> bool:
        return all(wanted == found for label in JUDGED for wanted, found in self.pairs(side, label))


def evaluate_prompts(
    pipeline: Generates,
    recogniser: Recogniser,
    clips: str | Path | Iterable[tuple[Frames, dict[str, Any]]],
    out: str | Path,
    *,
    n: int = 100,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    **settings: Any,
) -> dict[str, Any]:
    """Generate n clips for captions of held-out `clips` (a folder, or (frames, truth) pairs) and judge them.

    Prompt i is the first long caption of clip i, English for even i and Chinese for odd, generated with
    seed + i; nothing is selected. Further `settings` (seconds, size, steps, guidance) are for pipeline.generate. Writes
    prompts.json, prompts.md and prompts.png to `out` and returns what prompts.json holds. ValueError when there are
    fewer clips.
    """
    pairs = read_clip_folder(clips, n) if isinstance(clips, (str, Path)) else clips
    judgements: list[Judgement] = []
    shown: list[Frames] = []
    features: list[tuple[np.ndarray, np.ndarray]] = []
    for i, (frames, truth) in enumerate(itertools.islice(pairs, n)):
        language = "en" if i % 2 == 0 else "zh"
        prompt = truth["captions"][language][1]
        clip = pipeline.generate(prompt, seed=seed + i, **settings)
        # The ceiling sees no more of the event than the generated clip can show.
        visible = max(1, round(len(clip.frames) / clip.fps * truth["fps"]))
        judgements.append(
            Judgement(
                language,
                prompt,
                seed + i,
                labels_of(truth["description"]),
                {name: found for name, (found, _) in recogniser.read(clip.frames).items()},
                {name: found for name, (found, _) in recogniser.read(frames[:visible]).items()},
            )
        )
        features.append((recogniser.features(clip.frames), recogniser.features(frames[:visible])))
        if len(shown) < SHEET_CLIPS:
            shown.append(clip.frames)
        on_progress(i + 1, n)
    if len(judgements) < n:
        raise ValueError(f"{n} prompts need {n} held-out clips; there are {len(judgements)}")
    made, real = (np.stack(side) for side in zip(*features, strict=True))
    distance = {"kernel_distance": kernel_distance(made, real) if n > 1 else None}
    result = {"settings": {**settings, "seed": seed, "n": n}, **distance, **tabulate(judgements, recogniser)}
    _write(result, shown, Path(out))
    return result


def tabulate(judgements: Sequence[Judgement], recogniser: Recogniser) -> dict[str, Any]:
    """Per group (both, en, zh) and label: generated, real (the ceiling), share of it, majority, chance."""
    groups = {"both": list(judgements)}
    groups |= {key: [j for j in judgements if j.language == key] for key in LANGUAGES}
    table: dict[str, Any] = {}
    for group, members in groups.items():
        rows: dict[str, Any] = {}
        for label in READ:
            generated, real = (
                score([pair for member in members for pair in member.pairs(side, label)])
                for side in ("generated", "real")
            )
            rows[label] = {
                "generated": generated["right"],
                "real": real["right"],
                "share_of_ceiling": _share(generated["right"], real["right"]),
                "majority": generated["majority"],
                "chance": 1 / len(recogniser.config.labels[label]),
                "n": generated["n"],
                "confusions": generated["confusions"],
                "confusions_on_real": real["confusions"],
            }
        both = {side: _mean([m.all_right(side) for m in members]) for side in ("generated", "real")}
        rows["all"] = {
            **both,
            "share_of_ceiling": _share(both["generated"], both["real"]),
            "majority": None,
            "chance": None,
            "n": len(members),
        }
        table[group] = rows
    return {"table": table, "samples": [vars(judgement) for judgement in judgements]}


def _mean(values: Sequence[bool]) -> float | None:
    return float(np.mean(values)) if values else None


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def to_markdown(result: dict[str, Any]) -> str:
    """The table for people: a row a line of evidence, a column a thing judged."""
    table = result["table"]
    columns = [*JUDGED, "all", "kind"]
    titles = {"color": "main colour", "all": "all of these", "kind": "main shape"}

    def row(title: str, group: str, key: str) -> str:
        cells = []
        for label in columns:
            value = table[group][label][key]
            count = f" of {table[group][label]['n']}" if key in ("generated", "real") else ""
            cells.append("–" if value is None else f"{100 * value:.0f} %{count}")
        return f"| {title} | " + " | ".join(cells) + " |"

    n, distance = result["settings"]["n"], result["kernel_distance"]
    told = "–" if distance is None else f"{distance:.3f}"
    lines = [
        "| right | " + " | ".join(titles.get(label, label) for label in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(row(f"generated, {name} prompts", key, "generated") for key, name in LANGUAGES.items()),
        row("**generated, all**", "both", "generated"),
        row("real clips of the same captions (ceiling)", "both", "real"),
        row("generated as a share of the ceiling", "both", "share_of_ceiling"),
        row("always naming the commonest class", "both", "majority"),
        row("chance", "both", "chance"),
        "",
        f"Distance from the real clips, in the judge's features (kernel video distance): {told}.",
        "",
        f"Settings: {json.dumps(result['settings'])}. With n = {n} a share is uncertain by about "
        f"± {100 / n**0.5:.0f} points (95 %). Samples on the sheet are the first ones, unselected:",
        "",
        *(f"{i}. {sample['prompt']}" for i, sample in enumerate(result["samples"][:SHEET_CLIPS])),
    ]
    return "\n".join(lines) + "\n"


def _write(result: dict[str, Any], shown: Sequence[Frames], out: Path) -> None:
    """Write prompts.json, prompts.md and prompts.png; the texts atomically."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "prompts.json", result)
    with new_file(out / "prompts.md") as new:
        new.write_text(to_markdown(result), encoding="utf-8")
    prompts = [sample["prompt"] for sample in result["samples"][: len(shown)]]
    write_png(out / "prompts.png", contact_sheet(shown, labels=prompts))
