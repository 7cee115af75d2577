"""What this machine can run: processor, memory, GPU, encoders, weights, and how long a video takes."""

import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tenku.system.machine import available_memory, install_command, total_memory, usable_cores

if TYPE_CHECKING:
    from tenku.wan.catalogue import OpenWeights

# A model's weights in bf16 and about as much again for activations and decoding.
BYTES_PER_PARAMETER = 4
PROBE_STEPS = 2
CARDS = (8, 12, 16, 24, 32, 48, 80, 96, 141, 192)  # gigabytes of memory that cards are sold with
USABLE_SHARE = 0.94  # of it: the allocator's blocks are never filled to the last byte


@dataclass(frozen=True)
class Finding:
    """One line of the report. good: True fine, None worth knowing, False something that stops the work."""

    subject: str
    text: str
    good: bool | None = True


def findings(model: str, size: tuple[int, int] | None = None, seconds: float | None = None) -> Iterator[Finding]:
    """Everything that doctor looks at, cheapest first."""
    yield processor()
    yield load()
    yield memory()
    yield torch_build()
    yield gpu()
    yield encoders()
    yield simulator()
    yield presets()
    from tenku.model.presets import PRESETS
    from tenku.wan.catalogue import OPEN_WEIGHTS

    if model in OPEN_WEIGHTS:
        yield from open_weights(model, size, seconds)
    elif model in PRESETS and model != "embedded":
        yield training(model)
    elif size is not None or seconds is not None:
        raise ValueError(f"--size and --seconds ask for the memory of open weights: {', '.join(OPEN_WEIGHTS)}")
    else:
        yield from weights_and_speed(model)


def processor() -> Finding:
    flags: set[str] = set()
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() == "flags":
                flags = set(value.split())
                break
    except OSError:
        pass
    cores = usable_cores()
    text = f"{name}, {cores} core{'s' if cores > 1 else ''}"
    if not flags:
        return Finding("processor", text, None)
    has = [
        label for flag, label in (("avx2", "AVX2"), ("avx512f", "AVX-512"), ("avx512_bf16", "bf16")) if flag in flags
    ]
    if "amx_bf16" in flags:
        has.append("AMX")
    return Finding("processor", f"{text}, {', '.join(has) or 'no vector extensions'}")


def load() -> Finding:
    """Whether others are at work: two threads of ours beside them take three times as long as one."""
    try:
        busy = os.getloadavg()[0]
    except (OSError, AttributeError):
        return Finding("load", "not known here", None)
    cores = usable_cores()
    if busy < 0.7 * cores:
        return Finding("load", f"{busy:.1f} of {cores} cores are at work")
    free = max(1, cores - round(busy))
    return Finding(
        "load",
        f"{busy:.1f} of {cores} cores are at work with something else: set OMP_NUM_THREADS={free} (the same clip took "
        "109 s with two threads beside other work, 33 s with one)",
        None,
    )


def memory() -> Finding:
    total, free = total_memory(), available_memory()
    if not total:
        return Finding("memory", "cannot be told here", None)
    return Finding("memory", f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} free", None if 0 < free < 2**30 else True)


def torch_build() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("torch", f"cannot be loaded: {error}", False)
    from tenku.model.precision import fastest_dtype

    text = f"{torch.__version__}, {torch.get_num_threads()} threads"
    if fastest_dtype("cpu") == torch.bfloat16:
        return Finding("torch", f"{text}, multiplies in bf16")
    return Finding("torch", f"{text}, multiplies in float32: with bf16 instructions a CPU is twice as fast", None)


def gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        parts = []
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            parts.append(f"{card.name}, {card.total_memory / 2**30:.0f} GiB")
        return Finding("GPU", "; ".join(parts))
    return Finding("GPU", "none that torch can use; the embedded model needs none", None)


def encoders() -> Finding:
    try:
        import av
    except (ImportError, OSError) as error:
        return Finding("video", f"PyAV cannot be loaded: {error}", False)
    if "libx264" not in av.codecs_available:
        return Finding("video", f"PyAV {av.__version__} without the H.264 encoder libx264", False)
    return Finding("video", f"PyAV {av.__version__} with libx264: mp4, gif, webp and png")


def simulator() -> Finding:
    missing = []
    for name in ("mujoco", "numba"):
        try:
            __import__(name)
        except (ImportError, OSError):
            missing.append(name)
    if missing:
        return Finding("world", f"not installed ({', '.join(missing)}): {install_command('world')} to make clips", None)
    return Finding("world", "the miniature world's simulator and pictures are installed")


def presets() -> Finding:
    """Which sizes of network fit into memory: counted on the sizes alone, nothing is allocated."""
    import torch

    from tenku.model.presets import get
    from tenku.model.transformer import Transformer
    from tenku.model.weights import count_parameters

    if torch.cuda.is_available():
        place, room = "GPU memory", torch.cuda.get_device_properties(0).total_memory
    else:
        place, room = "memory", available_memory() or total_memory()
    fits = []
    for name in ("embedded-cpu", "embedded", "1.3b", "3b", "5b", "14b"):
        with torch.device("meta"):
            parameters = count_parameters(Transformer(get(name).transformer))
        if parameters * BYTES_PER_PARAMETER <= room:
            fits.append(f"{name} ({parameters / 1e6:,.0f}M)")
    return Finding("sizes", f"transformers whose weights fit into {place}: {', '.join(fits) or 'none'}", bool(fits))


def training(preset: str) -> Finding:
    """What a training step of a preset takes, predicted for a clip of 3 s at 128x128, and which card holds it."""
    from tenku.train.memory import training_memory

    need = training_memory(preset, (1, 16, 12, 16, 16))
    peak = need.pop("peak") / 1e9
    card = next((size for size in CARDS if peak <= USABLE_SHARE * size), None)
    told = ", ".join(f"{part} {bytes / 1e9:.1f}" for part, bytes in need.items())
    wants = f"a card of {card} GB" if card else f"more than a card of {CARDS[-1]} GB, so weights on several"
    return Finding("training", f"{preset}: a clip of 3 s at 128x128 takes {peak:.1f} GB ({told}): {wants}", None)


def open_weights(model: str, size: tuple[int, int] | None, seconds: float | None) -> Iterator[Finding]:
    """Whether they are here and whole, and what a clip needs in each way of holding them: predicted, nothing is run."""

    from tenku.model.weights import tensor_files
    from tenku.sample.memory import USABLE, clip_frames, free_memory, plans_for, stages
    from tenku.sample.request import make_request
    from tenku.system.device import choose_device
    from tenku.wan.catalogue import OPEN_WEIGHTS, models_folder

    folder = models_folder() / model
    if folder.is_dir():
        try:
            parts = [
                part for part in ("transformer", "transformer_2", "vae", "text_encoder") if (folder / part).is_dir()
            ]
            count = sum(len(tensor_files(folder / part)) for part in parts)
            yield Finding("weights", f"{model}: {count} tensors in {folder}, none missing")
        except ValueError as error:
            yield Finding("weights", str(error), False)
    else:
        yield Finding("weights", f"{model} is not here: tenku pull {model}", None)

    entry = OPEN_WEIGHTS[model]
    settings = entry.settings
    request = make_request(settings, size_multiple(entry), "a clip", size=size, seconds=seconds)
    width, height = request.width, request.height
    frames = settings.max_frames if seconds is None else clip_frames(settings, seconds)
    if seconds is not None and round(seconds * settings.fps) > frames:
        yield Finding(
            "memory", f"{seconds:g} s take as much as each window of {frames} frames that they are made in", None
        )
    device = choose_device()
    free = free_memory(device)
    chosen = False
    for plan in plans_for(device.type):
        need = stages(entry, plan, (width, height), frames, device.type)
        worst = max(need, key=need.__getitem__)
        fits = need[worst] <= USABLE * free
        told = ", ".join(f"{stage} {bytes / 1e9:.1f}" for stage, bytes in need.items())
        verdict = "taken" if fits and not chosen else "fits" if fits else f"too much: {free / 1e9:.1f} GB are free"
        chosen = chosen or fits
        yield Finding("memory", f"{plan}: {told} GB at the most ({verdict})", fits or None)
    if not chosen:
        yield Finding(
            "memory", f"{width}x{height} with {frames} frames does not fit: make it smaller or shorter", False
        )


def size_multiple(entry: "OpenWeights") -> int:
    """What the sides of a clip are multiples of."""
    from tenku.model.presets import get
    from tenku.wan.vae import published_autoencoder

    config = get(entry.preset).transformer
    return published_autoencoder(config.latent_channels).spatial_compression * config.patch_size[-1]


def weights_and_speed(model: str) -> Iterator[Finding]:
    """Load the weights, then make a clip in two steps and reckon from it what the usual number takes."""
    import tenku

    clock = time.perf_counter()
    try:
        pipeline = tenku.load(model)
    except (ValueError, OSError) as error:
        yield Finding("weights", f"{model}: {error}", False)
        return
    loading = time.perf_counter() - clock
    yield Finding("weights", f"{model}: whole and sound, loaded in {loading:.1f} s")

    settings = pipeline.settings
    seconds = min(3.0, settings.max_frames / settings.fps)
    for _ in range(2):  # the first run also pays for memory and for the libraries' own start
        clip = pipeline.generate("a red ball", seconds=seconds, seed=0, steps=PROBE_STEPS)
    steps = settings.defaults.num_steps
    per_step = pipeline.timings["denoise"] / PROBE_STEPS
    total = sum(pipeline.timings.values()) + per_step * (steps - PROBE_STEPS)
    width, height = clip.size
    yield Finding(
        "speed",
        f"a {clip.seconds:.0f} s video of {width}x{height} in {steps} steps takes about {total:.1f} s "
        f"({per_step:.2f} s a step, {pipeline.timings['decode']:.2f} s to decode), measured just now",
    )
