"""Where the time of a training step goes: what to look at first when the share of the peak is low.

    python benchmarks/training.py --latents LATENTS --batch-size 192          # on a GPU where there is one
    python benchmarks/training.py --latents LATENTS --batch-size 4 --steps 3 --preset nano

Three tables, for the steps of a run on LATENTS (`tenku encode`) at full length: the parts of a step, each waited for;
whole steps as a run takes them, on a GPU with their share of a large product's peak; and the kernels that take most, by
the profiler.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from tenku.data.loader import Lengths
from tenku.sample.stopwatch import stopwatch
from tenku.train.corruption import corrupt, predict_velocity
from tenku.train.diffusion import DiffusionTrainer, TrainConfig
from tenku.train.measure import Window, matmul_peak, shown

FULL = Lengths(full=1, shorter=0, still=0)
ATTENTION, PRODUCTS = ("flash", "attention", "fmha", "sdpa"), ("mm", "matmul", "nvjet", "cutlass")


def parts(run: DiffusionTrainer, steps: int) -> dict[str, float]:
    """Seconds of each part of a step, the mean of some."""
    times: dict[str, float] = {}
    for _ in range(steps):
        with stopwatch(times, "draw clips"):
            batch = run.loader.next(FULL)
            data = batch.latents.to(run.device)
        with stopwatch(times, "corrupt: noise, conditioning frames, tokens"):
            generators = run.generators["choice"], run.generators["noise"]
            corrupted = corrupt(data, batch.captions, run.text, run.config.corruption, *generators)
        with stopwatch(times, "forward"):
            loss = corrupted.loss(predict_velocity(run.transformer, run.text, corrupted))
        with stopwatch(times, "backward"):
            run.optimizer.zero_grad()
            loss.backward()
        with stopwatch(times, "clip the gradient"):
            nn.utils.clip_grad_norm_(run.optimizer.parameters, run.config.max_grad_norm)
        with stopwatch(times, "update: AdamW and Muon"):
            run.optimizer.step(0.0)
        with stopwatch(times, "EMA"):
            run.ema.update(1)
    return {name: seconds / steps for name, seconds in times.items()}


def whole(run: DiffusionTrainer, steps: int) -> dict[str, float]:
    """Speed of whole steps as a run takes them, with nobody waiting in between."""
    run.window = Window()
    for _ in range(steps):
        run.update(run.train_step(FULL))
    return run.window.speed(run.device)


def kernels(run: DiffusionTrainer, steps: int) -> list[tuple[str, float, float]]:
    """(name, seconds a step, calls a step) of what ran on the device, the longest first."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = run.device.type == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=kinds) as profiler:
        whole(run, steps)
    found = []
    for event in profiler.key_averages():
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        named = event.is_user_annotation  # a range around kernels that are there themselves
        if own and not named and (not on_gpu or event.device_type == torch.autograd.DeviceType.CUDA):
            found.append((event.key, own / 1e6 / steps, event.count / steps))
    return sorted(found, key=lambda each: -each[1])


def kind_of(kernel: str) -> str:
    """By its name. Fused kernels are named after all that they came from; on a CPU attention is products."""
    name = kernel.lower()
    if name.startswith("triton_"):
        return "everything else"
    if any(part in name for part in ATTENTION):
        return "attention"
    return "products" if any(part in name for part in PRODUCTS) else "everything else"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--preset", default="embedded")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--top", type=int, default=25)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            latents=arguments.latents,
            out=Path(folder),
            preset=arguments.preset,
            steps=10**9,
            batch_size=arguments.batch_size,
            log_every=10**9,
        )
        run = DiffusionTrainer(config)
        matmul_peak(run.device)  # measured once, not within a step
        whole(run, 2)  # warm
        print("| part of a step, waited for | ms |\n|---|---|")
        for name, seconds in parts(run, arguments.steps).items():
            print(f"| {name} | {1000 * seconds:.2f} |")
        start = time.perf_counter()
        speed = shown(whole(run, arguments.steps))
        took = (time.perf_counter() - start) / arguments.steps
        print("", ", ".join([f"a whole step: {1000 * took:.1f} ms", *speed]), "", sep="\n")
        found = kernels(run, min(3, arguments.steps))
        print("| kind | ms a step | kernels a step |\n|---|---|---|")
        for kind in ("products", "attention", "everything else"):
            rows = [(took, calls) for name, took, calls in found if kind_of(name) == kind]
            print(f"| {kind} | {1000 * sum(took for took, _ in rows):.2f} | {sum(calls for _, calls in rows):.0f} |")
        print("\n| kernel | ms a step | calls a step |\n|---|---|---|")
        for name, took, calls in found[: arguments.top]:
            print(f"| {name[:100]} | {1000 * took:.2f} | {calls:.0f} |")


if __name__ == "__main__":
    main()
