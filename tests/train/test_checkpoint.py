import pytest
import torch

from tenku.train import checkpoint


def save(run, step):
    tensors = {"model": {"w": torch.full((2, 3), float(step))}}
    return checkpoint.save(run, step, tensors, {"step": step, "note": "ok"})


def test_round_trip_keeps_tensors_and_state(tmp_path):
    strided = torch.arange(6.0).view(2, 3).T
    groups = {"a": {"x": strided, "y": strided}, "b": {"n": torch.tensor(2)}}
    folder = checkpoint.save(tmp_path, 3, groups, {"samples": 96})
    tensors, state = checkpoint.load(folder)
    assert torch.equal(tensors["a"]["x"], strided) and torch.equal(tensors["a"]["y"], strided)
    assert tensors["b"]["n"].item() == 2 and state == {"samples": 96}


def test_latest_skips_what_was_not_finished(tmp_path):
    assert checkpoint.latest(tmp_path) is None
    save(tmp_path, 1)
    newer = save(tmp_path, 2)
    (newer / "COMPLETE").unlink()  # killed between rename and marker
    (tmp_path / "checkpoints" / ".step-00000003.partial").mkdir()  # killed while writing
    found = checkpoint.latest(tmp_path)
    assert found is not None and found.name == "step-00000001"
    with pytest.raises(ValueError, match="not a complete checkpoint"):
        checkpoint.load(newer)
    assert checkpoint.load(save(tmp_path, 2))[1]["step"] == 2  # and the leftovers are in nobody's way


def test_only_the_last_two_are_kept(tmp_path):
    for step in (5, 10, 15, 20):
        save(tmp_path, step)
    assert [path.name for path in checkpoint.completed(tmp_path)] == ["step-00000015", "step-00000020"]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_damaged_checkpoint_is_named(tmp_path):
    folder = save(tmp_path, 1)
    (folder / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(ValueError, match="step-00000001 is damaged"):
        checkpoint.load(folder)


def test_random_state_goes_round_through_the_disk(tmp_path):
    generator = torch.Generator().manual_seed(4)
    torch.rand(3, generator=generator)
    folder = checkpoint.save(tmp_path, 1, {"random": checkpoint.random_state({"data": generator})}, {})
    expected, expected_global = torch.rand(5, generator=generator), torch.rand(2)
    fresh = torch.Generator()
    tensors, _ = checkpoint.load(folder)
    checkpoint.restore_random_state({"data": fresh}, tensors["random"])
    assert torch.equal(torch.rand(5, generator=fresh), expected)
    assert torch.equal(torch.rand(2), expected_global)
    with pytest.raises(ValueError, match="'noise'"):
        checkpoint.restore_random_state({"noise": fresh}, tensors["random"])
