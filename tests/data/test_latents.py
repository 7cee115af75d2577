"""Clips become latents once: right values, right captions, no work twice, nothing lost by a kill."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tenku.data import latents as encoding
from tenku.data.latents import encode_clips, encode_samples, read_manifest
from tenku.data.loader import Loader, load_buckets
from tenku.data.source import clips
from tenku.media.writer import write_clip
from tenku.model.autoencoder import Autoencoder, nano
from tenku.model.weights import save_module

DESCRIPTION = {
    "event": "roll",
    "floor": "grass",
    "light": "day",
    "backdrop": None,
    "neon": [],
    "camera": "pan_left",
    "direction": "left",
    "objects": [{"kind": "ball", "color": "red", "material": "rubber", "role": "main"}],
    "count": None,
    "wall": False,
    "paint": None,
    "stroke": None,
    "stays": False,
    "reveal": False,
    "same_color": False,
    "outcome": {
        "bounces": 0,
        "rest": False,
        "hit_target": False,
        "tipped": 0,
        "moved": True,
        "targets": 0,
        "over_wall": False,
    },
}


def write_sample(folder, seed: int, size=(32, 16), num_frames=8, split="train") -> None:
    """A clip whose left half is dark and whose brightness tells its seed."""
    width, height = size
    frames = np.full((num_frames, height, width, 3), 20 + 10 * seed, dtype=np.uint8)
    frames[:, :, : width // 2] = 0
    captions = {"en": [f"clip {seed}"] * 4, "zh": [f"片段 {seed}"] * 4}
    truth = {"seed": seed, "split": split, "size": size, "num_frames": num_frames, "fps": 16}
    folder.mkdir(exist_ok=True)
    path = folder / f"{seed:010d}.mp4"
    path.with_suffix(".json").write_text(
        json.dumps({**truth, "captions": captions, "description": DESCRIPTION}), encoding="utf-8"
    )
    write_clip(path, frames, 16)


class Pixels:
    """An autoencoder whose latents can be read: the mean of each 4x8x8 block of pixels."""

    spatial_compression, temporal_compression, latent_channels = 8, 4, 3

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, video):
        self.calls += 1
        return torch.nn.functional.avg_pool3d(video.float(), (4, 8, 8))


def encode(folder, out, autoencoder, *, mirror=True, shard_size=2, identity="pixels", dtype=torch.float16):
    samples = clips(folder)
    return encode_samples(samples, autoencoder, identity, out, mirror=mirror, shard_size=shard_size, dtype=dtype)


def test_latents_and_manifest_tell_the_same_story(tmp_path):
    for seed in range(5):
        write_sample(tmp_path / "clips", seed, split="validation" if seed == 4 else "train")
    write_sample(tmp_path / "clips", 9, size=(16, 16), num_frames=11)
    manifest = read_manifest(encode(tmp_path / "clips", tmp_path / "out", Pixels()).parent)
    assert [bucket["shape"] for bucket in manifest["buckets"]] == [[2, 2, 2], [2, 2, 4]]
    square, wide = manifest["buckets"]
    assert [len(shard["clips"]) for shard in wide["shards"]] == [4, 4, 2]
    for shard in wide["shards"] + square["shards"]:
        latents = load_file(tmp_path / "out" / shard["file"])["latents"]
        assert latents.dtype == torch.float16 and len(latents) == len(shard["clips"])
        for clip, value in zip(shard["clips"], latents.float(), strict=True):
            dark, bright = (value[..., -1], value[..., 0]) if clip["mirrored"] else (value[..., 0], value[..., -1])
            assert dark.mean() == pytest.approx(-1, abs=0.05)
            assert bright.mean() == pytest.approx((20 + 10 * clip["seed"]) / 127.5 - 1, abs=0.05)
    training, validation = load_buckets(tmp_path / "out")
    assert sum(len(bucket.captions) for bucket in training) == 10
    assert sum(len(bucket.captions) for bucket in validation) == 2
    assert Loader(training, 2).next().latents.shape[1] == 3


def test_mirrored_clip_has_mirrored_captions(tmp_path):
    write_sample(tmp_path / "clips", 3)
    manifest = read_manifest(encode(tmp_path / "clips", tmp_path / "out", Pixels()).parent)
    plain, mirrored = manifest["buckets"][0]["shards"][0]["clips"]
    assert plain["captions"]["en"][0] == "clip 3" and not plain["mirrored"]
    assert (plain["description"]["direction"], mirrored["description"]["direction"]) == ("left", "right")
    assert mirrored["mirrored"] and mirrored["description"]["camera"] == "pan_right"
    assert len(mirrored["captions"]["en"]) == len(mirrored["captions"]["zh"]) == 4
    assert not any("left" in caption for caption in mirrored["captions"]["en"])
    alone = read_manifest(encode(tmp_path / "clips", tmp_path / "alone", Pixels(), mirror=False).parent)
    assert len(alone["buckets"][0]["shards"][0]["clips"]) == 1


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(tmp_path, monkeypatch):
    for seed in range(6):
        write_sample(tmp_path / "clips", seed)
    encode(tmp_path / "clips", tmp_path / "whole", Pixels())
    written = []

    def write_and_die(path, *arguments, **options):
        written.append(path.name)
        if len(written) == 3:
            raise KeyboardInterrupt
        return original(path, *arguments, **options)

    original = encoding.write_tensors
    monkeypatch.setattr(encoding, "write_tensors", write_and_die)
    with pytest.raises(KeyboardInterrupt):
        encode(tmp_path / "clips", tmp_path / "out", Pixels())
    assert not (tmp_path / "out" / "manifest.json").exists()
    monkeypatch.setattr(encoding, "write_tensors", original)
    rest = Pixels()
    encode(tmp_path / "clips", tmp_path / "out", rest)
    assert rest.calls == 1  # two of three shards were there
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "out").iterdir())
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_only_what_changed_is_encoded_again(tmp_path):
    for seed in range(4):
        write_sample(tmp_path / "clips", seed)
    first, grown, other = Pixels(), Pixels(), Pixels()
    encode(tmp_path / "clips", tmp_path / "out", first)
    write_sample(tmp_path / "clips", 4)
    encode(tmp_path / "clips", tmp_path / "out", grown)
    encode(tmp_path / "clips", tmp_path / "out", other, identity="another autoencoder")
    assert (first.calls, grown.calls, other.calls) == (2, 1, 3)


def test_clips_are_found_again_wherever_they_are_in_the_list(tmp_path):
    for seed in range(6):
        write_sample(tmp_path / ("old" if seed < 4 else "new"), seed)
    write_sample(tmp_path / "same", 0)  # seed and file of another folder's
    old, new, same = (clips(tmp_path / name) for name in ("old", "new", "same"))
    out = tmp_path / "out"

    def calls(samples) -> int:
        autoencoder = Pixels()
        encode_samples(samples, autoencoder, "pixels", out, mirror=False, shard_size=2, dtype=torch.float16)
        assert sorted(clip["seed"] for clip in listed(out)) == sorted(sample.seed for sample in samples)
        return autoencoder.calls

    assert calls(old) == 2
    assert calls(new + old) == 1  # the new ones alone, though they come first
    assert calls(old[1:] + new) == 1  # 1 loses its neighbour
    assert calls(old + new) == 0  # which was kept
    assert calls(same + old + new) == 1
    values = torch.cat(read_shards(out)).float().amax((1, 2, 3, 4))
    expected = torch.tensor([(20 + 10 * clip["seed"]) / 127.5 - 1 for clip in listed(out)])
    torch.testing.assert_close(values, expected, atol=0.05, rtol=0)


def test_a_clip_that_was_drawn_anew_is_encoded_anew(tmp_path):
    for seed in range(4):
        write_sample(tmp_path / "clips", seed)
    autoencoder = Pixels()
    encode(tmp_path / "clips", tmp_path / "out", autoencoder)
    calls, before = autoencoder.calls, read_shards(tmp_path / "out")
    path = tmp_path / "clips" / f"{3:010d}.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (8, 16, 32, 3), dtype=np.uint8)
    write_clip(path, noise, 16)
    encode(tmp_path / "clips", tmp_path / "out", autoencoder)
    after = read_shards(tmp_path / "out")
    assert autoencoder.calls > calls
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, False]


def listed(out):
    return [clip for bucket in read_manifest(out)["buckets"] for shard in bucket["shards"] for clip in shard["clips"]]


def read_shards(out):
    """The latents of every shard that the manifest lists."""
    shards = [shard for bucket in read_manifest(out)["buckets"] for shard in bucket["shards"]]
    return [load_file(str(out / shard["file"]))["latents"] for shard in shards]


def test_encode_clips_uses_the_autoencoder_of_a_folder(tmp_path):
    for seed in (1, 2):
        write_sample(tmp_path / "a", seed)
        write_sample(tmp_path / "b", seed + 5, size=(16, 32))
    torch.manual_seed(0)
    autoencoder = Autoencoder(nano())
    save_module(autoencoder, autoencoder.config, tmp_path / "model" / "autoencoder", torch.float32)
    folders = [tmp_path / "a", tmp_path / "b"]
    path = encode_clips(folders, tmp_path / "model", tmp_path / "out")
    manifest = read_manifest(path.parent)
    assert manifest["latent_channels"] == autoencoder.latent_channels
    assert [bucket["size"] for bucket in manifest["buckets"]] == [[32, 16], [16, 32]]
    latents = load_file(path.parent / manifest["buckets"][0]["shards"][0]["file"])["latents"].float()
    frames = torch.from_numpy(clips(tmp_path / "a")[0].frames()).permute(3, 0, 1, 2)[None]
    expected = autoencoder.encode(frames.float() / 127.5 - 1)
    torch.testing.assert_close(latents[:1], expected, atol=0.05, rtol=0.05)


def test_bad_clips_are_named(tmp_path):
    with pytest.raises(ValueError, match="there is no clip folder"):
        clips(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no clips"):
        clips(tmp_path / "empty")
    write_sample(tmp_path / "odd", 1, size=(24, 16))
    with pytest.raises(ValueError, match="24x16; both sides must be multiples of 16"):
        encode(tmp_path / "odd", tmp_path / "out", Pixels())
    write_sample(tmp_path / "cut", 1)
    path = tmp_path / "cut" / "0000000001.mp4"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="0000000001.mp4"):
        encode(tmp_path / "cut", tmp_path / "out", Pixels())
    path.with_suffix(".json").write_text('{"seed": 1}')
    with pytest.raises(ValueError, match="0000000001.json has no 'size'"):
        clips(tmp_path / "cut")
