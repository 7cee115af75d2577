"""Download open weights from the Hugging Face hub: safetensors and JSON only, resumable, SHA-256 verified."""

import hashlib
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tenku.wan.catalogue import OPEN_WEIGHTS, is_complete, models_folder

# Nothing that could be code: no pickles, no Python.
WANTED = (
    "model_index.json",
    "*/config.json",
    "*/*.safetensors",
    "*/*.safetensors.index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/*.json",
    "LICENSE*",
)
CHUNK = 2**22
OnProgress = Callable[[str, int, int | None], None]


def pull(
    name: str, folder: Path | None = None, *, endpoint: str | None = None, on_progress: OnProgress | None = None
) -> Path:
    """Download open weights by name into `folder` (default: models_folder()/name); returns it.

    An interrupted download is resumed by the next call. The folder takes its name only when every file is there
    and has the size and SHA-256 that the hub states. ValueError: an unknown name, no room on the disk, a wrong hash;
    OSError: the hub cannot be reached.
    """
    if name not in OPEN_WEIGHTS:
        raise ValueError(f"unknown open weights {name!r}; there are {', '.join(OPEN_WEIGHTS)}")
    folder = folder or models_folder() / name
    if is_complete(folder):
        return folder
    from huggingface_hub import HfApi, snapshot_download

    partial = folder.with_name(folder.name + ".part")
    partial.mkdir(parents=True, exist_ok=True)
    repository = OPEN_WEIGHTS[name].repository
    try:
        info = HfApi(endpoint=endpoint).model_info(repository, files_metadata=True)
        files = [file for file in info.siblings or [] if any(fnmatch(file.rfilename, each) for each in WANTED)]
        check_listing(repository, [file.rfilename for file in files])
        check_room(partial, files)
        snapshot_download(
            repository,
            revision=info.sha,
            local_dir=partial,
            allow_patterns=[file.rfilename for file in files],
            endpoint=endpoint,
        )
    except Exception as error:
        if not is_network_error(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OSError(f"{repository} could not be fetched ({reason}); what came so far stays, run this again") from None
    check_files(partial, files, on_progress or (lambda stage, done, total: None))
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    partial.rename(folder)
    return folder


def is_network_error(error: Exception) -> bool:
    """Whether an error is the network's: huggingface_hub raises the errors of the HTTP library below it."""
    names = {each.__name__ for each in type(error).__mro__}
    return isinstance(error, OSError) or bool(names & {"HTTPError", "RequestException", "LocalEntryNotFoundError"})


def check_listing(repository: str, names: list[str]) -> None:
    """ValueError when the repository lacks a part of a model, for example because it holds only pickles."""
    for part in ("transformer", "vae", "text_encoder"):
        if not any(name.startswith(f"{part}/") and name.endswith(".safetensors") for name in names):
            raise ValueError(f"{repository} has no {part}/*.safetensors, and nothing else is fetched")


def check_room(folder: Path, files: list[Any]) -> None:
    """ValueError when the disk cannot hold what is still to come."""
    sizes = {file.rfilename: file.size or 0 for file in files}
    missing = sum(size for name, size in sizes.items() if not (folder / name).is_file())
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise ValueError(f"{folder} has {free / 1e9:.1f} GB free, {missing / 1e9:.1f} GB are to come")


def check_files(folder: Path, files: list[Any], on_progress: OnProgress) -> None:
    """Verify size and SHA-256 of every file. A wrong one is removed, so that the next call fetches it; ValueError.

    `HfApi.verify_repo_checksums` does not report progress over tens of gigabytes, asks the hub once more after the
    download, and leaves wrong files where they are.
    """
    total = sum(file.size or 0 for file in files)
    done = 0
    for file in files:
        path = folder / file.rfilename
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as opened:
            while chunk := opened.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                on_progress("check", done + size, total)
        done += size
        stated = file.lfs.sha256 if file.lfs else None
        if file.size not in (None, size) or stated not in (None, digest.hexdigest()):
            path.unlink()
            shutil.rmtree(folder / ".cache", ignore_errors=True)
            raise ValueError(f"{file.rfilename} has not the size or hash that the hub states; removed, run this again")
