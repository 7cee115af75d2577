"""Settings that go together: for a GPU, for fine-tuning on few clips, for the last touch on weights that are good."""

from dataclasses import replace
from typing import Any

import torch

from tenku.system.device import choose_device
from tenku.train.autoencoder import AutoencoderTrainConfig
from tenku.train.diffusion import TrainConfig

# A user's clips, which are few and show what the weights have never seen, under new words: half of the time goes into
# how things look, and most samples have nothing to go by but the text.
OWN_CLIPS: dict[str, Any] = dict(
    batch_size=16, muon_lr=6e-3, adamw_lr=1e-3, text_lr_mult=1.0, image_frac=0.55, warmdown_start=0.4
)
OWN_CLIPS_CORRUPTION: dict[str, Any] = dict(cond_prob=0.2, shift=1.5)

# For weights that know these clips' world already: low rates, the text encoder frozen, most samples go on from frames.
LOW_LR: dict[str, Any] = dict(
    batch_size=16, muon_lr=1e-3, adamw_lr=2e-4, text_lr_mult=0.0, image_frac=0.0, warmdown_start=0.3, ema_decay=0.99
)
LOW_LR_CORRUPTION: dict[str, Any] = dict(
    cond_prob=0.7, history_noise_prob=0.7, cond_patterns=(0.7, 0.1, 0.1, 0.1), shift=1.5
)

# A GPU takes many steps in a minute.
ON_A_GPU: dict[str, Any] = dict(log_every=100, validate_every=1000, checkpoint_minutes=2.0)

LARGE_GPU = 40 * 2**30  # bytes: holds many clips and whole batches of pictures
AUTOENCODER_ON_A_LARGE_GPU: dict[str, Any] = dict(batch_size=64, crop=128, motion_crop_prob=0.0, cache_gib=24.0)
# For the decoder of a trained autoencoder alone: crops from anywhere, structure above all, and no part of the loss that
# is for latents, nor for motion, of which they hold no more.
DECODER_ONLY: dict[str, Any] = dict(
    decoder_only=True, motion_crop_prob=0.0, motion=0.0, structure=5.0, coarse=0.0, muon_lr=3e-3, adamw_lr=1e-3
) | dict(warmdown_start=0.2, ema_decay=0.99)
# With latents from a transformer: whole pictures, for its sake, and what flickers weighs twice.
ON_MODEL_LATENTS: dict[str, Any] = dict(crop=128, flicker=2.0)


def with_recipe(config: TrainConfig, settings: dict[str, Any], corruption: dict[str, Any]) -> TrainConfig:
    """A run with some of its settings, and of those of its corruption, changed."""
    return replace(config, **settings, corruption=replace(config.corruption, **corruption))


def for_device(config: TrainConfig) -> TrainConfig:
    return replace(config, **ON_A_GPU) if choose_device(config.device).type == "cuda" else config


def own_clips(config: TrainConfig) -> TrainConfig:
    """Fine-tuning on a user's clips."""
    return with_recipe(config, OWN_CLIPS, OWN_CLIPS_CORRUPTION)


def low_lr_finetune(config: TrainConfig) -> TrainConfig:
    """Further training of weights that know these clips' world already."""
    return with_recipe(config, LOW_LR, LOW_LR_CORRUPTION)


def autoencoder_for_device(config: AutoencoderTrainConfig) -> AutoencoderTrainConfig:
    """On a large GPU a step takes whole pictures, many at a time, from clips that stay in its memory."""
    device = choose_device(config.device)
    if device.type != "cuda" or torch.cuda.get_device_properties(device).total_memory < LARGE_GPU:
        return config
    return replace(config, **AUTOENCODER_ON_A_LARGE_GPU)


def decoder_only(config: AutoencoderTrainConfig) -> AutoencoderTrainConfig:
    """The same budget for the decoder of `config.initial` alone, on latents of the encoder or of `latents_from`."""
    config = replace(config, **DECODER_ONLY)
    if config.latents_from is None:
        return config
    return replace(config, **ON_MODEL_LATENTS, batch_size=max(1, config.batch_size // 3))
