"""`tenku expand`, and the option --expand: a short prompt made full."""

import os
from typing import Annotated

import typer

from tenku.cli._session import note_unread_words

Chat = Annotated[
    str | None,
    typer.Option(envvar="TENKU_CHAT_URL", help="An OpenAI-compatible endpoint to expand with; key: TENKU_CHAT_KEY."),
]
ChatModel = Annotated[str, typer.Option(envvar="TENKU_CHAT_MODEL", help="The model that the endpoint is asked for.")]


def expand(
    prompt: Annotated[str, typer.Argument(help="A short prompt, in English or Chinese.")],
    seed: Annotated[int, typer.Option(min=0, help="What is left open is filled in by chance.")] = 0,
    chat: Chat = None,
    chat_model: ChatModel = "default",
) -> None:
    """Print the full prompt that --expand would use."""
    print(expanded(prompt, "embedded", seed, chat, chat_model, wanted=True))


def expanded(prompt: str, model: str, seed: int, chat: str | None, chat_model: str, wanted: bool | None) -> str:
    """The prompt made full; wanted: None where nothing is lost, True with a note of what the grammar leaves out.

    ValueError for a prompt that is empty or too long.
    """
    from tenku.loading import find
    from tenku.model import load_text_encoder
    from tenku.prompts.auto_expand import auto_expand, expand_prompt
    from tenku.sample.request import checked_prompt

    prompt = checked_prompt(prompt)
    if wanted is None:
        return auto_expand(prompt, model, seed)
    if not wanted:
        return prompt
    key = os.environ.get("TENKU_CHAT_KEY")
    full = expand_prompt(prompt, model, seed, chat=chat, chat_model=chat_model, chat_key=key)
    if not chat:
        note_unread_words(load_text_encoder(find(model)), [prompt])
    return full
