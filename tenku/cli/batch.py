"""`tenku batch`: many videos from a file of prompts, with one model loaded once."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenku.cli._options import check_folder, say, slug
from tenku.cli._session import Options, generation_session, load, with_options

if TYPE_CHECKING:
    from tenku.sample.pipeline import Pipeline

OF_A_LINE = ("size", "steps", "guidance", "shift", "seed", "negative_prompt", "solver", "expand", "strict")


@with_options
def batch(
    prompts: Annotated[Path, typer.Argument(help="A .jsonl with an object a line, or a .txt with a prompt a line.")],
    folder: Annotated[Path, typer.Option(help="Where the videos go.")] = Path("batch"),
    **shared: Any,
) -> None:
    """Make a video of each line of a file; what is there already is left as it is.

    A line is an object with `prompt`, and any of `seconds`, `out` (a name in FOLDER) and the options of `generate`:
    size, steps, guidance, shift, seed, negative_prompt, solver, expand, strict. A line that is wrong is named at the
    end, and the others are made.
    """
    options = Options(**shared)
    lines = [line for line in prompts.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{prompts} holds no prompts")
    check_folder(folder)
    pipeline: Pipeline | None = None
    wrong: list[str] = []
    for number, line in enumerate(lines, 1):
        try:
            prompt, asked, mine = parsed(
                line, prompts.suffix == ".jsonl", replace(options, seed=options.seed or 0), number
            )
            mine = replace(mine, out=folder / (mine.out or f"{number:04d}-{slug(prompt)}.mp4"))
            if is_made(mine, prompt):
                say(f"{number} of {len(lines)}: {mine.out} is there")
                continue
            pipeline = pipeline or load(options, None, None)
            with generation_session(prompt, mine, pipeline=pipeline, **asked) as session:
                session.write(session.pipeline.run(session.request))
        except (ValueError, OSError) as error:
            wrong.append(f"line {number}: {error}")
            say(f"error: {wrong[-1]}")
    if wrong:
        raise ValueError(f"{len(wrong)} of {len(lines)} lines of {prompts} were not made: {'; '.join(wrong)}")


def parsed(line: str, as_json: bool, options: Options, number: int) -> tuple[str, dict[str, Any], Options]:
    """(prompt, what is asked besides the options, options) of a line. ValueError: it is wrong."""
    if not as_json:
        return line.strip(), {}, replace(options, seed=(options.seed or 0) + number)
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(values, dict) or not isinstance(values.get("prompt"), str):
        raise ValueError('it should be an object like {"prompt": "A red ball falls.", "seed": 7}')
    if unknown := sorted(values.keys() - {"prompt", "seconds", "out", *OF_A_LINE}):
        raise ValueError(f"it has {', '.join(unknown)}; it may have prompt, seconds, out, {', '.join(OF_A_LINE)}")
    mine = {name: values[name] for name in OF_A_LINE if name in values}
    mine.setdefault("seed", (options.seed or 0) + number)
    out = values.get("out")
    if out is not None and (not isinstance(out, str) or Path(out).is_absolute() or ".." in Path(out).parts):
        raise ValueError(f"out is a name in the folder, not {out!r}")
    asked = {"seconds": values["seconds"]} if "seconds" in values else {}
    return values["prompt"], asked, replace(options, **mine, out=Path(out) if out else None)


def is_made(options: Options, prompt: str) -> bool:
    """Whether the output is there and was made of this prompt and seed."""
    from tenku.media.describe import describe

    if options.out is None or not options.out.is_file():
        return False
    made = describe(options.out).metadata
    return prompt.strip() in (made.get("asked"), made.get("prompt")) and made.get("seed") == str(options.seed)
