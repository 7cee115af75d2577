"""Denoising by tenku against denoising by diffusers: same random weights, noise, text, steps and threads, in one run.

    python benchmarks/vs_diffusers.py                      # the embedded model's shape on the CPU
    python benchmarks/vs_diffusers.py --width 128 --height 128
    python benchmarks/vs_diffusers.py --preset wan2.1-1.3b --device cuda --width 832 --height 480 --frames 81 \\
        --text-tokens 512 --dtypes bf16 --steps 2 --repeats 3 --regional --check-frames 5 --check-steps 2

Both walk the same UniPC schedule under guidance: tenku as `denoise` does, diffusers as its WanPipeline does (two calls
of the network a step). In float32 their latents must agree before anything is timed, where that would take too long
on the first frames alone (`--check-frames`). Then each way of running either side is timed in turns, and the fastest
of ours is set against the fastest of theirs. What each of theirs keeps in float32 stays so, as when it is loaded.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from tenku.model import presets
from tenku.model.settings import SamplingParams
from tenku.model.transformer import Transformer, TransformerConfig
from tenku.sample.conditioning import Conditioning
from tenku.sample.denoise import denoise
from tenku.system.machine import keep_freed_memory
from tenku.wan import names

GUIDANCE, SHIFT = 5.0, 3.0
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
Run = Callable[[], Tensor]


def random_weights(transformer: Transformer) -> None:
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter[0].numel() ** -0.5)


def diffusers_network(config: TransformerConfig) -> nn.Module:
    values = {key: value for key, value in names.diffusers_config(config).items() if not key.startswith("_")}
    return diffusers.WanTransformer3DModel(**values)


def copy_of(
    ours: Transformer, side: str, dtype: torch.dtype, device: str, compiled: bool, regional: bool = False
) -> nn.Module:
    """The same weights in a network of one side's own, in one of the ways to run it.

    regional: compile one block for all of them, as diffusers advises (`compile_repeated_blocks`), not the whole.
    """
    state = ours.state_dict()
    network: nn.Module
    if side == "tenku":
        network = Transformer(ours.config)
    else:
        network = diffusers_network(ours.config)
        state = {names.to_diffusers(name): tensor for name, tensor in state.items()}
    network.load_state_dict(state)
    network = network.to(device).eval().requires_grad_(False)
    kept = getattr(network, "_keep_in_fp32_modules", None) or ()
    for name, parameter in network.named_parameters():
        if not set(kept) & set(name.split(".")):
            parameter.data = parameter.data.to(dtype)
    if compiled and regional:
        for block in network.blocks:
            block.compile()
    elif compiled:
        network.compile()
    return network


def run_ours(transformer: Any, noise: Tensor, text: Tensor, negative: Tensor, steps: int) -> Tensor:
    params = SamplingParams(steps, GUIDANCE, SHIFT, solver="unipc", num_train_timesteps=1000)
    return denoise(transformer, noise, Conditioning(text, None, negative, None), params)


def run_theirs(transformer: Any, noise: Tensor, text: Tensor, negative: Tensor, steps: int) -> Tensor:
    """The loop of diffusers' WanPipeline."""
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT
    )
    scheduler.set_timesteps(steps, device=noise.device)
    latents, dtype = noise, text.dtype
    for t in scheduler.timesteps:
        towards, away = (
            transformer(
                hidden_states=latents.to(dtype),
                timestep=t.expand(len(latents)),
                encoder_hidden_states=each,
                return_dict=False,
            )[0]
            for each in (text, negative)
        )
        latents = scheduler.step(away + GUIDANCE * (towards - away), t, latents, return_dict=False)[0]
    return latents


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(run: Run, device: str) -> tuple[float, Tensor]:
    synchronize(device)
    start = time.perf_counter()
    result = run()
    synchronize(device)
    return time.perf_counter() - start, result


def time_in_turns(runs: dict[str, Run], repeats: int, device: str) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Median seconds of each; every round runs all of them, so that what slows the machine slows all. And results."""
    results = {}
    for name, run in runs.items():  # compiles, and fills caches
        first, results[name] = seconds_of(run, device)
        print(f"  {name:<28} {first:8.1f} s the first time", flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name].append(seconds_of(run, device)[0])
        print("  a round: " + ", ".join(f"{each[-1]:.3f}" for each in seconds.values()) + " s", flush=True)
    return {name: statistics.median(each) for name, each in seconds.items()}, results


def print_kernels(run: Run, count: int = 12) -> None:
    """What the GPU spends a run on."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    events = sorted(profile.key_averages(), key=lambda event: -event.self_device_time_total)
    total = sum(event.self_device_time_total for event in events)
    for event in events[:count]:
        share, times = event.self_device_time_total / max(total, 1), event.count
        print(f"    {100 * share:5.1f} % {event.self_device_time_total / 1000:9.2f} ms {times:5d} x {event.key[:100]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", default="embedded")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--text-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-compile", action="store_true", help="time the eager ways alone")
    parser.add_argument("--regional", action="store_true", help="compile one block for all: quicker than the whole")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES), help="what is timed")
    parser.add_argument("--check-frames", type=int, help="compare in float32 on so many frames (default: all)")
    parser.add_argument("--check-steps", type=int, help="and in so many steps (default: all)")
    parser.add_argument("--profile", action="store_true", help="print what a GPU spends the fastest runs on")
    options = parser.parse_args()
    device = options.device
    keep_freed_memory()  # as `tenku` does; diffusers runs in the same process and gains by it too
    torch.backends.cudnn.allow_tf32 = False  # on by default for their patches, which are a convolution

    torch.manual_seed(0)
    config = presets.get(options.preset).transformer
    with torch.device(device):
        ours = Transformer(config).eval().requires_grad_(False)
        random_weights(ours)

    def shape_of(frames: int) -> tuple[int, ...]:
        return 1, config.latent_channels, -(-frames // 4), options.height // 8, options.width // 8

    shape = shape_of(options.frames)
    noise = torch.randn(shape, device=device)
    text, negative = (torch.randn(1, options.text_tokens, config.text_size, device=device) for _ in range(2))

    loops = {"tenku": run_ours, "diffusers": run_theirs}

    def prepared(side: str, dtype: torch.dtype, compiled: bool = False) -> Run:
        network = copy_of(ours, side, dtype, device, compiled, options.regional)
        return lambda: loops[side](network, noise, text.to(dtype), negative.to(dtype), options.steps)

    check_frames, check_steps = options.check_frames or options.frames, options.check_steps or options.steps
    few = noise[:, :, : shape_of(check_frames)[2]]
    with torch.inference_mode():
        a, b = (
            loop(copy_of(ours, side, torch.float32, device, False), few, text, negative, check_steps)
            for side, loop in loops.items()
        )
        error = float((a - b).abs().max() / b.abs().max())
        print(f"largest relative difference after {check_steps} steps in float32: {error:.1e}", flush=True)
        assert error < 1e-4, "the two sides do not compute the same"
        runs = {
            f"{side} {name}{' compiled' if compiled else ''}": prepared(side, DTYPES[name], compiled)
            for name in options.dtypes
            for compiled in ([False] if options.no_compile else [False, True])
            for side in loops
        }
        medians, results = time_in_turns(runs, options.repeats, device)

    tokens = shape[2] * shape[3] * shape[4] // 4
    place = f"{torch.get_num_threads()} threads"
    if device == "cuda":
        place = f"{torch.cuda.get_device_name()}, torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}"
    print(f"{options.preset}, {tokens} tokens, {options.steps} steps with guidance, {place}")
    for name, seconds in medians.items():
        print(f"  {name:<28} {1000 * seconds / options.steps:8.1f} ms a step")
    best = {side: min((s, n) for n, s in medians.items() if n.startswith(side)) for side in ("tenku", "diffusers")}
    ratio = best["diffusers"][0] / best["tenku"][0]
    print(f"{best['tenku'][1]} is {ratio:.2f} x as fast as {best['diffusers'][1]}")
    a, b = (results[name] for _, name in best.values())
    print(f"their latents differ by {float((a - b).norm() / b.norm()):.1e} (relative, root mean square)", flush=True)
    if options.profile and device == "cuda":
        with torch.inference_mode():
            for _, name in best.values():
                print(f"  {name}")
                print_kernels(runs[name])


if __name__ == "__main__":
    main()
