"""Clips drawn straight to latents are those that `tenku world` and `tenku encode` give."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tenku.data.drawn import draw_latents, plan_drawings
from tenku.data.latents import encode_clips, read_manifest
from tenku.data.loader import load_buckets
from tenku.model.autoencoder import PRESETS, Autoencoder
from tenku.model.weights import save_module
from tenku.world.dataset import write_clips
from tenku.world.scene import WORLD


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "autoencoder"
    torch.manual_seed(0)
    model = Autoencoder(PRESETS["nano"]())
    save_module(model, model.config, folder)
    return folder


def test_they_are_those_of_clips_on_disk(autoencoder: Path, tmp_path: Path) -> None:
    path = draw_latents([((32, 32), 3)], autoencoder, tmp_path / "drawn", num_frames=8, samples=4)
    write_clips(tmp_path / "clips", 3, size=(32, 32), num_frames=8, samples=4)
    encode_clips(tmp_path / "clips", autoencoder, tmp_path / "encoded")
    drawn, encoded = read_manifest(path.parent), read_manifest(tmp_path / "encoded")
    assert {k: v for k, v in drawn.items() if k != "buckets"} == {k: v for k, v in encoded.items() if k != "buckets"}
    (ours,), (theirs,) = drawn["buckets"], encoded["buckets"]
    assert ours["shape"] == theirs["shape"] and ours["size"] == theirs["size"]
    assert ours["shards"][0]["clips"] == theirs["shards"][0]["clips"]
    a, b = (
        load_file(str(tmp_path / folder / bucket["shards"][0]["file"]))["latents"].float()
        for folder, bucket in (("drawn", ours), ("encoded", theirs))
    )
    assert a.shape == b.shape and (a - b).abs().mean() < 0.05 * a.abs().mean()  # the files are nearly lossless


def test_it_goes_on_where_it_stopped(autoencoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenku.data.drawn.SHARD", 1)
    sizes = [((32, 32), 2), ((48, 32), 1)]
    options = {"num_frames": 4, "samples": 4}
    draw_latents(sizes[:1], autoencoder, tmp_path, **options)
    first = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.safetensors")}
    draw_latents(sizes, autoencoder, tmp_path, **options)
    assert len(first) == 2 and all((tmp_path / name).stat().st_mtime_ns == time for name, time in first.items())
    buckets, _ = load_buckets(tmp_path)
    assert [len(bucket.captions) for bucket in buckets] == [4, 2]


def test_more_clips_fill_up_the_last_shard(autoencoder: Path, tmp_path: Path) -> None:
    for count in (1, 3):
        draw_latents([((32, 32), count)], autoencoder, tmp_path, num_frames=4, samples=4)
    (bucket,), _ = load_buckets(tmp_path)
    assert len(bucket.captions) == 6


def test_latents_made_otherwise_are_not_mixed(
    autoencoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_latents([((32, 32), 1)], autoencoder, tmp_path, num_frames=4, samples=4)
    with pytest.raises(ValueError, match="mirror True, not False: choose another folder"):
        draw_latents([((32, 32), 1)], autoencoder, tmp_path, num_frames=4, samples=4, mirror=False)
    with pytest.raises(ValueError, match="samples 4, not 5"):
        draw_latents([((32, 32), 1)], autoencoder, tmp_path, num_frames=4, samples=5)
    monkeypatch.setattr("tenku.data.drawn.WORLD", WORLD + 1)
    with pytest.raises(ValueError, match=f"world {WORLD}, not {WORLD + 1}: choose another folder"):
        draw_latents([((32, 32), 1)], autoencoder, tmp_path, num_frames=4, samples=4)


def test_sizes_take_turns_and_no_seed_comes_twice() -> None:
    sizes = [((128, 128), 320), ((160, 96), 64)]
    drawings = plan_drawings(sizes, lambda size: (12, size[1] // 8, size[0] // 8), seed=5)
    seeds = [seed for drawing in drawings for seed in drawing.seeds]
    assert sorted(seeds) == list(range(5, 5 + 384))
    assert [drawing.size for drawing in drawings[:4]].count((160, 96)) == 1


def test_a_size_that_does_not_fit_is_named(autoencoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="40x32.*multiples of 16"):
        draw_latents([((40, 32), 1)], autoencoder, tmp_path)
    with pytest.raises(ValueError, match="6 frames.*multiple of 4"):
        draw_latents([((32, 32), 1)], autoencoder, tmp_path, num_frames=6)
