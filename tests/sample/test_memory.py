"""The dry run counts what a real run uses, and picks the first plan that fits."""

import gc
from dataclasses import replace

import pytest
import torch

from tenku.model.transformer import Transformer, TransformerConfig
from tenku.sample import memory
from tenku.sample.memory import choose_plan, counting, decoding, denoising, plans_for, stages
from tenku.wan.catalogue import OPEN_WEIGHTS
from tenku.wan.memory_plan import MemoryPlan
from tenku.wan.vae import WanAutoencoder, published_autoencoder

diffusers = pytest.importorskip("diffusers")


def decode_as_planned(autoencoder, latents, tiled):
    """In tiles at once, or a latent frame at a time."""
    if tiled:
        autoencoder.decode(latents)
        return
    state = None
    for part in latents.split(1, dim=2):
        _, state = autoencoder.decode_next(part, state)


def test_live_bytes_are_counted():
    with counting() as live:
        x = torch.zeros(1000, 1000)
        y = x + 1
        part = y.view(-1)[:5]  # keeps y's memory alive
        del y
        z = x * 2
        del z
        assert live.now == 8_000_000 and live.peak == 12_000_000
        del part
        assert live.now == 4_000_000


def test_the_published_autoencoders():
    """Their parameters, as counted in the published files."""
    for channels, parameters in ((16, 126_892_531), (48, 704_688_668)):
        assert sum(p.numel() for p in published_autoencoder(channels).vae.parameters()) == parameters


@pytest.mark.parametrize("channels, size, frames", [(16, (832, 480), 81), (48, (1280, 704), 121)])
def test_encoding_takes_less_than_decoding(channels, size, frames):
    """So a plan that decodes a clip also encodes one, which is not a stage of its own."""
    autoencoder = published_autoencoder(channels)
    side = autoencoder.spatial_compression
    shape = (1, channels, autoencoder.latent_frames(frames), size[1] // side, size[0] // side)
    for autoencoder.tiled in (False, True):
        with counting() as live, memory.META:
            autoencoder.encode(torch.empty(1, 3, frames, size[1], size[0]))
        assert live.peak < decoding(autoencoder, shape)


@pytest.mark.parametrize("tiled", [False, True])
def test_the_dry_run_of_decoding_is_the_real_one(tiled):
    sizes = {"base_dim": 16, "z_dim": 4, "num_res_blocks": 1, "latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}
    shape = (1, 4, 3, 40, 24)

    def autoencoder(device):
        with torch.device(device):
            return WanAutoencoder(diffusers.AutoencoderKLWan(**sizes).eval(), tiled)

    predicted = decoding(autoencoder("meta"), shape)
    real = autoencoder("cpu")
    with counting() as live:
        decode_as_planned(real, torch.zeros(shape), tiled)
    assert predicted == pytest.approx(live.peak, rel=0.05)


def test_the_dry_run_of_denoising_is_the_real_one(monkeypatch):
    from tenku.sample.conditioning import Conditioning
    from tenku.sample.guidance import guided_velocity

    config = TransformerConfig(4, hidden_size=256, depth=3, num_heads=2, ffn_size=1024, text_size=64)
    monkeypatch.setattr(memory, "TEXT_SIZE", 64)
    shape = (1, 4, 5, 32, 32)
    with torch.device("meta"):
        transformer = Transformer(config).to(torch.bfloat16)
    found = {sequential_cfg: denoising(transformer, shape, sequential_cfg) for sequential_cfg in (False, True)}
    assert found[True] < 0.6 * found[False]

    real = Transformer(config).to(torch.bfloat16).requires_grad_(False)
    with counting() as live:
        text = torch.zeros(1, memory.TEXT_TOKENS, 64, dtype=torch.bfloat16)
        velocity = guided_velocity(real, Conditioning(text, None, torch.zeros_like(text), None), 5.0)
        kept = torch.zeros(3, *shape)
        velocity(torch.zeros(shape), torch.ones(1), 1.0)
        del kept
    assert found[False] == pytest.approx(live.peak, rel=0.1)


def test_plans_go_from_fast_to_frugal():
    entry = OPEN_WEIGHTS["wan2.2-5b"]
    size, frames = (1280, 704), 121
    needs = [max(stages(entry, plan, size, frames, "cuda").values()) for plan in memory.PLANS]
    assert needs == sorted(needs, reverse=True) and needs[-1] < 0.3 * needs[0]
    assert choose_plan(entry, size, frames, 90 * 10**9, "cuda")[0] == MemoryPlan()
    plan, need = choose_plan(entry, size, frames, 24 * 10**9, "cuda")
    assert plan.model_offload and max(need.values()) < 24e9  # the card on which others run out of memory at decode
    with pytest.raises(ValueError, match=r"wan2.2-5b at 1280x704 with 121 frames needs [\d.]+ GB at least \(to \w+\)"):
        choose_plan(entry, size, frames, 2 * 10**9, "cuda")
    assert not any(plan.block_offload for plan in plans_for("cpu"))


def test_two_experts_take_turns():
    entry = OPEN_WEIGHTS["wan2.2-a14b"]
    together, apart = (
        stages(entry, MemoryPlan(model_offload=apart), (832, 480), 17, "cuda")["denoise"] for apart in (False, True)
    )
    one = 2 * 14_288_491_584
    assert together - apart > one
    assert stages(replace(entry, experts=1), MemoryPlan(model_offload=True), (832, 480), 17, "cuda")["denoise"] == apart


def test_an_unknown_way_to_hold_weights_is_refused():
    with pytest.raises(ValueError, match="weights are held as bf16, int8, fp8, not 'int4'"):
        MemoryPlan("int4")


def seen_on_the_gpu(name, predicted, work):
    """Bytes that the GPU's allocator gave to `work`, printed beside what was predicted without GPU_OVERHEAD."""
    torch.cuda.synchronize()
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with torch.inference_mode():
        work()
    torch.cuda.synchronize()
    seen, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    free, total = torch.cuda.mem_get_info()
    outside = total - free - torch.cuda.memory_reserved()  # context and libraries, and other processes
    print(f"{name}: {predicted / 1e9:.3f} GB predicted, {seen / 1e9:.3f} allocated, {reserved / 1e9:.3f} reserved,")
    print(f"{outside / 1e9:.3f} outside the allocator where {memory.GPU_OVERHEAD / 1e9:.3f} is reckoned with")
    return seen, outside


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("sequential_cfg", [False, True])
def test_the_prediction_of_a_step_on_a_gpu(sequential_cfg):
    """Within 10 % of what the GPU's allocator gave, for wan2.1-1.3b with random weights."""
    from tenku.model.presets import get
    from tenku.sample.conditioning import Conditioning
    from tenku.sample.guidance import guided_velocity

    entry, size, frames = OPEN_WEIGHTS["wan2.1-1.3b"], (832, 480), 33
    plan = MemoryPlan(model_offload=True, sequential_cfg=sequential_cfg)
    predicted = stages(entry, plan, size, frames, "cuda")["denoise"] - memory.GPU_OVERHEAD
    with torch.device("cuda"):
        transformer = Transformer(get(entry.preset).transformer).to(torch.bfloat16).requires_grad_(False)

    def step():
        with torch.device("cuda"):
            text = torch.zeros(1, 512, 4096, dtype=torch.bfloat16)
            velocity = guided_velocity(
                transformer, Conditioning(text, None, torch.zeros_like(text), None), 5.0, sequential_cfg=sequential_cfg
            )
            kept = torch.zeros(3, 1, 16, 9, 60, 104)
            velocity(kept[0].clone(), torch.ones(1), 1.0)

    seen, outside = seen_on_the_gpu("a step", predicted, step)
    assert predicted == pytest.approx(seen, rel=0.1)
    assert seen + outside < (predicted + memory.GPU_OVERHEAD) / memory.USABLE  # what is held free for it


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("tiled", [False, True])
def test_the_prediction_of_decoding_on_a_gpu(tiled):
    """The same for the published decoder, three latent frames. What cuDNN works in is the allocator's too."""
    entry, size, frames = OPEN_WEIGHTS["wan2.1-1.3b"], (832, 480), 9
    predicted = (
        stages(entry, MemoryPlan(model_offload=True, tiled=tiled), size, frames, "cuda")["decode"] - memory.GPU_OVERHEAD
    )
    with torch.device("cuda"):
        autoencoder = WanAutoencoder(diffusers.AutoencoderKLWan().eval().requires_grad_(False), tiled)

    def decode():
        decode_as_planned(autoencoder, torch.zeros(1, 16, 3, 60, 104, device="cuda"), tiled)

    seen, outside = seen_on_the_gpu("decoding", predicted, decode)
    assert predicted == pytest.approx(seen, rel=0.1)
    assert seen + outside < (predicted + memory.GPU_OVERHEAD) / memory.USABLE


def test_what_stays_on_the_gpu_beside_streamed_blocks_is_counted():
    """Both experts' weights around their blocks, in every stage."""
    entry = OPEN_WEIGHTS["wan2.2-a14b"]
    plan = MemoryPlan(model_offload=True, tiled=True, sequential_cfg=True, block_offload=True)
    two, one = (stages(replace(entry, experts=experts), plan, (832, 480), 17, "cuda") for experts in (2, 1))
    around = {two[stage] - one[stage] for stage in two}
    assert len(around) == 1 and 0.3e9 < around.pop() < 1e9
