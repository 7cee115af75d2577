"""`tenku pull` and `tenku models`: open weights from the hub, and what is on this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tenku.cli._options import check_folder, say
from tenku.cli._progress import progress_bars


def pull(
    name: Annotated[str, typer.Argument(help="A name that `tenku models` lists, for example wan2.2-5b.")],
    to: Annotated[Path | None, typer.Option(help="Folder for it; the models folder if left out.")] = None,
) -> None:
    """Fetch open weights (safetensors only), resuming where a broken connection left off."""
    from tenku.wan.catalogue import models_folder
    from tenku.wan.pull import pull

    check_folder((to or models_folder() / name).parent)
    with progress_bars() as stages:
        folder = pull(name, to, on_progress=stages)
    say(f"{name} is in {folder}: tenku generate --model {to or name} …")


def models(as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False) -> None:
    """List the models that tenku knows: where they are, how large, what memory they need, under which licence."""
    from tenku.loading import list_models

    rows = list_models()
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        place = row["folder"] or f"not here: tenku pull {row['name']}"
        print(f"{row['name']:<15} {row['parameters'] / 1e9:6.2f}B parameters, {row['bytes'] / 1e9:5.2f} GB", end="")
        print(f", memory from {row['memory_at_least'] / 1e9:5.2f} GB, {row['licence']}, {place}")
    say("memory is for the weights in bf16: `tenku doctor --model NAME` predicts all of it and knows smaller ways")
