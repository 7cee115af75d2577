"""`tenku examples`: prompts that work, as a list and as a sheet of what is made of them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tenku.cli._options import check_output, say

LIGHTS = (
    "on a sunny day, at sunset, under an overcast sky, in a studio with a pink backdrop, at night, under neon lights"
)
FLOORS = (
    "a plain floor, wet asphalt, wet stone tiles, a checkered floor, ice, grass, a wooden floor, sand, a marble floor, "
    "snow, a mirror-like floor, a red carpet"
)


def examples(
    sheet: Annotated[Path | None, typer.Option(help="Draw them all into this .png: some eight seconds each.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 7,
) -> None:
    """List prompts that work, in English and Chinese, then the lights, the floors and the things that there are."""
    from tenku.prompts.examples import EXAMPLES

    if sheet is not None:
        draw(check_output(sheet, (".png",)), seed)
    elif as_json:
        print(json.dumps([each._asdict() for each in EXAMPLES], ensure_ascii=False))
    else:
        kind = None
        for each in EXAMPLES:
            print(
                *([] if each.kind == kind else [f"\n{each.kind}"]), f"  {each.english}", f"  {each.chinese}", sep="\n"
            )
            kind = each.kind
        print(f"\nlights\n  {LIGHTS}\nfloors\n  {FLOORS}\nthings\n  {things()}")


def things() -> str:
    """What can be named in a prompt, in both languages."""
    from tenku.world import lexicon

    return ", ".join(f"{words.en[0]} {words.zh[0]}" for words in lexicon.KINDS.values())


def draw(path: Path, seed: int) -> None:
    """Every example as a row of frames, drawn by the model that ships."""
    import tenku
    from tenku.media.sheet import contact_sheet
    from tenku.media.writer import write_png
    from tenku.prompts.examples import EXAMPLES

    pipeline = tenku.load("embedded")
    rows = []
    for number, each in enumerate(EXAMPLES, 1):
        say(f"{number} of {len(EXAMPLES)}: {each.english}")
        rows.append(pipeline.generate(tenku.expand(each.english, seed).text, seed=seed).frames)
    write_png(path, contact_sheet(rows, columns=6, labels=[each.english for each in EXAMPLES]))
    print(path)
