"""Latents that need no autoencoder: colour and mask of a moving ball; captions name its colour."""

import json

import torch
from safetensors.torch import save_file

COLOURS = {
    "red": ("红色", (1.0, -1.0, -1.0)),
    "green": ("绿色", (-1.0, 1.0, -1.0)),
    "blue": ("蓝色", (-1.0, -1.0, 1.0)),
    "yellow": ("黄色", (1.0, 1.0, -1.0)),
    "purple": ("紫色", (1.0, -1.0, 1.0)),
    "white": ("白色", (1.0, 1.0, 1.0)),
}
FRAMES, SIDE = 3, 8


def draw_ball(colour: tuple[float, ...], generator: torch.Generator) -> torch.Tensor:
    """4 T H W: a ball of radius 2 that moves in a line over a dark ground."""
    start = torch.rand(2, generator=generator) * (SIDE - 4) + 2
    motion = torch.randn(2, generator=generator) * 0.7
    grid = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij"), -1) + 0.5
    latents = torch.full((4, FRAMES, SIDE, SIDE), -0.5)
    for frame in range(FRAMES):
        inside = (grid - (start + frame * motion)).norm(dim=-1) < 2.0
        latents[:, frame, inside] = torch.tensor((*colour, 1.0))[:, None] * 1.5
    return latents


def captions_of(name: str) -> dict[str, list[str]]:
    chinese = COLOURS[name][0]
    return {
        "en": [f"a {name} ball", f"A ball in {name} moves over a dark ground."],
        "zh": [f"一个{chinese}的球", f"{chinese}的球在黑暗的地面上移动。"],
    }


def write_latents(folder, count: int) -> None:
    """A latents folder as `tenku encode` leaves it."""
    generator = torch.Generator().manual_seed(0)
    names = [list(COLOURS)[k % len(COLOURS)] for k in range(count)]
    latents = torch.stack([draw_ball(COLOURS[name][1], generator) for name in names])
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"latents": latents.bfloat16()}, str(folder / "balls-00000.safetensors"))
    clips = [
        {"seed": k, "split": "train", "mirrored": False, "captions": captions_of(name), "description": {}}
        for k, name in enumerate(names)
    ]
    bucket = {
        "name": "balls",
        "shape": [FRAMES, SIDE, SIDE],
        "size": [SIDE * 8, SIDE * 8],
        "shards": [{"file": "balls-00000.safetensors", "clips": clips}],
    }
    manifest = {
        "format": 1,
        "fps": 16,
        "latent_channels": 4,
        "spatial_compression": 8,
        "temporal_compression": 4,
        "autoencoder": "none",
        "buckets": [bucket],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def read_colour(latents: torch.Tensor) -> str:
    """The named colour nearest to what stands where the mask of 4 T H W latents is strongest."""
    mask = latents[3].flatten()
    strongest = mask.topk(FRAMES * 6).indices
    seen = latents[:3].flatten(1)[:, strongest].mean(1) / 1.5
    return min(COLOURS, key=lambda name: float((seen - torch.tensor(COLOURS[name][1])).norm()))
