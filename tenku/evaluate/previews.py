"""Draw the same prompts with the same noise at every checkpoint of a run, to see the progress."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tenku.data.latents import read_manifest, sizes_of
from tenku.loading import Components
from tenku.media.sheet import contact_sheet
from tenku.media.writer import write_png
from tenku.model import TextEncoder, Transformer
from tenku.model.autoencoder import load_autoencoder
from tenku.model.settings import ModelSettings
from tenku.sample.pipeline import Pipeline

SEED = 0
PROMPTS = (
    "A red rubber ball drops onto wet asphalt at night under neon lights and bounces.",
    "A blue cube slides over ice at sunset.",
    "A tower of wooden blocks collapses in the studio.",
    "A bite is taken out of a burger and stays.",
    "阴天，绿色的球从墙后滚过，又出来了。",
    "白天，多米诺骨牌一个接一个倒下。",
)


def previews(
    autoencoder_folder: Path, latents: Path, prompts: Sequence[str] = PROMPTS, model: Path | None = None
) -> Callable[[TextEncoder, Transformer, Path], None]:
    """A `preview` for `DiffusionTrainer`: videos of the prompts as a contact sheet, drawn with the run's weights.

    Size and length are those of the latents; the sampling is that of a model folder, if one is named.
    """
    manifest = read_manifest(latents)
    frames = max(bucket["shape"][0] for bucket in manifest["buckets"]) * manifest["temporal_compression"]
    settings = ModelSettings("preview", manifest["fps"], tuple(sizes_of(manifest)), frames)
    if model is not None:
        settings = replace(settings, defaults=ModelSettings.load(model).defaults)
    autoencoder = load_autoencoder(autoencoder_folder)

    def draw(text: TextEncoder, transformer: Transformer, path: Path) -> None:
        device = next(transformer.parameters()).device
        pipeline = Pipeline(Components(settings, autoencoder.to(device), text, transformer))
        clips = [pipeline.generate(prompt, seed=SEED) for prompt in prompts]
        write_png(path, contact_sheet([clip.frames for clip in clips], labels=list(prompts)))

    return draw
