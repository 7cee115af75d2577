"""A folder in diffusers' layout, tiny and random, gives in our pipeline what it gives in diffusers' own."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_wan import diffusers, wan_autoencoder, write_pipeline

from tenku.cli import main
from tenku.media.clip import Clip
from tenku.model.autoencoder import to_frames
from tenku.sample import conditioning, edits
from tenku.sample.denoise import denoise
from tenku.sample.pipeline import Pipeline
from tenku.sample.storyboard import Card, Storyboard, produce
from tenku.wan.experts import Experts, move
from tenku.wan.memory_plan import MemoryPlan
from tenku.wan.vae import load_wan_autoencoder

PROMPT, NEGATIVE = "A cat &amp; a dog\n run on the  beach.", "blurry"
SIZE, FRAMES, STEPS = (64, 96), 9, 5  # width, height


@pytest.fixture(scope="module", params=["2.1", "5b", "a14b"])
def folder(request, tmp_path_factory):
    return write_pipeline(tmp_path_factory.mktemp("wan") / request.param, request.param)


@pytest.fixture(scope="module")
def ours(folder):
    return Pipeline.load(folder, device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def theirs(folder):
    pipeline = diffusers.WanPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ask(pipeline):
    return pipeline.request(
        PROMPT,
        negative_prompt=NEGATIVE,
        seconds=FRAMES / pipeline.settings.fps,
        size=SIZE,
        steps=STEPS,
        seed=3,
        guidance=4.0,
    )


def relative(ours, theirs):
    return float((ours - theirs).abs().max() / theirs.abs().max())


def test_text_to_video_is_diffusers(ours, theirs):
    request = ask(ours)
    expected = theirs(
        PROMPT,
        NEGATIVE,
        height=SIZE[1],
        width=SIZE[0],
        num_frames=FRAMES,
        num_inference_steps=STEPS,
        guidance_scale=4.0,
        latents=ours.noise(request),
        output_type="latent",
    ).frames
    found = ours.latents(request)
    assert found.std() > 0.3  # the networks do something
    print(f"relative error {relative(found, expected):.1e}")
    assert relative(found, expected) < 1e-4
    # To pixels: theirs at once, ours a latent frame at a time.
    scale = 1 / torch.tensor(theirs.vae.config.latents_std).view(1, -1, 1, 1, 1)
    shifted = expected / scale + torch.tensor(theirs.vae.config.latents_mean).view(1, -1, 1, 1, 1)
    with torch.no_grad():
        video = theirs.vae.decode(shifted).sample[0]
    pixels = ((video + 1) * 127.5).round().permute(1, 2, 3, 0).numpy()
    frames = ours.run(request).clip().frames
    assert frames.shape == (FRAMES, SIZE[1], SIZE[0], 3)
    assert np.abs(frames - pixels).max() <= 1


def test_image_to_video_with_the_first_frame_known(tmp_path):
    folder = write_pipeline(tmp_path / "5b", "5b")
    ours = Pipeline.load(folder, device="cpu", dtype=torch.float32)
    text = diffusers.WanPipeline.from_pretrained(folder)
    theirs = diffusers.WanImageToVideoPipeline(
        tokenizer=text.tokenizer,
        text_encoder=text.text_encoder,
        vae=text.vae,
        scheduler=text.scheduler,
        transformer=text.transformer,
        expand_timesteps=True,
    )
    theirs.set_progress_bar_config(disable=True)
    request = ask(ours)
    picture = torch.rand(1, 3, SIZE[1], SIZE[0], generator=torch.Generator().manual_seed(5))
    noise = ours.noise(request)
    expected = theirs(
        image=picture,
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        height=SIZE[1],
        width=SIZE[0],
        num_frames=FRAMES,
        num_inference_steps=STEPS,
        guidance_scale=4.0,
        latents=noise,
        output_type="latent",
    ).frames

    with torch.no_grad():
        first = ours.autoencoder.encode(2 * picture[:, :, None] - 1)  # B C 1 h w
        known = torch.zeros(noise.shape[2], dtype=torch.bool)
        known[0] = True
        latents = torch.cat([first, torch.zeros_like(noise[:, :, 1:])], dim=2)
        condition = conditioning.from_text(ours.text_encoder, [request.prompt], NEGATIVE)
        condition = conditioning.with_known_frames(condition, latents, known)
        found = denoise(ours.transformer, noise, condition, request.params)
    assert torch.equal(found[:, :, :1], first)
    print(f"relative error {relative(found, expected):.1e}")
    assert relative(found, expected) < 1e-4


@pytest.mark.parametrize("kind", ["2.1", "5b"])
def test_tiles_and_pieces_decode_as_diffusers_does(tmp_path, kind):
    wan_autoencoder(kind).save_pretrained(tmp_path / "vae")
    ours = load_wan_autoencoder(tmp_path)
    theirs = ours.vae
    theirs.tile_sample_min_height = theirs.tile_sample_min_width = 64
    theirs.tile_sample_stride_height = theirs.tile_sample_stride_width = 48
    compression = ours.spatial_compression
    latents = torch.randn(1, ours.latent_channels, 3, 128 // compression, 96 // compression)
    with torch.no_grad():
        whole = ours.decode(latents)
        assert whole.shape == (1, 3, 9, 128, 96)
        first, state = ours.decode_next(latents[:, :, :1])
        rest, _ = ours.decode_next(latents[:, :, 1:], state)
        again, _ = ours.decode_next(latents[:, :, 1:], state)  # a state can be used twice
        assert torch.equal(torch.cat([first, rest], dim=2), whole) and torch.equal(rest, again)
        ours.tiled = theirs.use_tiling = True
        tiled = ours.decode(latents)
        raw = latents * ours.latent_std + ours.latent_mean
        torch.testing.assert_close(tiled, theirs.decode(raw).sample, atol=1e-6, rtol=0)
        assert not torch.allclose(tiled, whole, atol=1e-4)  # it did decode in tiles
        with pytest.raises(ValueError, match="it has no next piece"):
            ours.decode_next(latents[:, :, 2:], state)
        again = ours.encode(tiled)
        expected = theirs.encode(tiled).latent_dist.mode()
        torch.testing.assert_close(again * ours.latent_std + ours.latent_mean, expected, atol=1e-5, rtol=0)
        ours.tiled = False
        assert not torch.allclose(ours.encode(tiled), again, atol=1e-4)  # it did encode in tiles


def test_an_exported_model_gives_the_same_latents_in_diffusers(tiny_folder, tmp_path):
    assert main(["export", str(tiny_folder), "--out", str(tmp_path / "model"), "--layout", "diffusers"]) == 0
    ours = Pipeline.load(tmp_path / "model", device="cpu")
    for part in (ours.transformer, ours.autoencoder):
        part.float()
    theirs = diffusers.WanTransformer3DModel.from_pretrained(tmp_path / "model", subfolder="transformer").float()
    request = ours.request("a red ball", negative_prompt="blue", seed=1, steps=4, guidance=3.0, solver="unipc")
    request = replace(request, params=replace(request.params, num_train_timesteps=1000))

    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=request.params.shift
    )
    scheduler.set_timesteps(4)
    with torch.no_grad():
        prompt, negative = (ours.text_encoder.encode([text])[0] for text in ("a red ball", "blue"))
        latents = ours.noise(request)
        for t in scheduler.timesteps:
            towards, away = (
                theirs(hidden_states=latents, timestep=t[None], encoder_hidden_states=text, return_dict=False)[0]
                for text in (prompt, negative)
            )
            latents = scheduler.step(away + 3.0 * (towards - away), t, latents, return_dict=False)[0]
    assert relative(ours.latents(request), latents) < 1e-4


def test_a_folder_is_a_model_like_any_other(folder):
    pipeline = Pipeline.load(folder, device="cpu")
    assert isinstance(pipeline.transformer, Experts) == (folder / "transformer_2").exists()
    clip = pipeline.generate("a dog", seconds=0, size=(64, 64), steps=2, seed=1)
    assert clip.frames.shape == (1, 64, 64, 3) and clip.metadata["solver"] == "unipc"
    assert pipeline.unknown_words("flabbergasted") == [] and not pipeline.is_cut("a dog")


@pytest.fixture(scope="module")
def plain_folder(tmp_path_factory):
    return write_pipeline(tmp_path_factory.mktemp("plain") / "wan", "2.1")


@pytest.fixture
def copied(plain_folder, tmp_path):
    """A folder to change."""
    return Path(shutil.copytree(plain_folder, tmp_path / "wan"))


def test_the_command_makes_a_video(copied, tmp_path, capsys):
    out = tmp_path / "dog.mp4"
    arguments = ["generate", "a dog", "--model", str(copied), "--out", str(out), "--size", "64x64", "--seed", "1"]
    assert main([*arguments, "--steps", "2", "--seconds", "0.5", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["frames"] == 8 and line["solver"] == "unipc" and line["model"] == "wan"
    assert main([*arguments, "--weights", "int4"]) == 2
    assert "weights are held as bf16, int8, fp8, not 'int4'" in capsys.readouterr().err
    assert main(["generate", "a dog", "--weights", "int8"]) == 2
    assert "--weights is for open weights" in capsys.readouterr().err
    assert main(["vocabulary", "--model", str(copied)]) == 2
    assert "reads any words" in capsys.readouterr().err


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("file", ["transformer/config.json", "vae/config.json", "text_encoder/config.json"])
def test_a_config_that_names_code_is_refused(copied, file, capsys):
    rewrite(copied / file, auto_map={"AutoModel": "evil.Model"})
    assert main(["generate", "a dog", "--model", str(copied)]) == 2
    assert "has 'auto_map', which names code to run: it is not loaded" in capsys.readouterr().err


def test_a_tokenizer_that_names_code_is_refused(copied):
    rewrite(copied / "tokenizer" / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    with pytest.raises(ValueError, match="tokenizer_config.json has 'auto_map'"):
        Pipeline.load(copied)


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_a_pickle_is_refused(copied, part):
    for path in (copied / part).glob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))
    with pytest.raises(ValueError, match="a pickle, which can run code; only safetensors are loaded"):
        Pipeline.load(copied)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("scheduler/scheduler_config.json", {"flow_shift": [1]}, "flow_shift should be a number"),
        ("vae/config.json", {"z_dim": "x"}, "is none of a Wan autoencoder"),
    ],
)
def test_a_wrong_value_is_named_with_its_file(copied, file, change, said, capsys):
    rewrite(copied / file, **change)
    assert main(["generate", "a cat", "--model", str(copied), "--size", "64x64"]) == 2
    error = capsys.readouterr().err
    assert said in error and file.split("/")[1] in error


def test_open_weights_are_not_exported(copied, tmp_path, capsys):
    for name in (str(copied), "wan2.2-5b"):
        assert main(["export", name, "--out", str(tmp_path / "out")]) == 2
        assert "there is nothing to export" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_parts_that_do_not_fit_are_named(copied):
    rewrite(copied / "vae" / "config.json", _class_name="AutoencoderKL")
    with pytest.raises(ValueError, match="'AutoencoderKL' is not Wan's AutoencoderKLWan"):
        Pipeline.load(copied)
    rewrite(copied / "text_encoder" / "config.json", model_type="t5")
    rewrite(copied / "vae" / "config.json", _class_name="AutoencoderKLWan")
    with pytest.raises(ValueError, match="model_type 't5' is not umt5"):
        Pipeline.load(copied)


def test_the_second_expert_has_a_guidance_of_its_own_unless_one_is_asked_for(folder, ours, monkeypatch):
    if folder.name != "a14b":
        return
    asked = []
    for name, network in zip(("high", "low"), ours.transformer.parts(), strict=True):
        forward = network.forward
        monkeypatch.setattr(
            network,
            "forward",
            lambda *arguments, name=name, forward=forward, texts=1, **more: (
                asked.append((name, texts)) or forward(*arguments, texts=texts, **more)
            ),
        )
    monkeypatch.setattr(
        ours, "settings", replace(ours.settings, defaults=replace(ours.settings.defaults, guidance_scale_2=3.0))
    )
    options = {"seconds": 0, "size": (64, 64), "steps": 4, "seed": 1}
    ours.generate(PROMPT, **options)
    assert set(asked) == {("high", 2), ("low", 2)}
    asked.clear()
    ours.generate(PROMPT, guidance=1.0, **options)
    assert set(asked) == {("high", 1), ("low", 1)}
    asked.clear()
    ours.settings = replace(ours.settings, defaults=replace(ours.settings.defaults, guidance_scale=1.0))
    ours.generate(PROMPT, **options)
    assert set(asked) == {("high", 1), ("low", 2)}


def test_weights_in_8_bits_take_turns(tmp_path):
    """Within inference mode, where torchao's tensors refuse to move by themselves."""
    pytest.importorskip("torchao")
    pipeline = Pipeline.load(
        write_pipeline(tmp_path / "a14b", "a14b"), device="cpu", plan=MemoryPlan(weight_dtype="int8")
    )
    high, low = pipeline.transformer.parts()
    with torch.inference_mode():
        move(high, torch.device("meta"))  # the other device of this machine
    assert high.device.type == "meta" and low.device.type == "cpu"


def test_two_experts_need_a_boundary(tmp_path):
    folder = write_pipeline(tmp_path / "a14b", "a14b")
    rewrite(folder / "model_index.json", boundary_ratio=None)
    with pytest.raises(ValueError, match="two transformers, but no boundary_ratio between them"):
        Pipeline.load(folder)


def test_texts_one_by_one_and_parts_apart_change_nothing(copied):
    plain = Pipeline.load(copied, device="cpu", dtype=torch.float32)
    frugal = Pipeline.load(
        copied,
        device="cpu",
        dtype=torch.float32,
        plan=MemoryPlan(model_offload=True, tiled=True, sequential_cfg=True, block_offload=True),
    )
    assert not frugal.text_encoder.keep and plain.text_encoder.keep
    request = ask(plain)
    torch.testing.assert_close(frugal.latents(request), plain.latents(request), atol=1e-5, rtol=1e-5)
    assert frugal.text_encoder._model is None  # given back


def some_clip(frames):
    noise = np.random.default_rng(0).integers(0, 256, (frames, SIZE[1], SIZE[0], 3), dtype=np.uint8)
    return Clip(noise, 16)


def test_frames_are_held_by_models_that_were_not_trained_for_it(ours):
    """Shown as noisy as the rest, they still come out as given; the 5B, trained for it, sees the first one clean."""
    picture, levels = some_clip(1), []
    forward = [network.forward for network in ours.networks]

    def watched(network, *arguments, **more):
        levels.append(arguments[1])
        return network(*arguments, **more)

    options = {"size": SIZE, "seconds": FRAMES / ours.settings.fps, "steps": 3, "seed": 1}
    for network, call in zip(ours.networks, forward, strict=True):
        network.forward = partial(watched, call)
    try:
        clip = edits.animate(ours, PROMPT, picture, **options).clip()
        asked = list(levels)
        levels.clear()
        edits.animate(ours, PROMPT, picture, picture, **options).clip()
    finally:
        for network in ours.networks:
            del network.forward
    clean = ours.settings.known == "first"
    assert all(level.ndim == (2 if clean else 1) for level in asked)
    assert all((level.view(-1)[0] == 0) == clean for level in asked)
    assert all(level.ndim == 1 for level in levels)  # a last frame was never shown clean to any of them
    with torch.inference_mode():
        own = ours.autoencoder.decode(ours.encode(picture.frames))
    assert np.array_equal(clip.frames[:1], to_frames(own)) and len(clip.frames) == FRAMES


def test_a_clip_is_remixed_within_one_window(ours):
    given = some_clip(11)
    with torch.inference_mode():
        own = to_frames(ours.autoencoder.decode(ours.encode(given.frames[:9]))).astype(int)
    little, much = (
        np.abs(edits.remix(ours, PROMPT, given, strength, size=SIZE, steps=3, seed=1).clip().frames - own).mean()
        for strength in (0.01, 0.9)
    )
    assert little < 12 and much > 2 * little
    with pytest.raises(ValueError, match="has one strength for all frames; embedded can change it"):
        edits.remix(ours, PROMPT, given, (0.1, 0.9), size=SIZE)


def test_cards_stand_in_one_window(ours):
    seconds = FRAMES / ours.settings.fps
    board = Storyboard(seconds, (Card(0, PROMPT, some_clip(1)), Card(4 / ours.settings.fps, "A dog", some_clip(4))))
    made = produce(ours, board, size=SIZE, steps=3, seed=1).clip()
    assert len(made.frames) == FRAMES
