"""How well every way of prompting goes on: seams, what comes back of what was given, drift over a minute, and its cost.

    python benchmarks/tasks.py --clips VALIDATION --real LONG --out tasks

VALIDATION: real clips of the world, one size (`tenku world --split validation`). LONG: such clips of 60 s
(`--frames 960`). Twelve prompts become a minute of video each. Prints a table, and writes OUT/tasks.png, a row for each
way of prompting, and OUT/drift.png.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tenku
from tenku.data import source
from tenku.evaluate import continuity
from tenku.evaluate.recogniser import Recogniser
from tenku.media.clip import Clip
from tenku.media.sheet import contact_sheet
from tenku.media.writer import write_png
from tenku.sample import edits, recut
from tenku.sample.pipeline import Pipeline
from tenku.sample.storyboard import Card, Storyboard, render_storyboard

LINES = 6  # of the long videos, as many as a plot holds
LONG_PROMPTS = (
    "A red ball rolls over grass at sunset.",
    "At night under pink and cyan neon lights, a blue cube slides on wet asphalt.",
    "一个黄色的球在绳子上来回摆动。",
    "A green duck slides to the left over ice on an overcast day.",
    "夜晚，一个红色的球在城市灯光下的湿瓷砖上向右滚动。",
    "A burger on a white plate on a wooden floor in the studio, a bite is taken out of it.",
    "A person in a red coat walks to the right across snow on a sunny day.",
    "晴天，三个红色的苹果从树上落到草地上。",
    "A blue ball rolls over checkered tiles in daylight and hits a yellow cone.",
    "霓虹灯下，一排多米诺骨牌一个接一个倒下。",
    "Colorful balls pour into a wooden tray on a marble floor in the studio.",
    "日落时，一个紫色的立方体在沙地上向左滑动。",
)


def pairs(folder: Path, number: int) -> list[tuple[Clip, str]]:
    """Real clips with a caption each."""
    samples = source.clips(folder)[:number]
    return [(Clip(sample.frames(), 16), sample.truth["captions"]["en"][0]) for sample in samples]


def ways(pipeline: Pipeline, clips: list[tuple[Clip, str]], index: int) -> dict[str, tuple[Clip, dict[str, float]]]:
    """Of each way of prompting, the clip that it makes of the real clip `index` and what is measured of it."""
    (given, prompt), (other, _) = clips[index], clips[(index + 1) % len(clips)]
    options = {"seed": index, "size": given.size}
    picture, end = Clip(given.frames[:1], 16), Clip(given.frames[-1:], 16)
    half = given.num_frames // 8 * 4

    def joined(clip: Clip, *joints: int, loop: bool = False) -> dict[str, float]:
        return {"seam": continuity.seam(clip.frames, joints, loop)}

    def kept(clip: Clip, what: Clip, at: float = 0.0) -> dict[str, float]:
        return {"lost": continuity.identity(pipeline, clip, what, at)["lost"]}

    made = edits.animate(pipeline, prompt, picture, seconds=3, **options).clip()
    found = {"animate": (made, kept(made, picture))}
    made = edits.animate(pipeline, prompt, picture, end, seconds=3, **options).clip()
    found["animate, both ends"] = made, kept(made, end, made.seconds - 0.25)
    start = Clip(given.frames[:half], 16)
    made = edits.extend(pipeline, prompt, start, forward=1.5, **options).clip()
    found["extend"] = made, joined(made, half) | kept(made, start)
    rest = Clip(given.frames[half:], 16)
    made = edits.extend(pipeline, prompt, rest, backward=1.5, **options).clip()
    found["extend backwards"] = made, joined(made, made.num_frames - rest.num_frames) | kept(made, rest, 1.5)
    made = edits.connect(pipeline, prompt, start, Clip(other.frames[:half], 16), 1.5, **options).clip()
    found["connect"] = made, joined(made, half, half + 24) | kept(made, start)
    made = edits.loop(pipeline, prompt, seconds=3, **options).clip()
    found["loop"] = made, joined(made, loop=True)
    made = edits.loop(pipeline, prompt, start, seconds=1.5, **options).clip()
    found["loop of a clip"] = made, joined(made, half, loop=True) | kept(made, start)
    made = edits.remix(pipeline, "At night under pink neon lights.", given, (0.3, 0.9), **options).clip()
    found["remix, strength 0.3 to 0.9"] = made, {}
    board = Storyboard(4.5, (Card(0, prompt, picture), Card(2.25, prompt, start)))
    made = render_storyboard(pipeline, board, **options).clip()
    found["storyboard"] = made, kept(made, start, 2.25)
    board = recut.insert(recut.over(Storyboard(3.0, (Card(0, prompt),)), given), 1.5, 1.5, prompt)
    made = render_storyboard(pipeline, board, **options).clip()
    found["re-cut, 1.5 s inserted"] = made, joined(made, 24, 48) | kept(made, start)
    return found


def usual_borders(frames: np.ndarray) -> float:
    """The median change where groups of 4 frames meet, over the median of all."""
    each = continuity.changes(frames)
    return float(np.median(each[3::4]) / np.median(each))


def row(name: str, values: list[float], bar: str, form: Callable[[float], str] = "{:.2f}".format) -> str:
    if not values:
        return ""
    low, middle, high = (form(float(each)) for each in np.percentile(values, (25, 50, 75)))
    return f"| {name} | {middle} | {low} to {high} | {form(min(values))} to {form(max(values))} | {bar} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--real", type=Path, help="clips of 60 s")
    parser.add_argument("--recogniser", type=Path)
    parser.add_argument("--number", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("out/tasks"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    pipeline = tenku.load(arguments.model)
    cost = continuity.cost(pipeline, LONG_PROMPTS[0])  # first: it looks at the peak of memory so far
    clips = pairs(arguments.clips, arguments.number)
    everything = [ways(pipeline, clips, index) for index in range(len(clips))]
    print(f"| {len(clips)} clips each | median | half of them | all | bar |\n|---|---|---|---|---|")
    for name in everything[0]:
        measured = [each[name][1] for each in everything]
        seams, lost = ([one[key] for one in measured if key in one] for key in ("seam", "lost"))
        for line in (row(f"{name}: seam", seams, "1.3"), row(f"{name}: PSNR lost", lost, "1 dB", "{:.2f} dB".format)):
            print(line, end="\n" if line else "")
    generated = [usual_borders(each["animate"][0].frames) for each in everything]
    print(row("generated clips: where groups of 4 frames meet", generated, ""))
    print(row("real clips: seam in the middle", continuity.seams_in_the_middle(clip.frames for clip, _ in clips), ""))
    rows = {name: clip for name, (clip, _) in everything[0].items()}
    sheet = contact_sheet([clip.frames for clip in rows.values()], columns=12, labels=list(rows))
    write_png(arguments.out / "tasks.png", sheet)

    judge = Recogniser.load(arguments.recogniser) if arguments.recogniser else None
    lines, drifts = {}, []
    for index, prompt in enumerate(LONG_PROMPTS):
        path = arguments.out / f"long-{index}.mp4"
        pipeline.stream(prompt, seconds=60, seed=index).save(path)
        long = Clip.load(path)
        drifts.append(continuity.drift(long.frames, long.fps, judge))
        if index < LINES:
            lines[f"made {index}"] = continuity.curves(long.frames, long.fps, judge)
    floor = continuity.drift_of_real_clips(arguments.real, judge) if arguments.real else {}
    if arguments.real:
        lines["real"] = continuity.curves(*next(iter(continuity.clips_and_rates(arguments.real))), judge)
    for name in drifts[0]:
        real = f" (real clips: {floor[name]:.2f} either way)" if floor else ""
        print(row(f"60 s: {name}, end over beginning{real}", [each[name] for each in drifts], "0.85 to 1.15"))
    continuity.plot(arguments.out / "drift.png", lines)
    print(f"| cost of a second, at 50 to 60 s over 5 to 15 s | {cost['ratio']:.3f} | | {cost['late']:.2f} s | 1.05 |")
    print(f"| peak of memory, 60 s over 15 s | {cost['memory_ratio']:.3f} | | | 1.1 |")


if __name__ == "__main__":
    main()
