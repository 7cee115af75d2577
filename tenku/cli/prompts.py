"""Prompts at the command line: `tenku expand`, and what every command says of a prompt before it draws it."""

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from tenku.cli._options import say

if TYPE_CHECKING:
    from tenku.prompts.expand import Expansion

Chat = Annotated[
    str | None,
    typer.Option(envvar="TENKU_CHAT_URL", help="An OpenAI-compatible endpoint to expand with; key: TENKU_CHAT_KEY."),
]
ChatModel = Annotated[str, typer.Option(envvar="TENKU_CHAT_MODEL", help="The model that the endpoint is asked for.")]
EXPANDED = {"en": "expanded: ", "zh": "扩写为："}
NOTE = {"en": "note: ", "zh": "说明："}


def expand(
    prompt: Annotated[str, typer.Argument(help="A short prompt, in English or Chinese.")],
    seed: Annotated[int, typer.Option(min=0, help="What is left open is filled in by chance.")] = 0,
    chat: Chat = None,
    chat_model: ChatModel = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON, with the notes.")] = False,
) -> None:
    """Print the full prompt that is drawn; notes on stderr say what of yours is not in it."""
    expansion = expanded(prompt, "embedded", seed, chat=chat, chat_model=chat_model, wanted=True)
    if as_json:
        print(json.dumps({"prompt": expansion.text, "notes": expansion.said()}, ensure_ascii=False))
        return
    print(expansion.text)
    say_notes(expansion)


def expanded(
    prompt: str,
    model: str,
    seed: int,
    *,
    chat: str | None = None,
    chat_model: str = "default",
    wanted: bool | None = None,
    scene: str | None = None,
    setting: bool = True,
) -> "Expansion":
    """The prompt made full for a model; wanted: None where that model needs it, True in any case, False never.

    ValueError for a prompt that is empty or too long.
    """
    from tenku.prompts.auto_expand import auto_expand
    from tenku.prompts.content import language_of
    from tenku.prompts.expand import Expansion
    from tenku.sample.request import checked_prompt

    prompt = checked_prompt(prompt)
    if wanted is False:
        return Expansion(prompt, prompt, language_of(prompt))
    key = os.environ.get("TENKU_CHAT_KEY")
    return auto_expand(
        prompt,
        model,
        seed,
        force=bool(wanted),
        scene=scene,
        setting=setting,
        chat=chat if wanted else None,
        chat_model=chat_model,
        chat_key=key,
    )


def say_notes(expansion: "Expansion") -> None:
    """What of a prompt is not drawn as it stands, the unknown words first, in the language of the prompt."""
    for line in expansion.said():
        say(NOTE[expansion.language] + line)


def refuse_losses(expansion: "Expansion") -> None:
    """ValueError where not everything of a prompt is drawn as it stands."""
    if expansion.lost:
        raise ValueError(f"--strict: {expansion.prompt!r} cannot be drawn as it stands: {' '.join(expansion.said())}")
