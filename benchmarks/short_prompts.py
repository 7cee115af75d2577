"""Prompts as people write them: does a video show what they say, as they are and made full by the world's grammar?

    python benchmarks/short_prompts.py --recogniser RECOGNISER       # `tenku evaluate recogniser` trains one

Each prompt is drawn with three seeds as it is, and again where `tenku generate` would make it full; the recogniser
reads what the prompt says: its event, its main colour, its light and floor.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import tenku
from tenku.evaluate.recogniser import Recogniser
from tenku.prompts.auto_expand import auto_expand

SEEDS = 3
PROMPTS = {
    "A red ball falls onto wet asphalt at night and bounces.": {"event": "drop", "color": "red", "light": "night"},
    "dominoes toppling under neon lights": {"event": "domino", "light": "neon"},
    "A blue ball rolls across the grass on a sunny day": {
        "event": "roll",
        "color": "blue",
        "light": "day",
        "floor": "grass",
    },
    "a burger with a bite taken out": {"event": "bite"},
    "A person in a red coat walks on wet asphalt at night under neon lights.": {"event": "walk", "light": "neon"},
    "A blue ball rolls behind a yellow wall, on grass in daylight.": {
        "event": "hide",
        "color": "blue",
        "light": "day",
        "floor": "grass",
    },
    "A pyramid of colourful boxes collapses on sand at sunset.": {
        "event": "pyramid",
        "light": "sunset",
        "floor": "sand",
    },
    "A tower of blocks topples": {"event": "tower"},
    "A green cube slides over ice at sunset.": {
        "event": "slide",
        "color": "green",
        "light": "sunset",
        "floor": "ice",
    },
    "yellow car driving down a street at night": {"event": "drive", "light": "night"},
    "a striped ball swings on a string": {"event": "pendulum"},
    "a purple ball bounces down stairs": {"event": "stairs"},
    "throw an orange ball onto the sand": {"event": "throw", "color": "orange", "floor": "sand"},
    "a red ball hits a blue cube on a checkerboard floor": {"event": "collide", "color": "red", "floor": "checker"},
    "apples falling from a tree": {"event": "apples"},
    "a paintbrush painting a green heart": {"event": "brush"},
    "balls pouring into a tray on the beach at sunset": {"event": "pour", "light": "sunset", "floor": "sand"},
    "红球落在冰面上": {"event": "drop", "color": "red", "floor": "ice"},
    "霓虹灯下多米诺骨牌倒下": {"event": "domino", "light": "neon"},
    "蓝色的方块在雪地上滑行": {"event": "slide", "color": "blue", "floor": "snow"},
    "夕阳下的汉堡被咬了一口": {"event": "bite", "light": "sunset"},
    "一个穿黄色外套的人在草地上走路": {"event": "walk", "floor": "grass"},
    "绿色的球沿斜坡滚下": {"event": "ramp", "color": "green"},
    "积木塔倒塌，阴天": {"event": "tower", "light": "overcast"},
}
LABELS = ("event", "color", "light", "floor")


def judged(recogniser: Recogniser) -> Iterator[tuple[str, dict[str, bool]]]:
    """("as it is" or "made full", what of it is right) of every clip."""
    pipeline = tenku.load("embedded")
    for i, (prompt, said) in enumerate(PROMPTS.items()):
        for k in range(SEEDS):
            right: dict[str, bool] = {}
            for way, text in (("as it is", prompt), ("made full", auto_expand(prompt, "embedded", k).text)):
                if way == "as it is" or text != prompt:
                    read = recogniser.read(pipeline.generate(text, seed=100 + SEEDS * i + k).frames)
                    right = {name: read[name][0] == wanted for name, wanted in said.items()}
                yield way, right


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recogniser", type=Path, required=True)
    found: dict[str, list[dict[str, bool]]] = {}
    for way, right in judged(Recogniser.load(parser.parse_args().recogniser)):
        found.setdefault(way, []).append(right)
    print(f"| right | {' | '.join(LABELS)} | all that was said |\n|{'---|' * (len(LABELS) + 2)}")
    for way, clips in found.items():
        each = ([right[name] for right in clips if name in right] for name in LABELS)
        cells = [f"{100 * sum(values) / len(values):.0f} % of {len(values)}" for values in each]
        all_right = sum(all(right.values()) for right in clips)
        print(f"| {way} | {' | '.join(cells)} | {100 * all_right / len(clips):.0f} % of {len(clips)} |")


if __name__ == "__main__":
    main()
