"""From clips to weights: train-autoencoder, encode, train. runs/embedded.sh shows them in a row."""

import shlex
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenku.cli._options import check_folder, existing_folder, given, option, parse_size, say
from tenku.cli._progress import progress_bars
from tenku.system.machine import usable_cores

if TYPE_CHECKING:
    from tenku.train.trainer import TrainerConfig

DATA, BUDGET, OPTIMIZER, CORRUPTION = "Data and weights", "Budget", "Optimizer", "Corruption and loss"
WORLD = "Clips of the miniature world, with --draw"


# Those of both kinds of training.
Minutes = Annotated[float | None, option(BUDGET, "Stop after so many minutes.", min=0)]
Steps = Annotated[int | None, option(BUDGET, "Stop after so many steps.", min=1)]
Resume = Annotated[str, option(BUDGET, "auto goes on from the last complete checkpoint, never starts anew.")]
Batch = Annotated[int | None, option(OPTIMIZER, "Samples a step.", min=1)]
# Those of the autoencoder.
HeldOut = Annotated[Path | None, option(DATA, "Held-out clips, measured as it trains.")]
FromAutoencoder = Annotated[
    str | None, option(DATA, "Weights to start from: embedded, or a folder with an autoencoder.", "--from")
]
DecoderOnlyFrom = Annotated[
    str | None,
    option(DATA, "Go on from this autoencoder, its decoder alone: latents encoded before stay valid."),
]
LatentsFrom = Annotated[
    str | None, option(DATA, "With --decoder-only-from: train also on latents that this model makes (SDEdit).")
]
# Those of the transformer.
Latents = Annotated[Path | None, option(DATA, "Folder that `tenku encode` wrote.")]
OwnClips = Annotated[
    Path | None, option(DATA, "Instead of latents: a folder of your own clips or pictures with captions.")
]
FromModel = Annotated[str | None, option(DATA, "Weights to start from: embedded, or a model folder.", "--from")]
Size = Annotated[str | None, option(DATA, "With --clips: bring them to this size, as 64x64, not to the model's own.")]
ImageFrac = Annotated[
    float | None, option(BUDGET, "Share of the budget spent on single frames, at the beginning.", min=0, max=1)
]
MuonLr = Annotated[float | None, option(OPTIMIZER, "Learning rate of the hidden matrices.", min=0)]
AdamwLr = Annotated[float | None, option(OPTIMIZER, "Learning rate of all else.", min=0)]
TextLrMult = Annotated[
    float | None, option(OPTIMIZER, "Factor of both for what reads the text: more for new words.", min=0, max=1)
]
LowLr = Annotated[
    bool,
    option(
        OPTIMIZER, "With --from and --latents: low rates, most samples go on from some frames.", "--low-lr-finetune"
    ),
]
Conditioned = Annotated[float | None, option(CORRUPTION, "Share of samples with conditioning frames.", min=0, max=1)]
Shift = Annotated[
    float | None, option(CORRUPTION, "Above 1 trains more on noisy clips: wanted for larger pictures.", min=0.1)
]
Motion = Annotated[
    float | None, option(CORRUPTION, "Errors where something moves count up to 1 + so many times.", min=0)
]
Compile = Annotated[
    bool | None,
    typer.Option("--compile/--no-compile", help="Compile first: default on a GPU; a CPU needs a C++ compiler for it."),
]


def train_autoencoder(
    clips: Annotated[list[Path], typer.Argument(help="Folders with clips.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the weights are in OUT/autoencoder.")],
    minutes: Minutes = None,
    steps: Steps = None,
    preset: Annotated[str, typer.Option(help="Size of the autoencoder: embedded or nano.")] = "embedded",
    batch_size: Batch = None,
    validation: HeldOut = None,
    resume: Resume = "auto",
    start: FromAutoencoder = None,
    decoder_only_from: DecoderOnlyFrom = None,
    latents_from: LatentsFrom = None,
) -> None:
    """Train the video autoencoder on clips. The budget is --minutes or --steps."""
    for folder in clips:
        existing_folder(folder, "clip")
    if start is not None and decoder_only_from is not None:
        raise ValueError("--from and --decoder-only-from both name the autoencoder to go on from: choose one")
    if latents_from is not None and decoder_only_from is None:
        raise ValueError(
            "--latents-from is for --decoder-only-from: the encoder stays the one that the model was trained on"
        )
    if validation is not None:
        existing_folder(validation, "clip")
    from tenku.loading import find
    from tenku.train import recipes
    from tenku.train.autoencoder import AutoencoderTrainConfig, AutoencoderTrainer

    initial, decoder, model = (
        None if name is None else find(name) for name in (start, decoder_only_from, latents_from)
    )
    check_folder(out)
    config = AutoencoderTrainConfig(
        clips=clips, out=out, minutes=minutes, steps=steps, preset=preset, validation=validation, resume=resume
    )
    config = replace(config, initial=initial or decoder, decoder_only=decoder is not None, latents_from=model)
    config = replace(recipes.autoencoder_recipe(config), **given(batch_size=batch_size))
    say_settings(config)
    with resumable(out):
        say(f"autoencoder in {AutoencoderTrainer(config).fit()}")


def encode(
    autoencoder: Annotated[str, typer.Option(help="A folder with an autoencoder, or embedded.")],
    out: Annotated[Path, typer.Option(help="Folder for the shards; it lists the clips named here and no others.")],
    clips: Annotated[list[Path] | None, typer.Argument(help="Folders with clips.")] = None,
    draw: Annotated[
        list[str] | None,
        option(WORLD, "Instead of folders: draw so many clips of the world in a size, as 128x128:1000. Repeatable."),
    ] = None,
    mirror: Annotated[bool, typer.Option(help="Each clip also flipped left to right, with its captions.")] = True,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Clips at a time; 2, or 32 on a GPU.")] = None,
    frames: Annotated[int, option(WORLD, "Frames a clip.", min=4, max=960)] = 48,
    samples: Annotated[int, option(WORLD, "Rays a pixel at most.", min=4, max=64)] = 12,
    workers: Annotated[int | None, option(WORLD, "Processes; one for each core.", min=1)] = None,
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
    from tenku.train.measure import encoding_speed

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
    speed = encoding_speed(counts, time.monotonic() - begun, encoder, manifest, device)
    say(f"latents in {out}: {speed}")
    if dropped := len(listed - listed_clips(out)):
        say(f"{dropped} clips that {out} listed before are left out now: encode all in one command to train on all")


def parse_count(text: str) -> tuple[tuple[int, int], int]:
    """((width, height), number) of 128x128:1000. ValueError for anything else."""
    size, _, number = text.partition(":")
    if not number.isdecimal() or not int(number):
        raise ValueError(f"--draw takes a size and a number of clips, as 128x128:1000, not {text!r}")
    return parse_size(size), int(number)


def train(
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoints, log, previews.")],
    latents: Latents = None,
    clips: OwnClips = None,
    start: FromModel = None,
    preset: Annotated[str, typer.Option(help="Size of a new model: nano, embedded, …")] = "embedded",
    minutes: Minutes = None,
    steps: Steps = None,
    batch_size: Batch = None,
    seed: Annotated[int, typer.Option(help="Decides weights, order of clips and noise.")] = 0,
    resume: Resume = "auto",
    conditioned: Conditioned = None,
    shift: Shift = None,
    image_frac: ImageFrac = None,
    muon_lr: MuonLr = None,
    adamw_lr: AdamwLr = None,
    text_lr_mult: TextLrMult = None,
    motion: Motion = None,
    size: Size = None,
    low_lr_finetune: LowLr = False,
    compiled: Compile = None,
    autoencoder: Annotated[str | None, typer.Option(help="Draw a contact sheet with it at every checkpoint.")] = None,
) -> None:
    """Train the transformer and its text encoder. The budget is --minutes or --steps.

    With --from MODEL --clips FOLDER everything happens here: clips are brought to the model's size, rate and length
    (OUT/clips), encoded (OUT/latents), trained on, and OUT/model is a model that `tenku generate --model` takes.
    """
    check_what_to_train_on(latents, clips, start, size, low_lr_finetune)
    from tenku.evaluate.previews import previews
    from tenku.loading import find
    from tenku.train import recipes
    from tenku.train.build import check_text_encoder
    from tenku.train.diffusion import DiffusionTrainer, TrainConfig
    from tenku.train.finetune import checked_size, finetune

    sides = checked_size(None if size is None else parse_size(size))
    decoder = None if autoencoder is None else find(autoencoder)
    initial = None if start is None else find(start)
    if initial is not None:
        check_text_encoder(initial)
    config = TrainConfig(
        latents=latents or out / "latents", out=out, preset=preset, minutes=minutes, steps=steps, seed=seed
    )
    config = recipes.for_device(replace(config, resume=resume, initial=initial))
    if clips is not None or low_lr_finetune:
        config = recipes.with_recipe(config, recipes.OWN_CLIPS if clips is not None else recipes.LOW_LR)
    asked = given(batch_size=batch_size, muon_lr=muon_lr, adamw_lr=adamw_lr, text_lr_mult=text_lr_mult)
    asked |= given(image_frac=image_frac, compile=compiled)
    corruption = given(cond_prob=conditioned, shift=shift, motion=motion)
    config = recipes.with_recipe(config, asked | {"corruption": corruption})
    check_folder(out)
    say_settings(config)
    if clips is None or initial is None:
        with resumable(out):
            DiffusionTrainer(config, previews(decoder, config.latents) if decoder else None).fit()
        say(f"run in {out}")
        return

    with resumable(out):
        model, captions = finetune(
            initial,
            clips,
            out,
            size=sides,
            config=config,
            preview=lambda latents, captions: previews(decoder or initial, latents, captions, initial),
            on_note=lambda note: say(f"note: {note}"),
            progress=progress_bars,
        )
    say(f"model in {model}: tenku generate {shlex.quote(captions[0])} --model {shlex.quote(str(model))}")


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Say how training goes on, where it is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"{out} holds what was trained: the same command goes on from there")
        raise


def check_what_to_train_on(
    latents: Path | None, clips: Path | None, start: str | None, size: str | None, low_lr: bool
) -> None:
    """ValueError where options that say what to train on do not go together, or a folder is missing."""
    if (latents is None) == (clips is None):
        raise ValueError("name what to train on: --latents FOLDER, or --clips FOLDER with --from MODEL")
    if clips is not None and start is None:
        raise ValueError("--clips needs a model to start from: --from embedded, or a folder of your own")
    if size is not None and clips is None:
        raise ValueError("--size is for --clips; latents have the sizes that they were encoded in")
    if low_lr and (start is None or latents is None):
        raise ValueError("--low-lr-finetune takes --from MODEL and --latents FOLDER")
    for folder, what in ((latents, "latents"), (clips, "clip")):
        if folder is not None:
            existing_folder(folder, what)


def say_settings(config: "TrainerConfig") -> None:
    """All settings of a run as one block, by their names in Python."""
    values = " ".join(f"{name}={value}" for name, value in vars(config).items())
    say(textwrap.fill(values, 116, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))
