"""`tenku train --clips`: somebody's own clips on their way to latents, and the model that was trained on them."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from tenku.cli._options import listed, progress_bars, say

PREVIEW_CLIPS = 6


def encode_own(clips: Path, model: Path, out: Path, size: tuple[int, int] | None) -> list[str]:
    """Somebody's clips to OUT/clips and OUT/latents, as a model takes them; returns some of their captions.

    size: (width, height) instead of the model's own.
    """
    from tenku.data import user_clips
    from tenku.data.latents import encode_clips, folder_digest
    from tenku.model import load_text_encoder
    from tenku.model.settings import ModelSettings
    from tenku.system.device import choose_device
    from tenku.system.files import read_json

    settings = ModelSettings.load(model)
    settings = settings if size is None else replace(settings, sizes=(size,))
    if (out / "config.json").is_file():
        former = read_json(out / "config.json")["clips"]
        if former["autoencoder"] != folder_digest(model):
            raise ValueError(f"{out} holds a run that started from another model: choose another folder")
        if other := [(width, height) for width, height in former["sizes"] if (width, height) not in settings.sizes]:
            width, height = other[0]
            raise ValueError(f"{out} holds a run at {width}x{height}: go on with that --size, or choose another folder")
    found = user_clips.find_clips(clips, without=(out / "clips", out / "previews"))
    with progress_bars() as stages:
        wrong = user_clips.prepare(found.clips, clips, out / "clips", settings, partial(stages, "clips"))
    text = load_text_encoder(model)
    long = [
        caption for clip in found.clips for told in clip.captions.values() for caption in told if text.is_cut(caption)
    ]
    for names, what in (
        (found.silent, "clips have no caption and are left out"),
        (wrong, "clips cannot be read and are left out"),
        (found.strange, "files are of a kind that is not read and are left out"),
        (found.lost, "captions name no clip that is there"),
        (long, "captions are longer than the model reads and are cut"),
    ):
        if names:
            say(f"note: {len(names)} {what}: {listed(names)}")
    # Not mirrored: their captions may say left or right.
    device = choose_device("auto").type
    with progress_bars() as stages:
        latents = out / "latents"
        encode_clips(out / "clips", model, latents, mirror=False, device=device, on_progress=partial(stages, "encode"))
    read = [clip for clip in found.clips if (out / "clips" / f"{clip.key(clips, settings)}-0.json").is_file()]
    count = min(PREVIEW_CLIPS, len(read))
    spread = [read[index * len(read) // count] for index in range(count)]
    return [next(iter(clip.captions.values()))[0] for clip in spread]


def export_tuned(run: Path, model: Path) -> Path:
    """RUN/model: the run's weights with the settings of the model that it started from, its clips' sizes first."""
    from tenku.model.settings import ModelSettings
    from tenku.train.build import export

    folder = export(run, run / "model", model)
    settings, tuned = ModelSettings.load(model), ModelSettings.load(folder)
    sizes = tuple(dict.fromkeys(tuned.sizes + settings.sizes))
    replace(settings, name=run.resolve().name, sizes=sizes).save(folder)
    return folder
