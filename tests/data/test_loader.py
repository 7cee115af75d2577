import json

import pytest
import torch
from safetensors.torch import save_file

from tenku.data.loader import Bucket, Lengths, Loader, all_captions, held_out_seeds, load_buckets


def captions(k: int) -> dict[str, list[str]]:
    return {"en": [f"clip {k}", f"clip {k} in full"], "zh": [f"片段{k}"]}


def bucket(count: int, frames: int, height: int, width: int) -> Bucket:
    """Latents that tell which clip and frame they are: channel 0 is the clip, channel 1 the frame."""
    latents = torch.zeros(count, 2, frames, height, width, dtype=torch.bfloat16)
    latents[:, 0] = torch.arange(count)[:, None, None, None]
    latents[:, 1] = torch.arange(frames)[None, :, None, None]
    return Bucket(f"t{frames}-h{height}-w{width}", latents, [captions(k) for k in range(count)])


def test_a_batch_has_one_shape_and_the_captions_of_its_clips():
    loader = Loader([bucket(20, 6, 4, 4), bucket(10, 3, 2, 6)], batch_size=8, seed=1)
    shapes = set()
    for _ in range(60):
        batch = loader.next()
        clips, _, frames, height, width = batch.latents.shape
        assert len(batch.captions) == clips and batch.latents.dtype == torch.float32
        for k, caption in enumerate(batch.captions):
            clip = int(batch.latents[k, 0, 0, 0, 0])
            assert caption in [c for told in captions(clip).values() for c in told]
            steps = batch.latents[k, 1, :, 0, 0].diff()
            assert (steps == 1).all()  # neighbouring frames stay neighbours
        shapes.add((frames, height, width))
    assert {(6, 4, 4), (3, 2, 6), (1, 4, 4)} <= shapes


def test_lengths_are_drawn_as_asked_and_shorter_batches_hold_more():
    loader, lengths = Loader([bucket(30, 8, 2, 2)], 8), Lengths(full=0.6, shorter=0.2, still=0.2)
    frames = []
    for _ in range(400):
        latents = loader.next(lengths).latents
        frames.append(latents.shape[2])
        assert len(latents) == min(32, round(8 * 8 / latents.shape[2]))
    assert frames.count(8) / 400 == pytest.approx(0.6, abs=0.08)
    assert frames.count(1) / 400 == pytest.approx(0.2 + 0.2 / 7, abs=0.07)
    with pytest.raises(ValueError, match="add up to 1, not 1.2"):
        Lengths(full=1.0, shorter=0.1, still=0.1)


def test_most_pieces_start_where_the_event_does():
    loader, lengths = Loader([bucket(30, 8, 2, 2)], 16), Lengths(0.0, 1.0, 0.0, from_start=0.8)
    starts = torch.cat([loader.next(lengths).latents[:, 1, 0, 0, 0] for _ in range(100)])
    assert 0.8 < (starts == 0).float().mean() < 0.95
    assert starts.max() >= 5


def test_state_of_the_generator_is_the_state_of_the_loader():
    whole, resumed = (Loader([bucket(20, 6, 4, 4)], 8, seed=3) for _ in range(2))
    for _ in range(5):
        whole.next()
    resumed.generator.set_state(whole.generator.get_state())
    for _ in range(5):
        a, b = whole.next(), resumed.next()
        assert torch.equal(a.latents, b.latents) and a.captions == b.captions


def write_latents(folder, splits):
    clips = [
        {"seed": k // 2, "split": split, "mirrored": bool(k % 2), "captions": captions(k), "description": {}}
        for k, split in enumerate(split for split in splits for _ in range(2))
    ]
    latents = torch.arange(float(len(clips)))[:, None, None, None, None].expand(-1, 2, 3, 2, 2)
    save_file({"latents": latents.contiguous().bfloat16()}, str(folder / "a-00000.safetensors"))
    shard = {"file": "a-00000.safetensors", "clips": clips}
    manifest = {
        "format": 1,
        "fps": 16,
        "latent_channels": 2,
        "spatial_compression": 8,
        "temporal_compression": 4,
        "buckets": [{"name": "a", "shape": [3, 2, 2], "size": [16, 16], "shards": [shard]}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_without_a_validation_split_some_seeds_are_held_out_with_their_mirrors(tmp_path):
    write_latents(tmp_path, ["train"] * 60)
    training, validation = load_buckets(tmp_path)
    first, mirrored = validation[0].latents[:, 0, 0, 0, 0].tolist()
    assert first % 2 == 0 and mirrored == first + 1
    assert len(training[0].captions) == 118 and len(all_captions(validation)) == 6


def test_clips_that_come_later_hold_out_none_that_was_trained_on():
    def clips(count):
        return [{"seed": seed, "split": "train"} for seed in range(count)]

    few, many = held_out_seeds(clips(1000)), held_out_seeds(clips(5000))
    assert len(few) == 20 and len(many) == 64
    assert {seed for seed in many if seed < 1000} <= few
    assert len([seed for seed in many if seed < 2500]) > 15  # from everywhere


def test_of_a_few_clips_none_is_held_out(tmp_path):
    write_latents(tmp_path, ["train"] * 24)
    training, validation = load_buckets(tmp_path)
    assert len(training[0].captions) == 48 and not validation


def test_splits_of_the_manifest_are_kept_apart(tmp_path):
    write_latents(tmp_path, ["train"] * 5 + ["validation"] * 2 + ["combinations"])
    training, validation = load_buckets(tmp_path)
    assert training[0].latents[:, 0, 0, 0, 0].tolist() == list(range(10))
    assert validation[0].latents[:, 0, 0, 0, 0].tolist() == list(range(10, 14))


def test_missing_and_wrong_shards_are_named(tmp_path):
    with pytest.raises(ValueError, match="tenku encode"):
        load_buckets(tmp_path)
    write_latents(tmp_path, ["train"] * 3)
    (tmp_path / "a-00000.safetensors").rename(tmp_path / "b")
    with pytest.raises(ValueError, match="a-00000.safetensors cannot be read"):
        load_buckets(tmp_path)
    save_file({"latents": torch.zeros(6, 3, 3, 2, 2)}, str(tmp_path / "a-00000.safetensors"))
    with pytest.raises(ValueError, match=r"\(6, 3, 3, 2, 2\), the manifest says \(6, 2, 3, 2, 2\)"):
        load_buckets(tmp_path)
