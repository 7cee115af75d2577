"""Text to video, in English and in Chinese: python examples/generate.py --out out/generate"""

import argparse
from pathlib import Path

import tenku

PROMPTS = {
    "neon": "A person in a red coat walks on wet asphalt at night under neon lights.",
    "ball": "夜晚霓虹灯下,一个红色的橡胶球落在湿漉漉的柏油路上。",
}

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--out", type=Path, default=Path("out/generate"), help="folder for the videos")
options.add_argument("--model", default="embedded", help="a name that `tenku models` lists, or a folder")
options.add_argument("--seconds", type=float, help="length; the model's own by default")
options.add_argument("--steps", type=int, help="denoising steps; the model's own by default")
given = options.parse_args()

given.out.mkdir(parents=True, exist_ok=True)
pipeline = tenku.load(given.model)
for name, prompt in PROMPTS.items():
    full = tenku.expand(prompt).text  # a long caption in the same language, as those that the model has learned from
    clip = pipeline.generate(full, seed=1, seconds=given.seconds, steps=given.steps)
    clip.save(given.out / f"{name}.mp4")
    clip.save(given.out / f"{name}.png")  # a contact sheet
    print(f"{name}: {clip.num_frames} frames of {clip.size[0]}x{clip.size[1]} at {clip.fps:g} a second\n  {full}")

# A minute does not fit in memory at once: a stream hands out frames as they are made, and an mp4 takes them.
#     pipeline.stream(full, seconds=60).save("minute.mp4")
