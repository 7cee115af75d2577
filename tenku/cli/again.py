"""`tenku again`: make a clip again from what its file remembers, with the same seed or another."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from tenku.cli._options import say
from tenku.cli.show import arguments_for
from tenku.system.files import sha256


def again(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A video or picture that tenku made: mp4, gif, webp or png.")],
    seed: Annotated[str | None, typer.Option(help="Another seed: a number, or `new` for one by chance.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write; FILE-again beside it if left out.")] = None,
) -> None:
    """Make a clip again by its own command, whatever the task was; files that were given are looked for and checked."""
    from tenku.media.describe import describe

    made = describe(file).metadata
    if seed is not None and seed != "new" and not seed.isdigit():
        raise ValueError(f"--seed {seed!r} should be a number or `new`")
    if seed is not None:
        made = made | {"seed": str(secrets.randbits(32)) if seed == "new" else seed}
    words = arguments_for(made, lambda given: str(located(given, file.parent)))
    if words is None:
        raise ValueError(f"{file} does not say that tenku made it, so it cannot be made again")
    out = out or file.with_stem(f"{file.stem}-again")
    say(f"again: tenku {words[0]}, seed {made['seed']}")
    command = context.find_root().command
    command.main([words[0], f"--out={out}", *words[1:]], standalone_mode=False)  # type: ignore[attr-defined]


def located(given: dict[str, str], folder: Path) -> Path:
    """A file that was given: where it was called, or beside the clip. ValueError: it is gone, or is another one now."""
    called = Path(given["file"])
    there = [path for path in (called, folder / called, folder / called.name) if path.is_file()]
    same = next((path for path in there if sha256(path) == given.get("sha256")), None)
    if same is None and there:
        raise ValueError(f"{there[0]} is not the file that the clip was made from: it has changed since")
    if same is None:
        raise ValueError(f"the clip was made from {called}, which is not there: put it beside the clip")
    return same
