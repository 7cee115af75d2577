"""`tenku world`: clips of the miniature world with their ground truth."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tenku.cli._options import check_folder, parse_size, say
from tenku.cli._progress import progress_bars
from tenku.system.machine import usable_cores
from tenku.world.lexicon import EVENTS


def world(
    clips: Annotated[
        int, typer.Option(min=1, help="How many, of the seeds from --seed on; those that are there stay.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the clips; a second run goes on where a first one stopped.")],
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "128x128",
    frames: Annotated[int, typer.Option(min=1, max=960, help="Frames a clip, at 16 a second.")] = 48,
    seed: Annotated[int, typer.Option(min=0, help="First seed; the same seed gives the same bytes.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one for each core by default.")] = None,
    split: Annotated[
        str, typer.Option(help="train, validation or combinations: pairs that the other two never show.")
    ] = "train",
    samples: Annotated[
        int | None,
        typer.Option(
            min=4, max=64, help="Rays a pixel at most, 12 by default; 4 draw twice as fast, with rougher edges."
        ),
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option(help=f"Only clips of this event: {', '.join(EVENTS)}. Repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda with the package numba-cuda.")] = "cpu",
) -> None:
    """Simulate and draw clips of the miniature world, with captions and ground truth."""
    width_height = parse_size(size)
    from tenku.world.clip import check_clip
    from tenku.world.dataset import write_clips
    from tenku.world.scene import SAMPLES

    check_clip(width_height, frames, split, device, event or ())
    check_folder(out)

    with progress_bars() as stages:
        write_clips(
            out,
            clips,
            seed=seed,
            size=width_height,
            num_frames=frames,
            workers=workers or usable_cores(),
            split=split,
            samples=samples or SAMPLES,
            device=device,
            events=event or (),
            on_progress=partial(stages, "clips"),
        )
    say(f"{clips} clip{'s' if clips > 1 else ''} of the seeds {seed} to {seed + clips - 1} in {out}")
