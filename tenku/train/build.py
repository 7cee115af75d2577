"""Build the models of a run from a preset or initial weights, rebuild them from its folder, export its weights."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from tenku.data.loader import Bucket, all_captions
from tenku.loading import load_transformer, save_for_diffusers
from tenku.model import TextConfig, TextEncoder, Transformer, TransformerConfig, load_text_encoder, presets, weights
from tenku.model.settings import ModelSettings, SamplingParams
from tenku.model.text import train_tokenizer
from tenku.model.vocabulary import Vocabulary
from tenku.system.files import new_folder, read_json
from tenku.train import checkpoint


def build_models(
    preset: str, latent_channels: int, buckets: Sequence[Bucket], initial: Path | None = None
) -> tuple[TextEncoder, Transformer]:
    """New models in the sizes of a preset, with a tokenizer made from the captions, or those of a folder.

    ValueError when there is no such preset, when it has no text encoder of ours to train, or when the
    initial weights take another number of latent channels.
    """
    if initial is not None:
        check_text_encoder(initial)
        transformer = load_transformer(initial, dtype=torch.float32)
        if transformer.config.latent_channels != latent_channels:
            raise ValueError(
                f"{initial} takes {transformer.config.latent_channels} latent channels, "
                f"the latents have {latent_channels}"
            )
        return load_text_encoder(initial), transformer
    sizes = presets.get(preset)
    if sizes.text is None:
        raise ValueError(f"the preset {preset!r} has no text encoder to train with it; choose embedded or nano")
    tokenizer = train_tokenizer(all_captions(buckets), sizes.text.vocab_size)
    return TextEncoder(sizes.text, tokenizer), Transformer(replace(sizes.transformer, latent_channels=latent_channels))


def check_text_encoder(model: Path) -> None:
    """ValueError unless a model folder has a text encoder of ours, which training goes on with."""
    if not (model / "text" / "tokenizer.json").is_file():
        raise ValueError(f"{model} has no text encoder of ours: start from embedded, or a model of `tenku export`")


def learn_words(text: TextEncoder, buckets: Sequence[Bucket]) -> None:
    """The words of the captions become known ones, beside those that were known before."""
    text.vocabulary |= Vocabulary.from_captions(all_captions(buckets, "en"), all_captions(buckets, "zh"))


def save_text(text: TextEncoder, run: Path) -> None:
    """RUN/text: what of the text encoder is no weight."""
    if text.tokenizer is None:
        raise ValueError("the text encoder has no tokenizer")
    folder = run / "text"
    folder.mkdir(parents=True, exist_ok=True)
    text.tokenizer.save(str(folder / "tokenizer.json.partial"))
    text.vocabulary.save(folder / "vocabulary.json.partial")
    for name in ("tokenizer.json", "vocabulary.json"):  # a run that is started again writes them anew
        os.replace(folder / f"{name}.partial", folder / name)


def rebuild_models(run: Path) -> tuple[TextEncoder, Transformer]:
    """The models of a run as RUN/config.json and RUN/text describe them, with fresh weights."""
    sizes = read_json(run / "config.json")
    tokenizer = Tokenizer.from_file(str(run / "text" / "tokenizer.json"))
    vocabulary = Vocabulary.load(run / "text" / "vocabulary.json")
    text = TextEncoder(TextConfig(**sizes["text"]), tokenizer, vocabulary)
    return text, Transformer(TransformerConfig(**sizes["transformer"]))


def export(
    run: str | Path,
    folder: str | Path,
    autoencoder: str | Path | None = None,
    dtype: torch.dtype = torch.bfloat16,
    name: str | None = None,
    layout: str = "tenku",
    merge_with: Path | None = None,
    merge_ratio: float = 0.5,
) -> Path:
    """Averaged weights of a run's last checkpoint to FOLDER/{transformer,text}, with model.json.

    With `autoencoder`, that folder's weights are copied to FOLDER/autoencoder, which makes FOLDER a whole
    model, which samples by default as that one does that it is merged with or began from. layout: see
    `write_transformer`. merge_with: a model folder, see `merge`. ValueError when the run has no complete checkpoint, or
    that model is of another kind.
    """
    run, folder = Path(run), Path(folder)
    newest = checkpoint.latest(run)
    if newest is None:
        raise ValueError(f"{run} has no complete checkpoint to export")
    tensors, _ = checkpoint.load(newest)
    text, transformer = rebuild_models(run)
    for module, part in ((transformer, "transformer."), (text, "text.")):
        average = tensors["average"].items()
        module.load_state_dict({key.removeprefix(part): value for key, value in average if key.startswith(part)})
    if merge_with is not None:
        other = load_text_encoder(merge_with)
        if text.tokenizer is None or other.tokenizer is None or text.tokenizer.to_str() != other.tokenizer.to_str():
            raise ValueError(
                f"{merge_with} reads texts with another tokenizer: merge a run with weights that it began from"
            )
        merge(transformer, load_transformer(merge_with, dtype=torch.float32), merge_ratio)
        merge(text, other, merge_ratio)
    write_transformer(transformer, folder / "transformer", dtype, layout)
    text.save(folder / "text", dtype)
    if autoencoder is not None:
        copy_part(weights.part_folder(autoencoder, "autoencoder"), folder / "autoencoder")
    clips = read_json(run / "config.json")["clips"]
    sizes = tuple((width, height) for width, height in clips["sizes"])
    like = merge_with or began_from(run)
    defaults = ModelSettings.load(like).defaults if like and (like / "model.json").is_file() else SamplingParams()
    ModelSettings(name or folder.resolve().name, clips["fps"], sizes, clips["max_frames"], defaults).save(folder)
    return folder


def began_from(run: Path) -> Path | None:
    """The weights that a run started from, which may be gone; None: it started from nothing."""
    initial = read_json(run / "config.json")["run"].get("initial")
    return Path(initial) if initial else None


@torch.no_grad()
def merge(module: nn.Module, other: nn.Module, ratio: float) -> None:
    """Interpolate a module's weights with those of another, from which its training began: `ratio` of its own.

    Such means often know what either knows (arXiv 2109.01903). ValueError when their tensors differ in name or shape.
    """
    own, others = module.state_dict(), other.state_dict()
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in others.items()}:
        raise ValueError(
            f"only weights of one kind of model can be merged; these two differ in the {type(module).__name__}"
        )
    for name, value in own.items():
        value.copy_(torch.lerp(others[name].to(value), value, ratio))


def export_model(model: str | Path, folder: str | Path, layout: str = "tenku") -> Path:
    """A model folder written anew, its transformer in another layout. ValueError when a part is missing or wrong."""
    model, folder = Path(model), Path(folder)
    settings, transformer = ModelSettings.load(model), load_transformer(model)
    write_transformer(transformer, folder / "transformer", transformer.dtype, layout)
    for part in ("text", "autoencoder"):
        copy_part(model / part, folder / part)
    settings.save(folder)
    return folder


def write_transformer(transformer: Transformer, folder: Path, dtype: torch.dtype, layout: str) -> None:
    """layout "tenku": Wan's original names; "diffusers": the names and config that WanTransformer3DModel loads.

    `load_transformer` reads both.
    """
    if layout == "diffusers":
        save_for_diffusers(transformer, folder, dtype)
    elif layout == "tenku":
        weights.save_module(transformer, transformer.config, folder, dtype)
    else:
        raise ValueError(f"a layout is tenku or diffusers, not {layout!r}")


def copy_part(source: Path, folder: Path) -> None:
    """A part of a model as a complete folder: its JSON and safetensors, nothing else. ValueError: it is missing."""
    if not source.is_dir():
        raise ValueError(f"{source} is missing")
    with new_folder(folder) as new:
        for path in sorted(source.glob("*")):
            if path.suffix in (".json", ".safetensors"):
                shutil.copyfile(path, new / path.name)
