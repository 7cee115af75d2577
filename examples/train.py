"""Train from nothing to a video: python examples/train.py --clips 2000 --minutes 60 --preset embedded

By itself, 8 clips and 2 steps: it shows every stage, and leaves weights that know nothing yet.
"""

import argparse
from pathlib import Path

import tenku
from tenku.data.latents import encode_clips
from tenku.loading import find
from tenku.train.build import export
from tenku.train.diffusion import DiffusionTrainer, TrainConfig
from tenku.world.dataset import write_clips

options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
options.add_argument("--out", type=Path, default=Path("out/train"), help="folder for clips, latents, run and model")
options.add_argument("--clips", type=int, default=8, help="clips of the miniature world to draw")
options.add_argument("--size", type=int, default=128, help="their width and height in pixels")
options.add_argument("--frames", type=int, default=48, help="their frames, 16 a second")
options.add_argument("--preset", default="nano", help="the size of the network: nano, embedded …")
options.add_argument("--steps", type=int, default=2, help="training steps, where no minutes are given")
options.add_argument("--minutes", type=float, help="training time instead of steps")
options.add_argument("--autoencoder", default="embedded", help="the model whose autoencoder is used")
given = options.parse_args()

clips, latents, run, model = (given.out / name for name in ("clips", "latents", "run", "model"))
autoencoder = find(given.autoencoder)

# 1. Simulate and draw clips with captions in two languages; those that are there already stay.
write_clips(clips, given.clips, size=(given.size, given.size), num_frames=given.frames)

# 2. Encode each once, and once mirrored: training reads latents only.
encode_clips(clips, autoencoder, latents)

# 3. Train a transformer and the text encoder with it. A second call resumes.
steps = None if given.minutes else given.steps
config = TrainConfig(latents=latents, out=run, preset=given.preset, minutes=given.minutes, steps=steps, batch_size=4)
DiffusionTrainer(config).fit()

# 4. Export the averaged weights as a folder that `tenku generate --model` takes.
export(run, model, autoencoder)

# 5. Sample from it.
clip = tenku.load(model).generate("A red ball rolls over wet asphalt at night.", seed=1)
clip.save(given.out / "sample.mp4")
print(f"{model}: {clip.num_frames} frames of {clip.size[0]}x{clip.size[1]} in {given.out / 'sample.mp4'}")
