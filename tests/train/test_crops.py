"""Crops have one shape a batch, come from everywhere, and clips that arrive later or are damaged do no harm."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tenku.media.writer import write_clip
from tenku.train import crops
from tenku.train.crops import ClipCache, crop_shape, draw_crops


def coordinates(frames: int, height: int, width: int) -> torch.Tensor:
    """A clip in which every pixel says where it is: (time, row, column)."""
    where = np.stack(np.meshgrid(range(frames), range(height), range(width), indexing="ij"), axis=-1)
    return torch.from_numpy(where.astype(np.uint8))


def test_crop_shape() -> None:
    assert crop_shape(coordinates(48, 128, 128), 64, 12) == (12, 64, 64)
    assert crop_shape(coordinates(11, 48, 84), 64, 12) == (8, 48, 64)
    assert crop_shape(coordinates(3, 48, 80), 64, 12) == (0, 0, 0)


def test_crops_are_whole_pieces_from_everywhere() -> None:
    random = np.random.default_rng(0)
    clip = coordinates(16, 40, 48)
    starts, mirrored = set(), 0
    for _ in range(200):
        crop = draw_crops([clip], 1, 16, 8, random)[0].permute(1, 2, 3, 0).numpy().astype(int)  # T H W 3
        if crop[0, 0, 0, 2] > crop[0, 0, -1, 2]:
            mirrored, crop = mirrored + 1, crop[:, :, ::-1]
        start = crop[0, 0, 0]
        assert np.array_equal(crop - start, coordinates(8, 16, 16).numpy())
        starts.add(tuple(start))
    assert 70 < mirrored < 130
    times, rows, columns = (set(values) for values in zip(*starts, strict=True))
    assert (min(times), max(times)) == (0, 8) and max(rows) >= 20 and max(columns) >= 28


def test_motion_prob_crops_show_what_moves() -> None:
    clip = torch.full((8, 96, 96, 3), 90, dtype=torch.uint8)
    for index in range(8):
        clip[index, 70:78, 2 * index + 60 : 2 * index + 68] = 200

    def moving(motion_prob: float) -> float:
        batch = draw_crops([clip], 200, 32, 8, np.random.default_rng(1), motion_prob)
        return float((batch != 90).flatten(1).any(dim=1).float().mean())

    assert moving(1.0) > 1.5 * moving(0.0) > 0


def test_a_clip_with_more_pixels_is_drawn_more_often() -> None:
    small, large = (torch.full((8, side, side, 3), value, dtype=torch.uint8) for side, value in ((32, 0), (64, 255)))
    share = float((draw_crops([small, large], 400, 32, 8, np.random.default_rng(2)) > 0).float().mean())
    assert 0.73 < share < 0.87  # 4 of 5


def test_a_batch_has_one_shape() -> None:
    clips = [coordinates(12, 64, 64), coordinates(12, 48, 80), coordinates(12, 80, 48)]
    shapes = {tuple(draw_crops(clips, 4, 64, 12, np.random.default_rng(seed)).shape) for seed in range(30)}
    assert shapes == {(4, 3, 12, 64, 64), (4, 3, 12, 48, 64), (4, 3, 12, 64, 48)}
    with pytest.raises(ValueError, match="too small"):
        draw_crops([coordinates(3, 64, 64)], 1, 64, 12, np.random.default_rng(0))


def test_the_cache_meets_new_clips_and_passes_over_damaged_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crops, "RELIST_SECONDS", 0.05)
    write_clip(tmp_path / "a.mp4", coordinates(4, 16, 16).numpy(), 16)
    (tmp_path / "b.mp4").write_bytes(b"not a video")
    cache = ClipCache([tmp_path], 2**30)
    cache.start()
    try:
        assert len(cache.clips) == 1
        write_clip(tmp_path / "c.mp4", coordinates(4, 16, 24).numpy(), 16)
        deadline = time.monotonic() + 20
        while len(cache.clips) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [clip.shape for clip in cache.clips] == [(4, 16, 16, 3), (4, 16, 24, 3)]
        assert len(cache.skipped) == 1 and "b.mp4" in cache.skipped[0]
    finally:
        cache.close()


def test_the_cache_stops_at_its_limit(tmp_path: Path) -> None:
    for index in range(5):
        write_clip(tmp_path / f"{index}.mp4", coordinates(4, 16, 16).numpy(), 16)
    cache = ClipCache([tmp_path], 2 * 4 * 16 * 16 * 3)
    cache.start()
    cache._thread.join()
    assert len(cache.clips) == 2


def test_folders_without_a_readable_clip_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        ClipCache([tmp_path / "nowhere"], 1)
    (tmp_path / "bad.mp4").write_bytes(b"not a video")
    cache = ClipCache([tmp_path], 2**30)
    with pytest.raises(ValueError, match=r"no clips.*bad\.mp4"):
        cache.start()
    cache.close()
