"""`tenku export`: a training run, or a model, as a model folder."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tenku.cli._options import check_folder, existing_folder, given, say


def export(
    run: Annotated[Path, typer.Argument(help="A training run's folder, or a model to write anew.")],
    out: Annotated[Path, typer.Option(help="The model folder to write.")],
    autoencoder: Annotated[
        str | None, typer.Option(help="The autoencoder of a run's latents: a folder, or embedded.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What it calls itself; if left out, as the folder is called, or the model was.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Default number of denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Default guidance.")] = None,
    rescale: Annotated[
        float | None, typer.Option(help="How far guidance leaves contrast as it is by default, from 0 to 1.")
    ] = None,
    shift: Annotated[float | None, typer.Option(help="Default shift of the noise schedule.")] = None,
    layout: Annotated[str, typer.Option(help="tenku, or diffusers: OUT/transformer then loads there too.")] = "tenku",
    merge_with: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Merge the weights of a run with those it began from.")
    ] = None,
    merge_ratio: Annotated[
        float | None, typer.Option(min=0, max=1, help="With --merge-with: how much is the run's own, 0.5 by default.")
    ] = None,
) -> None:
    """Make a model folder out of a run's last checkpoint: everything that `tenku generate --model` needs."""
    from tenku.loading import SHIPPED, find
    from tenku.wan.catalogue import OPEN_WEIGHTS

    if not run.is_dir() and (SHIPPED / run).is_dir():
        run = SHIPPED / run
    if (run / "model_index.json").is_file() or str(run) in OPEN_WEIGHTS:
        raise ValueError(
            f"{run} holds open weights, which are in diffusers' layout as they are: there is nothing to export"
        )
    is_model = (run / "model.json").is_file()
    if is_model and merge_with is not None:
        raise ValueError("--merge-with takes the weights of a training run, and this is a model")
    if merge_with is None and merge_ratio is not None:
        raise ValueError("--merge-ratio is for --merge-with: it says how much of the mean is the run's own")
    if not is_model:
        existing_folder(run, "run")
        if autoencoder is None:
            raise ValueError("a run has no autoencoder of its own: name the one of its latents with --autoencoder")
    from tenku.model.autoencoder import load_autoencoder
    from tenku.model.settings import ModelSettings, SamplingParams
    from tenku.train.build import began_from, export, export_model

    wanted = given(num_steps=steps, guidance_scale=guidance, guidance_rescale=rescale, shift=shift)
    replace(SamplingParams(), **wanted)  # what is wrong is said before anything is written
    decoder = None if autoencoder is None or is_model else find(autoencoder)
    if decoder is not None:
        load_autoencoder(decoder)
    merged = None if merge_with is None else find(merge_with)
    model = run if is_model else merged
    if model is not None and out.resolve() == model.resolve():
        raise ValueError("a model cannot be written over itself: choose another folder with --out")
    check_folder(out)
    if is_model:
        export_model(run, out, layout)
    else:
        export(run, out, decoder, layout=layout, merge_with=merged, **given(merge_ratio=merge_ratio))
        origin = began_from(run)
        if merged is None and origin is not None and not (origin / "model.json").is_file():
            say(f"note: {origin}, from which this run began, is gone, and with it how it was sampled")
    settings = ModelSettings.load(out)
    defaults = replace(settings.defaults, **wanted)
    replace(settings, name=name or settings.name, defaults=defaults).save(out)
    say(f"model in {out}: tenku generate --model {out} …")
