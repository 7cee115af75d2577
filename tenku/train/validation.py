"""Validation loss on held-out clips, always with the same noise, so that its changes are the model's."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tenku import flow
from tenku.data.loader import Bucket
from tenku.model import TextEncoder
from tenku.train.corruption import TrainingBatch, predict_velocity

CLIPS = 48
BATCH = 16
TIME_EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Validation:
    """Batches of held-out clips: full length, no conditioning frames, times spread evenly over (0, 1)."""

    def __init__(self, buckets: Sequence[Bucket], text: TextEncoder, device: torch.device) -> None:
        share = max(1, CLIPS // len(buckets))
        generator = torch.Generator().manual_seed(0)
        self.batches = [batch for bucket in buckets for batch in fixed_batches(bucket, share, text, device, generator)]

    @torch.no_grad()
    def measure(self, transformer: nn.Module, text: nn.Module) -> dict[str, Any]:
        """Mean squared velocity error over all batches, and over those in each range of t.

        caption_gain is how much larger the error is with the captions of other clips: 0 means that the text is
        not looked at.
        """
        errors, swapped_errors = [], []
        for batch in self.batches:
            errors.append(squared_errors(transformer, text, batch))
            half = max(1, len(batch.t) // 2)
            ids, mask = batch.token_ids.roll(half, 0), batch.token_mask.roll(half, 0)
            swapped = replace(batch, token_ids=ids, token_mask=mask)
            swapped_errors.append(squared_errors(transformer, text, swapped))
        error = torch.cat(errors)
        t = torch.cat([batch.t[:, 0] for batch in self.batches]).cpu()
        by_time = {
            f"{low:g}-{high:g}": float(error[inside].mean())
            for low, high in zip(TIME_EDGES[:-1], TIME_EDGES[1:], strict=True)
            if (inside := (t >= low) & (t < high)).any()
        }
        gain = float(torch.cat(swapped_errors).mean() / error.mean() - 1)
        return {"validation_loss": float(error.mean()), "validation_by_time": by_time, "caption_gain": gain}


def squared_errors(transformer: nn.Module, text: nn.Module, batch: TrainingBatch) -> Tensor:
    """Mean squared velocity error of each sample, (B,) on the CPU."""
    wrong = predict_velocity(transformer, text, batch) - flow.velocity(batch.latents, batch.noise)
    return wrong.square().mean(dim=(1, 2, 3, 4)).cpu()


def fixed_batches(
    bucket: Bucket, clips: int, text: TextEncoder, device: torch.device, generator: torch.Generator
) -> Iterator[TrainingBatch]:
    """Up to `clips` of a bucket in batches, in turn with an English and a Chinese caption, short and long."""
    clips = min(clips, len(bucket.captions))
    # evenly spread over the bucket, so that neighbours (a clip and its mirrored self) do not fill the sample
    chosen = torch.linspace(0, len(bucket.captions) - 1, clips).round().long().tolist()
    t = torch.linspace(0.02, 0.98, clips)[torch.randperm(clips, generator=generator)]
    for start in range(0, clips, BATCH):
        indices = chosen[start : start + BATCH]
        data = bucket.latents[indices].to(device).float()
        noise = torch.randn(data.shape, generator=generator).to(device)
        captions = []
        for k, i in enumerate(indices):
            by_language = bucket.captions[i]
            told = by_language[sorted(by_language)[k % len(by_language)]]
            captions.append(told[k // 2 % len(told)])
        token_ids, token_mask = text.tokenize(captions)
        times = t[start : start + BATCH, None].expand(-1, bucket.num_frames).to(device)
        cond_mask = torch.zeros(times.shape, dtype=torch.bool, device=device)
        yield TrainingBatch(data, data, noise, times, cond_mask, token_ids.to(device), token_mask.to(device))
