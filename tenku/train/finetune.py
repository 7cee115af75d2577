"""Fine-tune a model on a user's own clips: from their folder to a model folder."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from tenku.data import user_clips
from tenku.data.latents import encode_clips, folder_digest
from tenku.loading import find
from tenku.model import load_text_encoder
from tenku.model.settings import ModelSettings
from tenku.system.device import choose_device
from tenku.system.files import read_json
from tenku.train import checkpoint, recipes
from tenku.train.build import check_text_encoder, export
from tenku.train.diffusion import DiffusionTrainer, Preview, TrainConfig
from tenku.train.trainer import checkpoint_to_resume, is_spent

LOGGER = logging.getLogger("tenku")
PREVIEW_CLIPS = 6
OnProgress = Callable[[str, int, int], None]  # stage ("clips", "encode"), done, total
OnNote = Callable[[str], None]
# Called as make(latents folder, captions of some clips); see `evaluate.previews.previews`.
MakePreview = Callable[[Path, list[str]], Preview]


def no_progress() -> AbstractContextManager[OnProgress]:
    return nullcontext(lambda stage, done, total: None)


def finetune(
    model: str | Path,
    clips: str | Path,
    out: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    size: tuple[int, int] | None = None,
    config: TrainConfig | None = None,
    preview: MakePreview | None = None,
    on_note: OnNote = LOGGER.warning,
    progress: Callable[[], AbstractContextManager[OnProgress]] = no_progress,
) -> tuple[Path, list[str]]:
    """Train a model further on a folder of clips and pictures with captions; returns OUT/model and some captions.

    Clips are brought to the model's size, rate and length (OUT/clips), encoded (OUT/latents), and trained on. What a
    former call has done is not done again. size: (width, height) in pixels instead of the model's own. config: all
    other settings; by default those of `recipes.OWN_CLIPS`. on_note is told what was left out. ValueError: there is
    nothing to train on, or OUT holds another run.
    """
    start, out, clips, size = find(model), Path(out), Path(clips), checked_size(size)
    check_text_encoder(start)
    if config is None:
        config = TrainConfig(latents=out / "latents", out=out, minutes=minutes, steps=steps, initial=start)
        config = recipes.with_recipe(recipes.for_device(config), recipes.OWN_CLIPS | {"show_progress": False})
    lock = checkpoint.lock(out)
    try:
        checkpoint_to_resume(config)  # refuses another run before its clips are touched
        captions = encode_user_clips(clips, start, out, size, on_note, progress)
        if is_spent(config):
            on_note("this run has spent its budget, nothing is trained; a larger one goes on")
        DiffusionTrainer(config, preview and preview(config.latents, captions), lock).fit()
    finally:
        lock.close()
    return export_finetuned(out, start), captions


def checked_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    """ValueError unless both sides are multiples of 16 pixels."""
    if size is not None and any(side % 16 for side in size):
        raise ValueError(f"the size takes multiples of 16, not {size[0]}x{size[1]}")
    return size


def encode_user_clips(
    clips: Path,
    model: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    on_note: OnNote = LOGGER.warning,
    progress: Callable[[], AbstractContextManager[OnProgress]] = no_progress,
) -> list[str]:
    """A user's clips to OUT/clips and OUT/latents, as a model takes them; returns some of their captions."""
    settings = ModelSettings.load(model)
    settings = settings if size is None else replace(settings, sizes=(size,))
    refuse_other_clips(out, model, settings)
    found = user_clips.find_clips(clips, without=(out / "clips", out / "previews"))
    with progress() as stages:
        unreadable = user_clips.prepare(found.clips, clips, out / "clips", settings, partial(stages, "clips"))
    text = load_text_encoder(model)
    captions = [caption for clip in found.clips for each in clip.captions.values() for caption in each]
    for names, what in (
        (found.uncaptioned, "clips have no caption and are left out"),
        (unreadable, "clips cannot be read and are left out"),
        (found.unsupported, "files are of a kind that is not read and are left out"),
        (found.unmatched, "captions name no clip that is there"),
        ([caption for caption in captions if text.is_cut(caption)], "captions are longer than the model reads"),
    ):
        if names:
            on_note(f"{len(names)} {what}: {listed(names)}")
    # Not mirrored: their captions may say left or right.
    device = choose_device("auto").type
    with progress() as stages:
        encoded = partial(stages, "encode")
        encode_clips(out / "clips", model, out / "latents", mirror=False, device=device, on_progress=encoded)
    read = [clip for clip in found.clips if (out / "clips" / f"{clip.key(clips, settings)}-0.json").is_file()]
    count = min(PREVIEW_CLIPS, len(read))
    spread = [read[index * len(read) // count] for index in range(count)]
    return [next(iter(clip.captions.values()))[0] for clip in spread]


def refuse_other_clips(out: Path, model: Path, settings: ModelSettings) -> None:
    """ValueError when a former run in the folder had latents of another autoencoder or size."""
    if not (out / "config.json").is_file():
        return
    former = read_json(out / "config.json")["clips"]
    if former["autoencoder"] != folder_digest(model):
        raise ValueError(f"{out} holds a run that started from another model: choose another folder")
    if other := [(width, height) for width, height in former["sizes"] if (width, height) not in settings.sizes]:
        width, height = other[0]
        raise ValueError(f"{out} holds a run at {width}x{height}: go on with that size, or choose another folder")


def export_finetuned(run: Path, model: Path) -> Path:
    """RUN/model: the run's weights with the settings of the model that it started from, its clips' sizes first."""
    folder = export(run, run / "model", model)
    settings, tuned = ModelSettings.load(model), ModelSettings.load(folder)
    sizes = tuple(dict.fromkeys(tuned.sizes + settings.sizes))
    replace(settings, name=run.resolve().name, sizes=sizes).save(folder)
    return folder


def listed(names: Sequence[str], longest: int = 3) -> str:
    """The first names, and how many more there are."""
    more = len(names) - longest
    return ", ".join(names[:longest]) + (f" and {more} more" if more > 0 else "")
