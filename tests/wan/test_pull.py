"""`tenku pull` against a small hub of the test's own: what it fetches, resumes, and refuses."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tenku.cli import main
from tenku.wan import pull as pulling
from tenku.wan.catalogue import OPEN_WEIGHTS, models_folder
from tenku.wan.pull import pull

pytest.importorskip("huggingface_hub")

REPOSITORY = OPEN_WEIGHTS["wan2.1-1.3b"].repository
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "model_index.json": b"{}",
    "transformer/config.json": b'{"_class_name": "WanTransformer3DModel"}',
    "transformer/diffusion_pytorch_model.safetensors": bytes(range(256)) * 3000,
    "vae/config.json": b"{}",
    "vae/diffusion_pytorch_model.safetensors": b"v" * 5000,
    "text_encoder/model.safetensors": b"t" * 5000,
    "tokenizer/tokenizer.json": b"{}",
    "README.md": b"words",
    "text_encoder/pytorch_model.bin": b"a pickle",
    "transformer/modeling_evil.py": b"print('code')",
}


class Hub:
    """The parts of the hub's protocol that a download needs. `broken`: a file that the connection breaks in."""

    def __init__(self, files):
        self.files, self.broken, self.served, self.lies = dict(files), None, [], {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body):
                path = self.path.split("?")[0]
                if path.startswith(f"/api/models/{REPOSITORY}"):
                    if "/tree/" in path:
                        return self.send(200, json.dumps(hub.tree()).encode(), body)
                    return self.send(200, json.dumps(hub.info()).encode(), body)
                name = path.removeprefix(f"/{REPOSITORY}/resolve/{COMMIT}/")
                if name not in hub.files:
                    return self.send(404, b"", body)
                content = hub.files[name]
                start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
                if body:
                    hub.served.append((name, start))
                etag = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
                code, piece = (206, content[start:]) if start else (200, content)
                if body and name == hub.broken:
                    self.send(code, piece, True, etag, stop=len(piece) // 2)
                    self.close_connection = True
                    return None
                return self.send(code, piece, body, etag)

            def send(self, code, content, body, headers=(), stop=None):
                self.send_response(code)
                for key, value in dict(headers).items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content[:stop])
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stated(self, name):
        sha256 = self.lies.get(name) or hashlib.sha256(self.files[name]).hexdigest()
        size = len(self.files[name])
        return size, {"sha256": sha256, "size": size, "pointerSize": 130} if name.endswith(".safetensors") else None

    def info(self):
        siblings = []
        for name in self.files:
            size, lfs = self.stated(name)
            siblings.append({"rfilename": name, "size": size} | ({"lfs": lfs} if lfs else {}))
        return {"id": REPOSITORY, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}

    def tree(self):
        rows = []
        for name in self.files:
            size, lfs = self.stated(name)
            row = {"type": "file", "path": name, "size": size, "oid": hashlib.sha1(name.encode()).hexdigest()}
            rows.append(row | ({"lfs": {**lfs, "oid": lfs["sha256"]}} if lfs else {}))
        return rows


@pytest.fixture
def hub():
    hub = Hub(FILES)
    yield hub
    hub.server.shutdown()


def fetched(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_only_weights_and_json_are_fetched(hub, tmp_path):
    folder = pull("wan2.1-1.3b", tmp_path / "wan", endpoint=hub.endpoint)
    assert fetched(folder) == set(FILES) - {
        "README.md",
        "text_encoder/pytorch_model.bin",
        "transformer/modeling_evil.py",
    }
    assert all((folder / name).read_bytes() == FILES[name] for name in fetched(folder))
    hub.served.clear()
    assert pull("wan2.1-1.3b", tmp_path / "wan", endpoint=hub.endpoint) == folder and not hub.served
    assert [path.name for path in tmp_path.iterdir()] == ["wan"]


def test_a_broken_connection_loses_nothing(hub, tmp_path):
    hub.broken = "transformer/diffusion_pytorch_model.safetensors"
    with pytest.raises(OSError, match=r"could not be fetched .*run this again"):
        pull("wan2.1-1.3b", tmp_path / "wan", endpoint=hub.endpoint)
    assert not (tmp_path / "wan").exists()
    hub.broken = None
    hub.served.clear()
    folder = pull("wan2.1-1.3b", tmp_path / "wan", endpoint=hub.endpoint)
    assert (folder / "transformer/diffusion_pytorch_model.safetensors").read_bytes() == FILES[
        "transformer/diffusion_pytorch_model.safetensors"
    ]
    assert "vae/config.json" not in dict(hub.served)  # what was whole is not fetched again


def test_a_wrong_hash_is_refused(hub, tmp_path):
    hub.lies["vae/diffusion_pytorch_model.safetensors"] = "0" * 64
    with pytest.raises(ValueError, match=r"vae/diffusion_pytorch_model.safetensors has not the size or hash"):
        pull("wan2.1-1.3b", tmp_path / "wan", endpoint=hub.endpoint)
    assert not (tmp_path / "wan").exists()
    assert not (tmp_path / "wan.part" / "vae" / "diffusion_pytorch_model.safetensors").exists()
    hub.lies.clear()
    assert pull("wan2.1-1.3b", tmp_path / "wan", endpoint=hub.endpoint).is_dir()


def test_pickles_alone_are_refused(hub, tmp_path):
    del hub.files["text_encoder/model.safetensors"]
    with pytest.raises(ValueError, match=r"has no text_encoder/\*.safetensors, and nothing else is fetched"):
        pull("wan2.1-1.3b", tmp_path / "wan", endpoint=hub.endpoint)


def test_a_full_disk_is_seen_beforehand(hub, tmp_path, monkeypatch):
    usage = pulling.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(pulling.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(ValueError, match="GB free, .* are to come"):
        pull("wan2.1-1.3b", tmp_path / "wan", endpoint=hub.endpoint)
    assert not hub.served


def test_the_folder_of_pulled_models(tmp_path, monkeypatch):
    monkeypatch.setenv("TENKU_MODELS", str(tmp_path / "mine"))
    assert models_folder() == tmp_path / "mine"
    monkeypatch.delenv("TENKU_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert models_folder() == tmp_path / "cache/tenku/models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models_folder() == tmp_path / ".cache/tenku/models"
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # nobody's home
    assert models_folder().is_absolute()


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TENKU_MODELS", str(tmp_path))
    assert main(["pull", "sora-2"]) == 2
    assert "unknown open weights 'sora-2'; there are wan2.1-1.3b" in capsys.readouterr().err
    assert main(["generate", "--model", "wan2.2-5b", "a dog"]) == 2
    assert "`tenku pull wan2.2-5b` fetches it" in capsys.readouterr().err
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["embedded"]["folder"] and rows["wan2.2-5b"]["folder"] is None
    assert rows["wan2.2-5b"]["parameters"] == 4_999_787_712 + 5_680_910_336 + 704_688_668
