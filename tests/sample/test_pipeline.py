"""The pipeline end to end on a tiny untrained model: what is asked for comes out, and comes out again."""

import json
import shutil

import numpy as np
import pytest
import torch

import tenku
from tenku.loading import Components
from tenku.media.clip import Clip
from tenku.model.autoencoder import to_frames
from tenku.sample import conditioning
from tenku.sample.pipeline import Pipeline

PROMPT = "a red rubber ball drops onto the ice"


@pytest.fixture(scope="module")
def pipeline(tiny_folder):
    return tenku.load(tiny_folder, device="cpu")


@pytest.fixture(scope="module")
def clip(pipeline):
    return pipeline.generate(PROMPT, seconds=0.5, seed=7)


def test_the_clip_is_what_was_asked_for(clip):
    assert isinstance(clip, Clip)
    assert clip.frames.shape == (8, 64, 64, 3) and clip.frames.dtype == np.uint8
    assert (clip.fps, clip.seconds, clip.size) == (16, 0.5, (64, 64))
    assert clip.metadata == {
        "prompt": PROMPT,
        "negative_prompt": "",
        "seed": 7,
        "steps": 3,
        "guidance": 3.0,
        "rescale": 0.0,
        "shift": 3.0,
        "solver": "multistep",
        "model": "tiny",
        "tenku": tenku.__version__,
        "width": 64,
        "height": 64,
        "num_frames": 8,
        "fps": 16,
    }


def test_same_seed_same_frames(pipeline, clip):
    again = pipeline.generate(PROMPT, seconds=0.5, seed=7)
    assert np.array_equal(again.frames, clip.frames)


def test_a_second_load_makes_the_same_frames(tiny_folder, clip):
    again = Pipeline.load(tiny_folder, device="cpu").generate(PROMPT, seconds=0.5, seed=7)
    assert np.array_equal(again.frames, clip.frames)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"steps": 4},
        {"guidance": 6.0},
        {"rescale": 0.8},
        {"shift": 1.0},
        {"solver": "heun"},
        {"negative_prompt": "blue cubes"},
    ],
)
def test_every_setting_matters(pipeline, clip, change):
    other = pipeline.generate(**{"prompt": PROMPT, "seconds": 0.5, "seed": 7} | change)
    assert not np.array_equal(other.frames, clip.frames)
    assert all(other.metadata[key] == value for key, value in change.items())


def test_the_prompt_matters(pipeline, clip):
    other = pipeline.generate("three glossy blue cubes", seconds=0.5, seed=7)
    assert not np.array_equal(other.frames, clip.frames)


def test_a_random_seed_is_kept_and_makes_the_clip_again(pipeline):
    first = pipeline.generate(PROMPT, seconds=0, steps=1)
    again = pipeline.generate(PROMPT, seconds=0, steps=1, seed=first.metadata["seed"])
    assert np.array_equal(first.frames, again.frames)


@pytest.mark.parametrize("seconds, frames", [(0, 1), (5 / 16, 5), (1, 16), (None, 48)])
def test_exactly_as_many_frames(pipeline, seconds, frames):
    assert len(pipeline.generate("球", seconds=seconds, seed=1, steps=1).frames) == frames


def test_other_sizes(pipeline):
    assert pipeline.generate(PROMPT, seconds=0, size=(96, 48), steps=1).size == (96, 48)


def test_stages_are_reported_in_order(pipeline):
    seen = []
    pipeline.generate(PROMPT, seconds=1, steps=2, on_progress=lambda *report: seen.append(report))
    assert seen[:5] == [
        ("text", 0, 1),
        ("text", 1, 1),
        ("denoise", 0, 2),
        ("denoise", 1, 2),
        ("denoise", 2, 2),
    ]
    assert seen[5] == ("decode", 0, 4) and seen[-1] == ("decode", 4, 4)


def test_a_callback_can_cancel(pipeline):
    def stop(stage, done, total):
        if stage == "denoise" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.generate(PROMPT, seconds=1, on_progress=stop)


def test_streamed_frames_are_the_same_and_come_in_pieces(pipeline, clip):
    stream = pipeline.stream(PROMPT, seconds=0.5, seed=7)
    assert (stream.num_frames, stream.size, stream.fps) == (8, (64, 64), 16)
    frames = list(stream)
    assert np.array_equal(np.stack(frames), clip.frames)
    assert set(pipeline.timings) == {"text", "denoise", "decode"} and min(pipeline.timings.values()) >= 0
    assert len(next(pipeline.stream(PROMPT, seconds=1, steps=1).pieces)) < 16
    assert not torch.is_inference_mode_enabled()


def test_known_frames_reach_the_clip(pipeline):
    """What a picture or another clip will do: the known latent frames decode to the same pixels."""
    request = pipeline.request(PROMPT, seconds=1, seed=3, steps=2)
    given = pipeline.engine.noise(pipeline.request(PROMPT, seconds=1, seed=4))
    known = torch.tensor([True, True, False, False])
    latents = pipeline.engine.sample(request, conditioning_fn=lambda c: conditioning.with_cond_frames(c, given, known))
    assert torch.equal(latents[:, :, :2], given[:, :, :2]) and not torch.equal(latents[:, :, 2:], given[:, :, 2:])
    decoded = np.concatenate(list(pipeline.engine.decode(latents, 16)))
    expected = np.concatenate(list(pipeline.engine.decode(given, 16)))
    assert np.array_equal(decoded[:2], expected[:2])  # what follows has a part in the others


def test_models_in_training_can_be_sampled(pipeline):
    """Previews: weights that require gradients stay so, and train on afterwards."""
    transformer = type(pipeline.transformer)(pipeline.transformer.config)
    preview = Pipeline(Components(pipeline.settings, pipeline.autoencoder, pipeline.text_encoder, transformer))
    preview.generate(PROMPT, seconds=0.5, steps=1)
    assert transformer.training
    transformer(torch.randn(1, 16, 2, 8, 8), torch.rand(1), torch.randn(1, 3, 32)).sum().backward()
    assert all(parameter.requires_grad for parameter in transformer.parameters())


def test_unknown_words(pipeline):
    assert pipeline.unknown_words("a red dragon on 冰面") == ["dragon"]
    assert "ball" in pipeline.vocabulary.words
    assert pipeline.is_cut("ball " * 200) and not pipeline.is_cut(PROMPT)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"prompt": "  "}, "the prompt is empty"),
        ({"prompt": "x" * 2001}, "at most 2,000"),
        ({"size": (65, 64)}, "nearest is 64x64"),
        ({"seconds": 10**9}, "seconds must be between 0"),
        ({"steps": 0}, "steps must be between"),
    ],
)
def test_bad_input(pipeline, options, message):
    with pytest.raises(ValueError, match=message):
        pipeline.generate(**{"prompt": PROMPT} | options)


def test_models_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="no model folder nowhere; known by name: embedded"):
        tenku.load("nowhere")
    with pytest.raises(ValueError, match="has no model.json"):
        tenku.load(tmp_path)


@pytest.mark.parametrize("part", ["autoencoder", "text", "transformer"])
def test_a_part_that_is_missing(tiny_folder, tmp_path, part):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    shutil.rmtree(folder / part)
    with pytest.raises(ValueError, match=part):
        tenku.load(folder)


def test_parts_that_do_not_fit_together(tiny_folder, tmp_path, pipeline):
    text = pipeline.text_encoder
    wrong = type(pipeline.transformer)(
        type(pipeline.transformer.config)(hidden_size=48, depth=1, num_heads=2, text_size=999)
    )
    with pytest.raises(ValueError, match=f"reads text 999 wide, the text encoder gives {text.config.hidden_size}"):
        Pipeline(Components(pipeline.settings, pipeline.autoencoder, text, wrong))


def test_model_json_with_nonsense(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    values = json.loads((folder / "model.json").read_text())
    for change in (
        {"sizes": []},
        {"fps": "fast"},
        {"defaults": {}},
        {"sizes": [[1, 2, 3]]},
        {"max_frames": 0},
    ):
        (folder / "model.json").write_text(json.dumps(values | change))
        with pytest.raises(ValueError, match="model.json"):
            tenku.load(folder)


def test_pixels_to_bytes():
    video = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0]).view(1, 1, 1, 1, 5).expand(1, 3, 2, 1, 5)
    frames = to_frames(video)
    assert frames.shape == (2, 1, 5, 3) and frames[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_a_size_between_the_multiples_is_cut_from_the_middle(pipeline):
    whole = pipeline.generate(PROMPT, seconds=0.5, size=(80, 64), seed=7).frames
    cut = pipeline.generate(PROMPT, seconds=0.5, size=(74, 60), seed=7).frames
    assert np.array_equal(cut, whole[:, 2:62, 3:77])
