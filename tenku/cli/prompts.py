"""`tenku expand`, and the option --expand: a short prompt made full."""

import os
from typing import Annotated

import typer

Chat = Annotated[
    str | None,
    typer.Option(envvar="TENKU_CHAT_URL", help="An OpenAI-compatible endpoint to expand with; key: TENKU_CHAT_KEY."),
]
ChatModel = Annotated[str, typer.Option(envvar="TENKU_CHAT_MODEL", help="The model that the endpoint is asked for.")]

OTHER_WORDS = 12  # expansions that show which words the grammar has for the same


def expand(
    prompt: Annotated[str, typer.Argument(help="A short prompt, in English or Chinese.")],
    seed: Annotated[int, typer.Option(min=0, help="What is left open is filled in by chance.")] = 0,
    chat: Chat = None,
    chat_model: ChatModel = "default",
) -> None:
    """Print the full prompt that --expand would use."""
    print(expanded(prompt, "embedded", seed, chat, chat_model))


def fuller(prompt: str, model: str, seed: int) -> str:
    """The prompt made full where that loses nothing, as the model that ships reads full captions far better than short
    ones (Sora does the same); else as it is.

    It stays as it is for another model, when it is full, and when it has a word that the model or the grammar does not
    know, or a colour, a number or a thing that would be left out.
    """
    from tenku.loading import SHIPPED, find
    from tenku.model.vocabulary import Vocabulary
    from tenku.prompts import expand
    from tenku.sample.request import checked_prompt

    prompt = checked_prompt(prompt)
    shipped = SHIPPED / "embedded"
    if find(model) != shipped or expand.says_all(prompt):
        return prompt
    full = expand.expand(prompt, seed)
    seen = Vocabulary.load(shipped / "text" / "vocabulary.json")
    same = [expand.expand(prompt, other) for other in range(OTHER_WORDS)]  # said in the grammar's other words
    understood = Vocabulary.from_captions(*[[full, *same, *expand.understood()]] * 2)
    _, text, _ = expand.read(prompt)
    lost = [word for word in understood.unknown_words(text) if not set(word) <= understood.characters]
    return full if expand.keeps(prompt, full) and not lost and not seen.unknown_words(text) else prompt


def expanded(prompt: str, model: str, seed: int, chat: str | None, chat_model: str) -> str:
    """By the endpoint that the user named, else by the grammar of the miniature world, for models that know it.

    The grammar leaves out what it does not know, and a note names it. ValueError for a model of another world without
    an endpoint, and for a prompt that is empty or too long.
    """
    from tenku.sample.request import checked_prompt

    prompt = checked_prompt(prompt)
    if chat:
        from tenku.prompts.chat import expand as by_chat

        return by_chat(prompt, chat, chat_model, os.environ.get("TENKU_CHAT_KEY"), seed)
    from tenku.cli._session import note_unread_words
    from tenku.loading import find
    from tenku.model import load_text_encoder
    from tenku.prompts.expand import expand as by_grammar

    if (find(model) / "model_index.json").is_file():
        raise ValueError(f"--expand for {model} needs a chat endpoint: name one with --chat URL or TENKU_CHAT_URL")
    note_unread_words(load_text_encoder(find(model)), [prompt])
    return by_grammar(prompt, seed)
