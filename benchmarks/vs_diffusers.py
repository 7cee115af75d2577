"""Denoising by tenku against denoising by diffusers: same random weights, noise, text, steps and threads, in one run.

    python benchmarks/vs_diffusers.py                      # the embedded model's shape on the CPU
    python benchmarks/vs_diffusers.py --width 128 --height 128
    python benchmarks/vs_diffusers.py --preset wan2.1-1.3b --device cuda --width 832 --height 480 --frames 81

Both walk the same UniPC schedule under guidance: tenku as `denoise` does, diffusers as its WanPipeline does (two calls
of the network a step). In float32 their latents must agree before anything is timed. Then each way of running either
side is timed in turns, and the fastest of ours is set against the fastest of theirs.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from tenku.model import presets, wan
from tenku.model.transformer import Transformer, TransformerConfig
from tenku.sample.denoise import denoise
from tenku.types import Conditioning, SamplingParams

GUIDANCE, SHIFT = 5.0, 3.0
Run = Callable[[], Tensor]


def random_weights(transformer: Transformer) -> None:
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter[0].numel() ** -0.5)


def diffusers_network(config: TransformerConfig) -> nn.Module:
    values = {key: value for key, value in wan.diffusers_config(config).items() if not key.startswith("_")}
    return diffusers.WanTransformer3DModel(**values)


def copy_of(ours: Transformer, side: str, dtype: torch.dtype, device: str, compiled: bool) -> nn.Module:
    """The same weights in a network of one side's own, in one of the ways to run it."""
    state = ours.state_dict()
    network: nn.Module
    if side == "tenku":
        network = Transformer(ours.config)
    else:
        network = diffusers_network(ours.config)
        state = {wan.to_diffusers(name): tensor for name, tensor in state.items()}
    network.load_state_dict(state)
    network = network.to(device, dtype).eval().requires_grad_(False)
    if compiled:
        network.compile()
    return network


def run_ours(transformer: Any, noise: Tensor, text: Tensor, negative: Tensor, steps: int) -> Tensor:
    params = SamplingParams(steps, GUIDANCE, SHIFT, solver="unipc", levels=1000)
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


def time_in_turns(runs: dict[str, Run], repeats: int, device: str) -> dict[str, float]:
    """Median seconds of each; every round runs all of them, so that what slows the machine slows all."""
    for run in runs.values():
        run()  # compiles, and fills caches
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            synchronize(device)
            start = time.perf_counter()
            run()
            synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", default="embedded")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--text-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-compile", action="store_true", help="time the eager ways alone")
    options = parser.parse_args()
    device = options.device

    torch.manual_seed(0)
    config = presets.get(options.preset).transformer
    with torch.device(device):
        ours = Transformer(config).eval().requires_grad_(False)
        random_weights(ours)
    shape = (1, config.latent_channels, -(-options.frames // 4), options.height // 8, options.width // 8)
    noise = torch.randn(shape, device=device)
    text, negative = (torch.randn(1, options.text_tokens, config.text_size, device=device) for _ in range(2))

    loops = {"tenku": run_ours, "diffusers": run_theirs}

    def prepared(side: str, dtype: torch.dtype, compiled: bool = False) -> Run:
        network = copy_of(ours, side, dtype, device, compiled)
        return lambda: loops[side](network, noise, text.to(dtype), negative.to(dtype), options.steps)

    with torch.inference_mode():
        a, b = (prepared(side, torch.float32)() for side in loops)
        error = float((a - b).abs().max() / b.abs().max())
        print(f"largest relative difference after {options.steps} steps in float32: {error:.1e}", flush=True)
        assert error < 1e-4, "the two sides do not compute the same"
        runs = {
            f"{side} {name}{' compiled' if compiled else ''}": prepared(side, dtype, compiled)
            for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16))
            for compiled in ([False] if options.no_compile else [False, True])
            for side in loops
        }
        medians = time_in_turns(runs, options.repeats, device)

    tokens = shape[2] * shape[3] * shape[4] // 4
    print(f"{options.preset}, {tokens} tokens, {options.steps} steps with guidance, {torch.get_num_threads()} threads")
    for name, seconds in medians.items():
        print(f"  {name:<28} {1000 * seconds / options.steps:8.1f} ms a step")
    best = {side: min((s, n) for n, s in medians.items() if n.startswith(side)) for side in ("tenku", "diffusers")}
    ratio = best["diffusers"][0] / best["tenku"][0]
    print(f"{best['tenku'][1]} is {ratio:.2f} x as fast as {best['diffusers'][1]}")


if __name__ == "__main__":
    main()
