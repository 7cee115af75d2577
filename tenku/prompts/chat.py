"""Prompt expansion by a language model: any OpenAI-compatible chat endpoint that the user names.

Nothing is sent anywhere unasked: only `--chat URL` or TENKU_CHAT_URL leads here.
"""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

SECONDS = 60
LONGEST_ANSWER = 100_000  # bytes
INSTRUCTION = (
    "You write prompts for a text-to-video model. Make the user's prompt one paragraph of 60 to 100 words, in the same "
    "language: keep all that it says, then add subject details, motion, setting, light, camera and style. Describe "
    "only what is seen. Answer with the paragraph alone."
)


class Stay(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: the key is for the address that the user named and for no other."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def expand(prompt: str, url: str, model: str, key: str | None = None, seed: int | None = None) -> str:
    """Expand a prompt with the chat model at `url` (ending in /v1, as its documentation names it).

    ValueError in one line when the endpoint cannot be reached, refuses, or answers something else.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"a chat endpoint is an http address such as http://localhost:8000/v1, not {url!r}")
    address = url.rstrip("/") + ("" if parts.path.rstrip("/").endswith("/chat/completions") else "/chat/completions")
    messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": prompt}]
    body: dict[str, Any] = {"model": model, "messages": messages}
    if seed is not None:
        body["seed"] = seed
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=SECONDS) as answer:
            text = " ".join(json.loads(answer.read(LONGEST_ANSWER))["choices"][0]["message"]["content"].split())
    except urllib.error.HTTPError as error:
        raise ValueError(f"the chat endpoint {address} answered {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(f"cannot reach the chat endpoint {address}: {getattr(error, 'reason', error)}") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        text = ""
    if not text:
        raise ValueError(f"the chat endpoint {address} did not answer with a chat completion")
    return text
