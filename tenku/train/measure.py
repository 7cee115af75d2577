"""Measure a run: a log of JSON lines, floating-point operations a step, model FLOPs utilization (MFU)."""

import json
import math
import os
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tenku.model import TextConfig, TransformerConfig
from tenku.model.autoencoder import Autoencoder, AutoencoderConfig
from tenku.model.weights import load_config, part_folder
from tenku.system.files import read_json


@cache
def matmul_peak(device: torch.device) -> float | None:
    """FLOP/s of a large bf16 product of random matrices on a GPU, the best of many; None for a CPU.

    What a GPU really does, power limit and all, is a fifth below its data sheet.
    """
    if device.type != "cuda":
        return None
    size = 8192
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = math.inf
    for _ in range(40):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        a @ b
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end) / 1000)
    return 2 * size**3 / best


def speed(samples: int, flops: float, seconds: float, device: torch.device) -> dict[str, float]:
    """Samples a second, TFLOP/s, and on a GPU their share of the measured peak ("mfu")."""
    values = {"samples_per_second": round(samples / seconds, 2), "tflops": round(flops / seconds / 1e12, 4)}
    peak = matmul_peak(device)
    if peak is not None:
        values["mfu"] = round(flops / seconds / peak, 4)
    return values


# How they are shown.
SPEED = {"samples_per_second": "{:.1f} a second", "tflops": "{:.3g} TFLOP/s", "mfu": "{:.0%} of peak"}


def shown(values: dict[str, float], **forms: str) -> list[str]:
    """What there is among the values of what has a form, to be read; `speed` comes last."""
    return [form.format(values[key]) for key, form in (forms | SPEED).items() if key in values]


def encoding_flops(config: AutoencoderConfig, manifest: dict[str, Any]) -> float:
    """Floating-point operations of encoding all the clips of a latents folder."""
    total = 0.0
    with torch.device("meta"):
        autoencoder = Autoencoder(config)
    for bucket in manifest["buckets"]:
        (width, height), frames = bucket["size"], bucket["shape"][0] * autoencoder.temporal_compression
        with FlopCounterMode(display=False) as counter:
            autoencoder.encode_distribution(torch.empty(1, 3, frames, height, width, device="meta"))
        total += counter.get_total_flops() * sum(len(shard["clips"]) for shard in bucket["shards"])
    return total


def encoding_speed(counts: Sequence[int], seconds: float, autoencoder: Path, manifest: Path, device: str) -> str:
    """How many clips were encoded and how fast; `counts` are those that were there, at first and in the end."""
    new, total = counts[-1] - counts[0], counts[-1]
    if not new:
        return f"all {total} clips were there"
    config = load_config(part_folder(autoencoder, "autoencoder"), AutoencoderConfig)
    flops = new / total * encoding_flops(config, read_json(manifest))
    return ", ".join([f"{new} clips in {seconds:.0f} s", *shown(speed(new, flops, seconds, torch.device(device)))])


def step_flops(
    transformer: TransformerConfig, text: TextConfig, latent_shape: tuple[int, ...], text_tokens: int
) -> float:
    """Floating-point operations of a training step (as three forward passes) on B C T H W latents, within 2 %.

    A formula, since FlopCounterMode costs 0.5 to 1.2 s a step of the preset embedded on a core, and shapes change.
    """
    batch, _, frames, height, width = latent_shape
    patch = math.prod(transformer.patch_size)
    tokens, size = frames * height * width // patch, transformer.hidden_size
    per_token = 6 * size**2 + 2 * size * transformer.ffn_size  # q k v o, cross q o, feed-forward
    block = 2 * tokens * per_token + 4 * text_tokens * size**2 + 4 * tokens * (tokens + text_tokens) * size
    ends = 4 * tokens * size * patch * transformer.latent_channels
    words = 2 * text_tokens * (4 + 2 * text.ffn_factor) * text.hidden_size**2 * text.depth
    return 3.0 * batch * (transformer.depth * block + ends + words)


class Window:
    """The steps since the last log line."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}
        self.steps = self.samples = 0
        self.flops = 0.0
        self.started = time.monotonic()

    def add(self, values: dict[str, Tensor], samples: int, flops: float) -> None:
        # Tensors, not numbers: asking for a number would make the CPU wait for the GPU at every step.
        for name, value in values.items():
            self.values.setdefault(name, []).append(value.detach())
        self.steps += 1
        self.samples += samples
        self.flops += flops

    def means(self) -> dict[str, Tensor]:
        return {name: torch.stack(values).mean(0) for name, values in self.values.items()}

    def speed(self, device: torch.device) -> dict[str, float]:
        return speed(self.samples, self.flops, time.monotonic() - self.started, device)


class Log:
    """RUN/log.jsonl, one JSON object a line, each with its step."""

    def __init__(self, path: Path, step: int) -> None:
        """Go on after `step`: lines of later steps, whose work a kill has undone, are dropped."""
        kept = [line for line in read_log(path) if line["step"] <= step] if path.exists() else []
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        os.replace(partial, path)
        self.path = path

    def write(self, step: int, **values: Any) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log. A last line that a kill cut off is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines
