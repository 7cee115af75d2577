"""Expand prompts automatically where nothing is lost, or when asked to."""

from tenku.loading import SHIPPED, find, is_open_weights
from tenku.model.vocabulary import Vocabulary
from tenku.prompts import chat as chat_endpoint
from tenku.prompts import expand as grammar

OTHER_WORDS = 12  # expansions that show which words the grammar has for the same


def auto_expand(prompt: str, model: str = "embedded", seed: int = 0) -> str:
    """Expand a prompt to a full caption where that loses nothing, else return it as it is.

    The model that ships reads full captions far better than short ones (Sora expands prompts too). A prompt stays as it
    is for another model, when it is full, and when it has a word that the model or the grammar does not know, or a
    colour, a number or a thing that would be left out.
    """
    shipped = SHIPPED / "embedded"
    if find(model) != shipped or grammar.is_complete(prompt):
        return prompt
    full = grammar.expand(prompt, seed)
    seen = Vocabulary.load(shipped / "text" / "vocabulary.json")
    same = [grammar.expand(prompt, other) for other in range(OTHER_WORDS)]  # said in the grammar's other words
    understood = Vocabulary.from_captions(*[[full, *same, *grammar.known_words()]] * 2)
    _, text, _ = grammar.read(prompt)
    lost = [word for word in understood.unknown_words(text) if not set(word) <= understood.characters]
    kept = grammar.preserves(prompt, full) and not lost and not seen.unknown_words(text)
    return full if kept else prompt


def expand_prompt(
    prompt: str,
    model: str = "embedded",
    seed: int = 0,
    *,
    chat: str | None = None,
    chat_model: str = "default",
    chat_key: str | None = None,
) -> str:
    """Expand a prompt by a chat endpoint, or by the grammar of the miniature world for models that know it.

    The grammar leaves out what it does not know. ValueError for a model of another world without an endpoint.
    """
    if chat:
        return chat_endpoint.expand(prompt, chat, chat_model, chat_key, seed)
    if is_open_weights(find(model)):
        raise ValueError(f"--expand for {model} needs a chat endpoint: name one with --chat URL or TENKU_CHAT_URL")
    return grammar.expand(prompt, seed)
