"""Animate, extend and loop a clip of your own: python examples/edit.py CLIP "what should be seen" --out out/edit"""

import argparse
from pathlib import Path

import tenku

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("clip", type=Path, help="a video or a picture of your own")
options.add_argument("prompt", help="what should be seen, in English or Chinese")
options.add_argument("--out", type=Path, default=Path("out/edit"), help="folder for the videos")
options.add_argument("--model", default="embedded", help="a name that `tenku models` lists, or a folder")
options.add_argument("--seconds", type=float, default=1.0, help="how much is made, each time")
options.add_argument("--steps", type=int, help="denoising steps; the model's own by default")
given = options.parse_args()

given.out.mkdir(parents=True, exist_ok=True)
pipeline = tenku.load(given.model)
clip = tenku.Clip.load(given.clip, longest_side=1280)
how = {"seed": 1, "steps": given.steps}

# Every edit gives a stream: frames are made while they are written.
first = tenku.Clip(clip.frames[:1], clip.fps)
tenku.animate(pipeline, given.prompt, first, seconds=given.seconds, **how).save(given.out / "animated.mp4")

longer = tenku.extend(pipeline, given.prompt, clip, forward=given.seconds, backward=given.seconds, **how)
longer.save(given.out / "extended.mp4")

looped = tenku.loop(pipeline, given.prompt, clip, seconds=given.seconds, **how)
looped.save(given.out / "looped.mp4")

for path in sorted(given.out.glob("*.mp4")):
    made = tenku.Clip.load(path)
    print(f"{path}: {made.seconds:.2f} s of {clip.seconds:.2f}, {made.metadata['task']}")
