"""`tenku pull` and `tenku models`: open weights from the hub, and what is on this machine."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from tenku.cli._options import check_folder, progress_bars, say


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


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """List the models that tenku knows: where they are, how large, what memory they need, under which licence."""
    rows = list_models()
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        place = row["folder"] or f"not here: tenku pull {row['name']}"
        print(f"{row['name']:<15} {row['parameters'] / 1e9:6.2f}B parameters, {row['bytes'] / 1e9:5.2f} GB", end="")
        print(f", memory from {row['memory_at_least'] / 1e9:5.2f} GB, {row['licence']}, {place}")
    say("memory is for the weights in bf16: `tenku doctor --model NAME` predicts all of it and knows smaller ways")


def list_models() -> list[dict[str, Any]]:
    """Shipped, then open: parameters of all parts, and their bytes on this disk or, if not here, in bf16."""
    from tenku.loading import SHIPPED
    from tenku.model.weights import tensor_files
    from tenku.wan.catalogue import OPEN_WEIGHTS, is_complete, models_folder, parameters_of

    rows = []
    for path in sorted(SHIPPED.glob("*/model.json")):
        shipped = [tensor_files(part) for part in path.parent.iterdir() if part.is_dir()]
        parameters = sum(math.prod(shape) for files in shipped for _, shape in files.values())
        rows.append(row_of(path.parent.name, parameters, parameters, path.parent, "Apache-2.0"))
    for name, entry in OPEN_WEIGHTS.items():
        folder = models_folder() / name
        parts = parameters_of(entry)
        largest = max(parts["text"], parts["transformer"] // entry.experts, parts["autoencoder"])
        there = folder if is_complete(folder) else None
        rows.append(row_of(name, sum(parts.values()), largest, there, entry.licence))
    return rows


def row_of(name: str, parameters: int, largest: int, folder: Path | None, licence: str) -> dict[str, Any]:
    """largest: parameters of what must be in memory at the same time when the parts take turns."""
    size = 2 * parameters if folder is None else sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    return {
        "name": name,
        "parameters": parameters,
        "bytes": size,
        "memory_at_least": 2 * largest,
        "licence": licence,
        "folder": None if folder is None else str(folder),
    }
