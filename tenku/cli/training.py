"""From clips to weights: train-autoencoder, encode, train. runs/embedded.sh shows them in a row."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenku.cli._options import check_folder, existing_folder, given, parse_size, progress_bars, say
from tenku.system.machine import usable_cores
from tenku.train.finetune import encode_own, export_tuned

if TYPE_CHECKING:
    from tenku.train.diffusion import Preview, TrainConfig

PREVIEW_SEED = 0
# What the sheet of every checkpoint shows: the same sentences with the same noise, to see the progress.
PREVIEW_PROMPTS = (
    "A red rubber ball drops onto wet asphalt at night under neon lights and bounces.",
    "A blue cube slides over ice at sunset.",
    "A tower of wooden blocks collapses in the studio.",
    "A bite is taken out of a burger and stays.",
    "阴天，绿色的球从墙后滚过，又出来了。",
    "白天，多米诺骨牌一个接一个倒下。",
)

# For somebody's clips, which are few and show what the weights have never seen, under new words: half of the time goes
# into how things look, and most samples have nothing to go by but the text.
OWN_CLIPS: dict[str, Any] = dict(
    batch_size=16, muon_lr=6e-3, adamw_lr=1e-3, text_share=1.0, stills_until=0.55, decay_from=0.4
)
OWN_OBJECTIVE: dict[str, Any] = dict(conditioned=0.2, shift=1.5)
# For weights that know these clips' world already: low rates, the text as it is, most samples go on from some frames.
POLISH: dict[str, Any] = dict(
    batch_size=16, muon_lr=1e-3, adamw_lr=2e-4, text_share=0.0, stills_until=0.0, decay_from=0.3, ema_decay=0.99
)
POLISH_OBJECTIVE: dict[str, Any] = dict(conditioned=0.7, noisy=0.7, kinds=(0.7, 0.1, 0.1, 0.1), shift=1.5)
# A GPU takes many steps in a minute.
ON_A_GPU: dict[str, Any] = dict(log_every=100, validate_every=1000, checkpoint_minutes=2.0)

Minutes = Annotated[float | None, typer.Option(min=0, help="Stop after so many minutes.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")]
Batch = Annotated[int | None, typer.Option(min=1, help="Samples a step.")]
Resume = Annotated[str, typer.Option(help="auto goes on from the last complete checkpoint, never starts anew.")]


def train_autoencoder(
    clips: Annotated[list[Path], typer.Argument(help="Folders with clips.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the weights are in OUT/autoencoder.")],
    minutes: Minutes = None,
    steps: Steps = None,
    preset: Annotated[str, typer.Option(help="Size of the autoencoder: embedded or nano.")] = "embedded",
    batch_size: Batch = None,
    validation: Annotated[Path | None, typer.Option(help="Held-out clips, measured as it trains.")] = None,
    resume: Resume = "auto",
    start: Annotated[
        str | None, typer.Option("--from", help="Weights to start from: embedded, or a folder with an autoencoder.")
    ] = None,
    polish: Annotated[
        str | None,
        typer.Option(
            help="Go on from this autoencoder and train its decoder alone: latents encoded before stay valid."
        ),
    ] = None,
    made_by: Annotated[
        str | None,
        typer.Option(help="With --polish: learn also from latents as the transformer of this model makes them."),
    ] = None,
) -> None:
    """Train the video autoencoder on clips. The budget is --minutes or --steps."""
    for folder in clips:
        existing_folder(folder, "clip")
    if start is not None and polish is not None:
        raise ValueError("--from and --polish both name the autoencoder to go on from: choose one")
    if made_by is not None and polish is None:
        raise ValueError("--made-by is for --polish: the encoder stays the one that the model was trained on")
    if validation is not None:
        existing_folder(validation, "clip")
    from tenku.loading import find
    from tenku.system.device import choose_device
    from tenku.train.autoencoder import AutoencoderTraining, for_device, polishing, train_autoencoder

    initial, decoder, maker = (None if name is None else find(name) for name in (start, polish, made_by))
    check_folder(out)
    settings = AutoencoderTraining(minutes, steps, preset, initial=initial)
    settings = for_device(settings, choose_device("auto"))
    if decoder is not None:
        settings = polishing(settings, decoder, maker)
    settings = replace(settings, **given(batch_size=batch_size))
    folder = train_autoencoder(clips, out, validation=validation, resume=resume, settings=settings)
    say(f"autoencoder in {folder}")


def encode(
    autoencoder: Annotated[str, typer.Option(help="A folder with an autoencoder, or embedded.")],
    out: Annotated[Path, typer.Option(help="Folder for the shards; it lists the clips named here and no others.")],
    clips: Annotated[list[Path] | None, typer.Argument(help="Folders with clips.")] = None,
    draw: Annotated[
        list[str] | None,
        typer.Option(
            help="Instead of folders: draw so many clips of the world in a size, as 128x128:1000. Repeatable."
        ),
    ] = None,
    mirror: Annotated[bool, typer.Option(help="Each clip also flipped left to right, with its captions.")] = True,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Clips at a time; 2, or 32 on a GPU.")] = None,
    frames: Annotated[int, typer.Option(min=4, max=960, help="With --draw: frames a clip.")] = 48,
    samples: Annotated[int, typer.Option(min=4, max=64, help="With --draw: rays a pixel at most.")] = 12,
    workers: Annotated[int | None, typer.Option(min=1, help="With --draw: processes; one for each core.")] = None,
) -> None:
    """Encode clips to latents, once; training reads only these. Clips of the world need not be written before."""
    for folder in clips or ():
        existing_folder(folder, "clip")
    if bool(clips) == bool(draw):
        raise ValueError("name what to encode: folders with clips, or --draw SIZE:NUMBER")
    from tenku.data.drawn import draw_latents
    from tenku.data.latents import encode_clips, listed_clips
    from tenku.loading import find
    from tenku.system.device import choose_device

    encoder = find(autoencoder)
    check_folder(out)
    device = choose_device("auto").type
    listed = listed_clips(out)
    counts: list[int] = []
    begun = time.monotonic()
    with progress_bars() as stages:

        def told(done: int, total: int) -> None:
            counts.append(done)
            stages("clips", done, total)

        if draw:
            if batch_size is not None:
                raise ValueError("--batch-size is for clips in folders; what is drawn is encoded clip by clip")
            manifest = draw_latents(
                [parse_count(text) for text in draw],
                encoder,
                out,
                num_frames=frames,
                samples=samples,
                mirror=mirror,
                workers=workers or usable_cores(),
                draw_on="cuda" if device == "cuda" and find_spec("numba_cuda") else "cpu",
                encode_on=device,
                on_progress=told,
            )
        else:
            manifest = encode_clips(
                clips or (),
                encoder,
                out,
                mirror=mirror,
                batch_size=batch_size or (2 if device == "cpu" else 32),
                shard_size=64 if device == "cpu" else 512,
                device=device,
                on_progress=told,
            )
    say(f"latents in {out}: {encoded_at(counts, time.monotonic() - begun, encoder, manifest, device)}")
    if dropped := len(listed - listed_clips(out)):
        say(f"{dropped} clips that {out} listed before are left out now: encode all in one command to train on all")


def encoded_at(counts: list[int], seconds: float, autoencoder: Path, manifest: Path, device: str) -> str:
    """How many clips were encoded and how fast; `counts` are those that were there, at first and in the end."""
    import torch

    from tenku.model.autoencoder import AutoencoderConfig
    from tenku.model.weights import load_config, part_folder
    from tenku.system.files import read_json
    from tenku.train.measure import encoding_flops, shown, speed

    new, total = counts[-1] - counts[0], counts[-1]
    if not new:
        return f"all {total} clips were there"
    config = load_config(part_folder(autoencoder, "autoencoder"), AutoencoderConfig)
    flops = new / total * encoding_flops(config, read_json(manifest))
    return ", ".join([f"{new} clips in {seconds:.0f} s", *shown(speed(new, flops, seconds, torch.device(device)))])


def parse_count(text: str) -> tuple[tuple[int, int], int]:
    """((width, height), number) of 128x128:1000. ValueError for anything else."""
    size, _, number = text.partition(":")
    if not number.isdecimal() or not int(number):
        raise ValueError(f"--draw takes a size and a number of clips, as 128x128:1000, not {text!r}")
    return parse_size(size), int(number)


def train(
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoints, log, previews.")],
    latents: Annotated[Path | None, typer.Option(help="Folder that `tenku encode` wrote.")] = None,
    clips: Annotated[
        Path | None,
        typer.Option(help="Instead of latents: a folder of your own clips or pictures with captions, see the README."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Weights to start from: embedded, or a model folder.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Size of a new model: nano, embedded, …")] = "embedded",
    minutes: Minutes = None,
    steps: Steps = None,
    batch_size: Batch = None,
    seed: Annotated[int, typer.Option(help="Decides weights, order of clips and noise.")] = 0,
    resume: Resume = "auto",
    conditioned: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of samples with some clean frames given.")
    ] = None,
    shift: Annotated[
        float | None, typer.Option(min=0.1, help="Above 1 trains more on noisy clips: wanted for larger pictures.")
    ] = None,
    stills: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the budget spent on single frames, at the beginning.")
    ] = None,
    muon_lr: Annotated[float | None, typer.Option(min=0, help="Learning rate of the hidden matrices.")] = None,
    adamw_lr: Annotated[float | None, typer.Option(min=0, help="Learning rate of all else.")] = None,
    text_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Of both rates, for what reads the text: more of it for new words."),
    ] = None,
    motion: Annotated[
        float | None, typer.Option(min=0, help="Errors where something moves count up to 1 + so many times.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="With --clips: bring them to this size, as 64x64, and not to the model's own.")
    ] = None,
    polish: Annotated[
        bool,
        typer.Option("--polish", help="With --from and --latents: low rates, and most samples go on from some frames."),
    ] = False,
    compiled: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile", help="Compile first: by default on a GPU; a CPU needs a C++ compiler for it."
        ),
    ] = None,
    autoencoder: Annotated[str | None, typer.Option(help="Draw a contact sheet with it at every checkpoint.")] = None,
) -> None:
    """Train the transformer and its text encoder. The budget is --minutes or --steps.

    With --from MODEL --clips FOLDER everything happens here: clips are brought to the model's size, rate and length
    (OUT/clips), encoded (OUT/latents), trained on, and OUT/model is a model that `tenku generate --model` takes.
    """
    asked = size_asked_for(size, latents, clips, start, polish)
    for folder, what in ((latents, "latents"), (clips, "clip")):
        if folder is not None:
            existing_folder(folder, what)
    from tenku.loading import find
    from tenku.system.device import choose_device
    from tenku.train.diffusion import TrainConfig, train

    decoder = None if autoencoder is None else find(autoencoder)
    initial = None if start is None else find(start)
    if initial is not None and not (initial / "text" / "tokenizer.json").is_file():
        raise ValueError(f"{start} has no text encoder of ours: start from embedded, or a model of `tenku export`")
    config = TrainConfig(
        latents or out / "latents", out, preset, minutes, steps, seed=seed, resume=resume, initial=initial
    )
    if choose_device("auto").type == "cuda":
        config = replace(config, **ON_A_GPU)
    if clips is not None:
        config = changed(config, OWN_CLIPS, OWN_OBJECTIVE)
    elif polish:
        config = changed(config, POLISH, POLISH_OBJECTIVE)
    asked_for = given(
        batch_size=batch_size,
        stills_until=stills,
        muon_lr=muon_lr,
        adamw_lr=adamw_lr,
        text_share=text_share,
        compile=compiled,
    )
    config = changed(config, asked_for, given(conditioned=conditioned, shift=shift, motion=motion))
    check_folder(out)
    if clips is None or initial is None:
        train(config, previews(decoder, config.latents, PREVIEW_PROMPTS) if decoder else None)
        say(f"run in {out}")
        return
    fine_tune(config, clips, initial, asked, decoder)


def size_asked_for(
    size: str | None, latents: Path | None, clips: Path | None, start: str | None, polish: bool
) -> tuple[int, int] | None:
    """What `--size` says. ValueError where it, or what there is to train on and to start from, does not go together."""
    if (latents is None) == (clips is None):
        raise ValueError("name what to train on: --latents FOLDER, or --clips FOLDER with --from MODEL")
    if clips is not None and start is None:
        raise ValueError("--clips needs a model to start from: --from embedded, or a folder of your own")
    if size is not None and clips is None:
        raise ValueError("--size is for --clips; latents have the sizes that they were encoded in")
    if polish and (start is None or latents is None):
        raise ValueError("--polish takes --from MODEL and --latents FOLDER")
    asked = None if size is None else parse_size(size)
    if asked is not None and any(side % 16 for side in asked):
        raise ValueError(f"--size takes multiples of 16, not {size}")
    return asked


def fine_tune(
    config: "TrainConfig", clips: Path, initial: Path, size: tuple[int, int] | None, autoencoder: Path | None
) -> None:
    """Somebody's clips from their folder to a model in OUT/model. size, autoencoder: None for the model's own."""
    from tenku.train.diffusion import checkpoint_to_resume, is_spent, train

    out = config.out
    checkpoint_to_resume(config)  # refuses another run in this folder before its clips are touched
    captions = encode_own(clips, initial, out, size)
    if is_spent(config):
        say("note: this run has spent its budget, nothing is trained; a larger one goes on, another --out begins anew")
    train(config, previews(autoencoder or initial, config.latents, captions, initial))
    model = export_tuned(out, initial)
    say(f"model in {model}: tenku generate {shlex.quote(captions[0])} --model {shlex.quote(str(model))}")


def changed(config: "TrainConfig", run: dict[str, Any], objective: dict[str, Any]) -> "TrainConfig":
    """A run's settings with some of its own and some of its objective's changed."""
    return replace(config, **run, objective=replace(config.objective, **objective))


def previews(autoencoder_folder: Path, latents: Path, prompts: Sequence[str], model: Path | None = None) -> "Preview":
    """A function that draws videos of the prompts as a contact sheet, with the weights that training hands it.

    They are sampled as a model folder says, if one is named.
    """
    from tenku.data.latents import read_manifest, sizes_of
    from tenku.media.sheet import contact_sheet
    from tenku.media.video import write_png
    from tenku.model import TextEncoder, Transformer
    from tenku.model.autoencoder import load_autoencoder
    from tenku.model.settings import ModelSettings
    from tenku.sample.pipeline import Pipeline

    manifest = read_manifest(latents)
    frames = max(bucket["shape"][0] for bucket in manifest["buckets"]) * manifest["temporal_compression"]
    settings = ModelSettings("preview", manifest["fps"], tuple(sizes_of(manifest)), frames)
    if model is not None:
        settings = replace(settings, defaults=ModelSettings.load(model).defaults)
    autoencoder = load_autoencoder(autoencoder_folder)

    def draw(text: TextEncoder, transformer: Transformer, path: Path) -> None:
        device = next(transformer.parameters()).device
        pipeline = Pipeline(settings, autoencoder.to(device), text, transformer)
        clips = [pipeline.generate(prompt, seed=PREVIEW_SEED) for prompt in prompts]
        write_png(path, contact_sheet([clip.frames for clip in clips], labels=list(prompts)))

    return draw
