"""Minutes of what goes on, measured: *alive*, and what the last ten seconds are over the first.

    python runs/experiments/alive.py MODEL --judge JUDGE --out OUT [--number 12] [--seconds 60] [--steps 8]

alive: of a minute's ten-second stretches, the share (a) whose mean change from frame to frame is at least half of the
first one's and (b) from whose middle three seconds the judge reads the prompt's main shape, and its colour where the
prompt names one. Prompts as people write them, seed = index; nothing is selected. Also tells how much moves in each
stretch. `--clips FOLDER` judges real clips of `goes_on.py long` instead: what the judge can read of them.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tenku.evaluate.recogniser import KIND_GROUPS, Recogniser
from tenku.sheet import contact_sheet
from tenku.video import read_video, write_clip, write_png

# prompt, the shape that the judge should read, the colour
PROMPTS: list[tuple[str, str, str | None]] = [
    ("Balls roll across wet asphalt at night under neon signs.", "ball", None),
    ("Cars drive along a street on a sunny day.", "car", None),
    ("晴天，红色的球不断从空中落到木地板上。", "ball", "red"),
    ("日落时分，人们在雪地上走过。", "person", None),
    ("Blue cubes keep falling onto a pile on a marble floor in a studio with a white backdrop.", "cube", "blue"),
    ("夜晚，汽车在湿漉漉的柏油路上一辆接一辆地驶过。", "car", None),
    ("Red balls keep rolling across grass on a sunny day.", "ball", "red"),
    ("阴天，黄色的球在沙地上一个接一个滚过。", "ball", "yellow"),
    ("People walk along a rain-soaked street at night while cars drive by behind them.", "person", None),
    ("霓虹灯下，绿色的球在镜面般的地板上滚动。", "ball", "green"),
    ("People in red coats walk across a wooden floor, one after another.", "person", "red"),
    ("摄影棚里，五颜六色的方块一个接一个掉下来，堆在一起。", "cube", None),
]
STRETCH = 10.0  # seconds


def stretches(frames: np.ndarray, fps: float, seconds: float) -> list[np.ndarray]:
    size = round(seconds * fps)
    return [frames[k : k + size] for k in range(0, len(frames) - size + 1, size)]


def change(frames: np.ndarray) -> float:
    """Mean change from frame to frame, of 255."""
    return float(np.mean([np.abs(b.astype(np.int16) - a).mean() for a, b in zip(frames[:-1], frames[1:])]))


def look(frames: np.ndarray) -> dict[str, float]:
    """Sharpness, contrast and saturation of frames, each fourth one."""
    some = frames[::4].astype(np.float32) / 255
    grey = some.mean(-1)
    sharp = np.abs(np.diff(grey, axis=1)).mean() + np.abs(np.diff(grey, axis=2)).mean()
    return {
        "sharpness": float(sharp),
        "contrast": float(grey.std((1, 2)).mean()),
        "saturation": float((some.max(-1) - some.min(-1)).mean()),
    }


def judged(
    frames: np.ndarray, fps: float, judge: Recogniser, kind: str, color: str | None, stretch: float = STRETCH
) -> dict[str, Any]:
    parts = stretches(frames, fps, stretch)
    changes = [change(part) for part in parts]
    middle, half = round(stretch / 2 * fps), round(1.5 * fps)
    read = [{name: best for name, (best, _) in judge.read(part[middle - half : middle + half]).items()} for part in parts]
    moves = [each >= 0.5 * changes[0] for each in changes]
    shown = [each["kind"] == kind and color in (None, each["color"]) for each in read]
    first, last = look(parts[0]), look(parts[-1])
    return {
        "alive": float(np.mean([a and b for a, b in zip(moves, shown)])),
        "moves": float(np.mean(moves)),
        "shows": float(np.mean(shown)),
        "change": [round(each, 2) for each in changes],
        "read": [f"{each['color']} {each['kind']}" for each in read],
        "last_over_first": {name: round(last[name] / first[name], 2) for name in first},
    }


def real(folder: Path, judge: Recogniser) -> None:
    for path in sorted(folder.glob("*.json")):
        truth = json.loads(path.read_text())
        if truth["split"] != "validation":
            continue
        description = truth["description"]
        frames = read_video(path.with_suffix(".mp4"))[0]
        kind = {"cars": "car", "people": "person", "both": "person"}.get(description["kind"], description["kind"])
        kind = KIND_GROUPS.get(kind, kind)
        colors = {each["color"] for each in description["objects"] if each["role"] in ("many", "main")}
        color = colors.pop() if len(colors) == 1 else None
        print(path.stem, description["event"], kind, color, json.dumps(judged(frames, 16.0, judge, kind, color, 4.0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--number", type=int, default=len(PROMPTS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()
    torch.set_num_threads(1)
    judge = Recogniser.load(given.judge)
    if given.clips is not None:
        real(given.clips, judge)
        return
    from tenku.sample.pipeline import Pipeline

    pipeline = Pipeline.load(given.model)
    given.out.mkdir(parents=True, exist_ok=True)
    results, shown = [], []
    for index, (prompt, kind, color) in list(enumerate(PROMPTS))[given.first : given.number]:
        begun = time.monotonic()
        made = pipeline.stream(prompt, seconds=given.seconds, steps=given.steps, seed=index).clip()
        found = {"prompt": prompt, **judged(made.frames, made.fps, judge, kind, color)}
        print(json.dumps(found, ensure_ascii=False), f"{time.monotonic() - begun:.0f} s", flush=True)
        write_clip(given.out / f"{index:02d}.mp4", made.frames, made.fps)
        results.append(found)
        shown.append(made.frames)
        write_png(given.out / f"{index:02d}.png", contact_sheet([made.frames], columns=13, labels=[prompt]))
        (given.out / f"alive-{given.first}.json").write_text(json.dumps(results, ensure_ascii=False, indent=1))
    write_png(given.out / f"sheet-{given.first}.png", contact_sheet(shown, columns=13, labels=[each["prompt"] for each in results]))
    for name in ("alive", "moves", "shows"):
        print(name, round(float(np.mean([each[name] for each in results])), 3))


if __name__ == "__main__":
    main()
