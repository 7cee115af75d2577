"""Expansion by a chat endpoint, against one of the test's own: what is sent, what comes back, what goes wrong."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tenku.cli import main
from tenku.prompts import chat


@pytest.fixture
def endpoint():
    """A server that keeps what it is asked and answers what it is told to."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append((self.path, self.headers.get("Authorization"), asked))
            status, body = server.answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answer = [], (200, completion("A red ball\n drops onto the ice."))
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def completion(text):
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def test_the_prompt_goes_there_and_the_answer_comes_back(endpoint):
    assert chat.expand("a ball", endpoint.url, "small", "secret", seed=5) == "A red ball drops onto the ice."
    [(path, authorization, asked)] = endpoint.asked
    assert (path, authorization) == ("/v1/chat/completions", "Bearer secret")
    assert asked["model"] == "small" and asked["seed"] == 5
    assert asked["messages"][-1] == {"role": "user", "content": "a ball"}
    chat.expand("a ball", endpoint.url + "/chat/completions", "small")
    assert endpoint.asked[1][:2] == ("/v1/chat/completions", None)


@pytest.mark.parametrize(
    "answer, message",
    [
        ((500, b""), "answered 500"),
        ((401, b"{}"), "answered 401"),
        ((302, b""), "answered 302"),
        ((200, b"<html>"), "did not answer with a chat completion"),
        ((200, b"{}"), "did not answer with a chat completion"),
        ((200, completion(None)), "did not answer with a chat completion"),
        ((200, completion("  \n")), "did not answer with a chat completion"),
    ],
)
def test_answers_that_are_none(endpoint, answer, message):
    endpoint.answer = answer
    with pytest.raises(ValueError, match=message) as caught:
        chat.expand("a ball", endpoint.url, "small")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000", "file:///etc/passwd", "http://", "ftp://a/b", "http://a/v1?key=1"])
def test_addresses_that_are_none(url):
    with pytest.raises(ValueError, match="a chat endpoint is an http address"):
        chat.expand("a ball", url, "small")


def test_nobody_there():
    for url in ("http://127.0.0.1:9/v1", "http://127.0.0.1:80a/v1"):
        with pytest.raises(ValueError, match="cannot reach the chat endpoint"):
            chat.expand("a ball", url, "small")


def test_the_commands(endpoint, tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("URL", "KEY", "MODEL"):
        monkeypatch.delenv(f"TENKU_CHAT_{name}", raising=False)
    assert main(["expand", "a red ball on ice"]) == 0
    assert "red" in capsys.readouterr().out and not endpoint.asked
    common = ["generate", "a ball", "--model", str(tiny_folder), "--seconds", "0", "--steps", "1", "--out", "a.mp4"]
    assert main([*common, "--expand", "--seed", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "expanded: " in err and json.loads(out)["prompt"] in err and not endpoint.asked
    monkeypatch.setenv("TENKU_CHAT_URL", endpoint.url)
    assert main([*common, "--json"]) == 0 and not endpoint.asked  # never unasked
    assert json.loads(capsys.readouterr().out)["prompt"] == "a ball"
    assert main([*common, "--expand", "--chat-model", "big", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "A red ball drops onto the ice."
    assert endpoint.asked[0][2]["model"] == "big"


def test_open_weights_need_an_endpoint(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("TENKU_CHAT_URL", raising=False)
    (tmp_path / "model_index.json").write_text("{}")
    assert main(["generate", "a ball", "--model", str(tmp_path), "--expand"]) == 2
    assert "needs a chat endpoint: name one with --chat URL" in capsys.readouterr().err
