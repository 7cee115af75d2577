"""Whether two checkouts make the same, to the byte: twelve requests, ten clips of the world, training steps.

    git worktree add ../before COMMIT
    python benchmarks/same_output.py --before ../before --out /tmp/same [--after .]

Every command of the list runs in both checkouts, each in a process of its own. What is compared: every frame that is
handed to the encoder of a video, before it is encoded (SHA-256 of its uint8 pixels); of world clips the files too
(frames, states, captions); of training the losses and every tensor of the last checkpoint. One line a case, exit code
1 if any differs. Models and clips that cases begin with are made once, by the checkout of before.

--speed PAIRS compares the time to load, the time of a clip and peak memory instead.
"""

import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

# Runs a command of a checkout and prints a digest of every frame that it writes.
CHILD = """
import hashlib, json, sys
import av
digest, count, make = hashlib.sha256(), 0, av.VideoFrame.from_ndarray
def watched(array, *rest, **more):
    global count
    digest.update(str(array.shape).encode() + array.tobytes()); count += 1
    return make(array, *rest, **more)
av.VideoFrame.from_ndarray = staticmethod(watched)
from tenku.cli import main
code = main(sys.argv[1:])
print("\\n" + json.dumps({"code": code, "frames": count, "digest": digest.hexdigest()}))
"""
# Times a model in a process of its own, in CPU seconds of one thread: loading, and a clip when everything is warm.
TIMED = """
import json, resource, time
clock = time.process_time()
import tenku
pipeline = tenku.load("embedded")
loaded = time.process_time() - clock
for _ in range(2):
    clock = time.process_time()
    pipeline.generate("a red ball falls onto wet asphalt at night", seed=1, steps=2)
    clip = time.process_time() - clock
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"time to load": loaded, "time of a clip": clip, "peak memory": memory}))
"""
# Writes open weights in diffusers' layout, tiny and random, and a LoRA for them.
OPEN_WEIGHTS = """
import json, sys
from pathlib import Path
sys.path.insert(0, str(Path("tests/sample").resolve()))
import torch
from safetensors.torch import save_file
from tiny_wan import write_pipeline
out = Path(sys.argv[1])
for kind in ("2.1", "5b", "i2v"):
    folder = write_pipeline(out / kind, kind)
    known = "first" if kind == "5b" else "none"
    values = {"name": kind, "fps": 16, "sizes": [[64, 48]], "max_frames": 17, "known": known, "negative": "blurry"}
    defaults = {"steps": 4, "guidance": 4.0, "shift": 3.0, "solver": "unipc", "levels": 1000}
    (folder / "model.json").write_text(json.dumps(values | {"defaults": defaults}))
torch.manual_seed(5)
parts = [f"{part}.{name}" for part in ("self_attn", "cross_attn") for name in "qkvo"]
layers = [f"blocks.{block}.{part}" for block in (0, 1) for part in parts]
save_file({f"diffusion_model.{layer}.{half}.weight": torch.randn(*shape)
    for layer in layers for half, shape in (("lora_down", (4, 48)), ("lora_up", (48, 4)))}, out / "lora.safetensors")
"""
PERSON = "A person in a red coat walks on wet asphalt at night under neon signs."
BALL = "A red rubber ball falls onto wet asphalt at night and bounces under neon lights."
CUBE = "白天，一个蓝色的方块在冰面上滑动。"
STORYBOARD = """seconds = 5
seed = 4
[[card]]
at = 0
prompt = "A red ball rolls over grass."
[[card]]
at = 1.5
prompt = "The ball hits a wall of blocks."
picture = "clip.mp4"
[[card]]
at = 3
prompt = "草地上的球停下来了。"
"""


def requests(place: Path) -> dict[str, list[str]]:
    """Name of a case -> arguments of the command; outputs go to OUT."""
    clip, other, open_weights = str(place / "clip.mp4"), str(place / "other.mp4"), place / "open"
    few, wan = ["--steps", "4", "--seed", "3"], ["--steps", "3", "--seed", "3", "--size", "64x48"]
    image, text = ["--model", str(open_weights / "i2v"), *wan], ["--model", str(open_weights / "2.1"), *wan]
    return {
        "text, English": ["generate", PERSON, "--seed", "1"],
        "text, Chinese": ["generate", CUBE, "--seed", "2", "--steps", "8"],
        "text, expanded, other settings": ["generate", "a ball falls", "--negative", "grey", "--solver", "heun"]
        + ["--guidance", "3.5", "--shift", "3", "--size", "160x96", "--seconds", "2", *few],
        "a still, no guidance": ["generate", BALL, "--no-expand", "--guidance", "1", "--seconds", "0", *few],
        "a minute": ["generate", PERSON, "--seconds", "60", *few],
        "animate, both ends": ["animate", clip, BALL, "--last", other, *few],
        "animate, last frame": ["animate", clip, CUBE, "--ends", "--seconds", "2", *few],
        "extend, both ways": ["extend", clip, BALL, "--forward", "5", "--backward", "4", *few],
        "connect": ["connect", clip, other, "the scene changes", "--seconds", "1.5", *few],
        "loop out of nothing": ["loop", BALL, "--seconds", "2", *few],
        "loop of a clip": ["loop", CUBE, "--clip", clip, "--seconds", "1", *few],
        "remix, two strengths, a mask": ["remix", clip, CUBE, "--strength", "0.3:0.9", "--keep", other, *few],
        "storyboard": ["storyboard", str(place / "board.toml"), *few[:2]],
        "storyboard, cut anew": ["storyboard", str(place / "short.toml"), "--video", clip, *few[:2]]
        + ["--insert", "1:1:一个红色的球滚过来。"],
        "open weights with a LoRA": ["generate", "a cat & a dog run", "--lora", f"{open_weights}/lora.safetensors:0.5"]
        + ["--seconds", "3", *text],
        "open weights, extend": ["extend", clip, "a cat", "--forward", "2", "--backward", "1", *text],
        "open weights, connect": ["connect", clip, other, "a cat", "--seconds", "0.5", *text],
        "open weights, remix": ["remix", clip, "a cat", *text],
        "open weights, storyboard": ["storyboard", str(place / "board.toml"), *text],
        "open weights, 5b, animate": ["animate", clip, "a dog", "--model", str(open_weights / "5b"), *wan[:4]]
        + ["--size", "64x64"],
        "open weights, i2v, animate": ["animate", clip, "a dog", "--last", other, *image],
        "open weights, i2v, long": ["animate", clip, "a dog", "--ends", "--seconds", "3", *image],
        "open weights, i2v, loop": ["loop", "a dog", "--clip", clip, "--seconds", "0.5", *image],
    }


def run(checkout: Path, code: str, *arguments: str, cwd: Path | None = None) -> str:
    """Standard output of a Python program that imports tenku from a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1", "TENKU_DEBUG": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: {' '.join(arguments)} failed\n{done.stderr[-3000:]}")
    return done.stdout


def written(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def trained(folder: Path) -> dict[str, object]:
    """Losses of a run, and a digest of each file of its last checkpoint but the one that holds times."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    timed = ("elapsed", "samples_per_second", "tflops", "mfu")
    values = [{key: value for key, value in line.items() if key not in timed} for line in lines]
    newest = sorted((folder / "checkpoints").glob("step-*"))[-1]
    return {
        "log": values,
        "tensors": {name: each for name, each in written(newest).items() if "state.json" not in name},
    }


def prepare(place: Path, before: Path) -> None:
    """What cases begin with, made once by the checkout of before."""
    (place / "open").mkdir(parents=True)
    run(before, OPEN_WEIGHTS, str(place / "open"), cwd=before)
    for name, prompt, seed in (("clip", BALL, "7"), ("other", PERSON, "8")):
        run(before, CHILD, "generate", prompt, "--steps", "4", "--seed", seed, "--out", str(place / f"{name}.mp4"))
    (place / "board.toml").write_text(STORYBOARD, encoding="utf-8")
    (place / "short.toml").write_text(STORYBOARD.split("[[card]]\nat = 3")[0].replace("5", "3", 1), encoding="utf-8")
    world = ("world", "--frames", "16", "--size", "64x64", "--samples", "4", "--workers", "1")
    run(before, CHILD, *world, "--clips", "24", "--seed", "900", "--out", str(place / "clips"))
    run(before, CHILD, "encode", str(place / "clips"), "--autoencoder", "embedded", "--out", str(place / "latents"))


def results(checkout: Path, place: Path, out: Path, only: str) -> dict[str, object]:
    """What a checkout makes of every case whose name holds `only`."""
    found: dict[str, object] = {}
    out.mkdir(parents=True, exist_ok=True)
    for number, (name, arguments) in enumerate(requests(place).items()):
        if only in name:
            told = run(checkout, CHILD, *arguments, "--out", str(out / f"{number:02d}.mp4")).splitlines()
            found[name] = json.loads(told[-1])
    if only in "world":
        world = ("world", "--clips", "10", "--seed", "40", "--frames", "24", "--size", "96x64", "--workers", "1")
        run(checkout, CHILD, *world, "--out", str(out / "world"))
        found["world, ten clips"] = written(out / "world")
    if only in "training":
        start = ("--latents", str(place / "latents"), "--from", "embedded", "--batch-size", "4", "--motion", "3")
        run(checkout, CHILD, "train", *start, "--steps", "20", "--stills", "0.2", "--out", str(out / "run"))
        found["training, twenty steps"] = trained(out / "run")
        start = ("--preset", "nano", "--batch-size", "2", "--steps", "20", "--out", str(out / "autoencoder"))
        run(checkout, CHILD, "train-autoencoder", str(place / "clips"), *start)
        found["training of the autoencoder, twenty steps"] = trained(out / "autoencoder")
    return found


def speed(before: Path, after: Path, pairs: int) -> None:
    """Print the ratio after / before of time to load, time of a clip and peak memory: mean and its 95 % interval.

    The two take turns, and which goes first does too. The interval is that of the mean of logarithms (normal).
    """
    ratios: dict[str, list[float]] = {}
    for pair in range(pairs):
        turns = [("before", before), ("after", after)][:: -1 if pair % 2 else 1]
        found = {name: json.loads(run(checkout, TIMED).splitlines()[-1]) for name, checkout in turns}
        for key, value in found["after"].items():
            ratios.setdefault(key, []).append(math.log(value / found["before"][key]))
    for key, values in ratios.items():
        middle, half = statistics.mean(values), 1.96 * statistics.stdev(values) / len(values) ** 0.5
        low, high = math.exp(middle - half), math.exp(middle + half)
        print(f"{key:<15} {math.exp(middle):.3f} ({low:.3f} to {high:.3f}) of {pairs} pairs")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--before", type=Path, required=True, help="a checkout")
    options.add_argument("--after", type=Path, default=Path(), help="another one")
    options.add_argument(
        "--out", type=Path, default=Path("out/same"), help="a folder; what the first checkout made stays there"
    )
    options.add_argument("--only", default="", help="cases whose names hold this")
    options.add_argument("--speed", type=int, default=0, metavar="PAIRS", help="time loading and a clip instead")
    asked = options.parse_args()
    if asked.speed:
        speed(asked.before, asked.after, asked.speed)
        return
    place, former = asked.out / "given", asked.out / f"before{asked.only and '-' + asked.only.replace(' ', '-')}.json"
    if not (place / "latents" / "manifest.json").is_file():
        prepare(place, asked.before)
    if not former.is_file():
        former.write_text(json.dumps(results(asked.before, place, asked.out / "before", asked.only)), encoding="utf-8")
    before = json.loads(former.read_text(encoding="utf-8"))
    run_folder = asked.out / f"after-{os.getpid()}"
    after = json.loads(json.dumps(results(asked.after, place, run_folder, asked.only)))
    different = [name for name in before if before[name] != after[name]]
    for name in before:
        print(f"{'DIFFERS' if name in different else 'same   '}  {name}")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
