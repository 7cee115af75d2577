"""Expand a prompt for the model that it is meant for, or leave it as it is."""

from tenku.loading import SHIPPED, find, is_open_weights
from tenku.prompts import chat as chat_endpoint
from tenku.prompts.content import language_of
from tenku.prompts.expand import Expansion, expand


def auto_expand(
    prompt: str,
    model: str = "embedded",
    seed: int = 0,
    *,
    force: bool = False,
    scene: str | None = None,
    setting: bool = True,
    chat: str | None = None,
    chat_model: str = "default",
    chat_key: str | None = None,
) -> Expansion:
    """Expand a prompt by a chat endpoint where one is named, by `expand` for the model that ships, else not at all.

    The model that ships reads full captions far better than short ones (Sora expands prompts too). force: by `expand`
    for your own models of the miniature world too. scene, setting: as of `expand`. ValueError: open weights are forced
    without an endpoint.
    """
    if chat:
        return Expansion(prompt, chat_endpoint.expand(prompt, chat, chat_model, chat_key, seed), language_of(prompt))
    folder = find(model)
    if force and is_open_weights(folder):
        raise ValueError(f"--expand for {model} needs a chat endpoint: name one with --chat URL or TENKU_CHAT_URL")
    if force or folder == SHIPPED / "embedded":
        return expand(prompt, seed, scene=scene, setting=setting)
    return Expansion(prompt, prompt, language_of(prompt))
