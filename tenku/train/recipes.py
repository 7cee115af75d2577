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
) | dict(corruption=dict(cond_prob=0.2, shift=1.5))
# Weights that know these clips' world already: low rates, the text encoder frozen, most samples go on from some frames.
LOW_LR: dict[str, Any] = dict(
    batch_size=16, muon_lr=1e-3, adamw_lr=2e-4, text_lr_mult=0.0, image_frac=0.0, warmdown_start=0.3, ema_decay=0.99
) | dict(corruption=dict(cond_prob=0.7, history_noise_prob=0.7, cond_patterns=(0.7, 0.1, 0.1, 0.1), shift=1.5))
# A GPU takes many steps in a minute.
ON_A_GPU: dict[str, Any] = dict(log_every=100, validate_every=1000, checkpoint_minutes=2.0)

LARGE_GPU = 40 * 2**30  # bytes: holds many clips and whole batches of pictures
AUTOENCODER_ON_A_LARGE_GPU: dict[str, Any] = dict(batch_size=64, crop=128, motion_crop_prob=0.0, cache_gib=24.0)
# The decoder alone: crops from anywhere, structure above all, and no part of the loss that is for latents, nor for
# motion, of which they hold no more.
DECODER_ONLY: dict[str, Any] = dict(
    motion_crop_prob=0.0, motion=0.0, structure=5.0, coarse=0.0, muon_lr=3e-3, adamw_lr=1e-3, warmdown_start=0.2
) | dict(decoder_only=True, ema_decay=0.99)


def with_recipe(config: TrainConfig, recipe: dict[str, Any]) -> TrainConfig:
    """A run with some of its settings changed, and under "corruption" some of those of its corruption."""
    corruption = replace(config.corruption, **recipe.get("corruption", {}))
    return replace(config, **recipe | {"corruption": corruption})


def for_device(config: TrainConfig) -> TrainConfig:
    return with_recipe(config, ON_A_GPU if choose_device(config.device).type == "cuda" else {})


def autoencoder_recipe(config: AutoencoderTrainConfig) -> AutoencoderTrainConfig:
    """On a large GPU steps of whole pictures, many at a time; where a run is of the decoder alone, that recipe."""
    device = choose_device(config.device)
    if device.type == "cuda" and torch.cuda.get_device_properties(device).total_memory >= LARGE_GPU:
        config = replace(config, **AUTOENCODER_ON_A_LARGE_GPU)
    if config.decoder_only:
        config = replace(config, **DECODER_ONLY)
    if config.latents_from is None:
        return config
    # Whole pictures, for the transformer's sake, and what flickers weighs twice.
    return replace(config, crop=128, flicker=2.0, batch_size=max(1, config.batch_size // 3))
