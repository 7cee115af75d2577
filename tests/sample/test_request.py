"""What a model cannot make is refused before any work, with a message that says what would do."""

from dataclasses import replace

import pytest

from tenku.model.settings import ModelSettings, SamplingParams
from tenku.sample.request import make_request

SETTINGS = ModelSettings(
    "test", fps=16, sizes=((128, 128), (160, 96)), max_frames=48, defaults=SamplingParams(8, 3.0, 2.0)
)


def request(prompt="a red ball", **options):
    return make_request(SETTINGS, 16, prompt, **options)


def test_defaults_come_from_the_model():
    made = request(" a red ball\n")
    assert (made.prompt, made.negative_prompt) == ("a red ball", "")
    assert (made.num_frames, made.width, made.height) == (48, 128, 128)
    assert made.params == SETTINGS.defaults
    assert 0 <= made.seed < 2**32 and request().seed != made.seed


def test_a_models_own_negative_prompt_stands_unless_another_is_given():
    settings = replace(SETTINGS, negative="blurry")
    for given, used in ((None, "blurry"), ("", ""), ("dark", "dark")):
        assert make_request(settings, 16, "a red ball", negative_prompt=given).negative_prompt == used


def test_options_replace_them():
    made = request(
        seconds=1,
        size=(96, 64),
        seed=7,
        steps=20,
        guidance=1.5,
        rescale=0.5,
        shift=4,
        solver="heun",
        negative_prompt="blue",
    )
    assert (made.num_frames, made.width, made.height, made.seed) == (16, 96, 64, 7)
    assert made.params == SamplingParams(20, 1.5, 4.0, "heun", guidance_rescale=0.5) and made.negative_prompt == "blue"


@pytest.mark.parametrize(
    "seconds, frames", [(0, 1), (0.001, 1), (1 / 16, 1), (0.5, 8), (0.53, 8), (0.54, 9), (3, 48), (3.02, 48)]
)
def test_seconds_are_rounded_to_frames(seconds, frames):
    assert request(seconds=seconds).num_frames == frames


@pytest.mark.parametrize("prompt", ["é" * 2000, "🎉", "红球", "0"])
def test_prompts_that_are_fine(prompt):
    assert request(prompt).prompt == prompt


@pytest.mark.parametrize(
    "prompt, message",
    [
        ("", "the prompt is empty"),
        (" \n\t\u3000", "the prompt is empty"),
        ("x" * 10_000, "10,000 characters; at most 2,000"),
        ("\ud83d", "lone surrogate"),
        (None, "must be text, got NoneType"),
        (b"ball", "must be text, got bytes"),
    ],
)
def test_prompts_that_are_not(prompt, message):
    with pytest.raises(ValueError, match=message):
        request(prompt)
    if prompt and isinstance(prompt, str) and prompt.strip():
        with pytest.raises(ValueError, match="negative prompt"):
            request(negative_prompt=prompt)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"seconds": -1}, r"between 0 \(a still picture\) and 3600, got -1"),
        ({"seconds": 3601}, "and 3600, got 3601"),
        ({"seconds": 1e9}, "and 3600, got 1e\\+09"),
        ({"seconds": float("nan")}, "finite"),
        ({"seconds": float("inf")}, "finite"),
        ({"seconds": "long"}, "seconds must be a number, got 'long'"),
        ({"size": (101, 128)}, "must be even and between 32 and 320; the nearest is 100x128"),
        ({"size": (20, 103)}, "the nearest is 32x102"),
        ({"size": (0, 64)}, "the nearest is 32x64"),
        ({"size": (-64, 64)}, "the nearest is 32x64"),
        ({"size": (10**9, 64)}, "the nearest is 320x64"),
        ({"size": (64.5, 64)}, "width must be a whole number"),
        ({"size": 128}, r"size must be \(width, height\), got 128"),
        ({"size": (1, 2, 3)}, "size must be"),
        ({"steps": 0}, "steps must be between 1 and 1000, got 0"),
        ({"steps": 1001}, "steps must be between"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"guidance": 51}, "guidance must be between 0 and 50"),
        ({"guidance": float("nan")}, "guidance must be a finite number"),
        ({"shift": -2}, "shift must be between"),
        ({"solver": "rk4"}, "unknown solver 'rk4'"),
        ({"seed": -1}, "seed must be between 0"),
        ({"seed": 2**63}, "seed must be between 0"),
        ({"seed": 1.5}, "seed must be a whole number"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        request(**options)


@pytest.mark.parametrize("size", [(101, 101), (1, 10**6), (31, 319)])
def test_the_size_it_suggests_is_accepted(size):
    with pytest.raises(ValueError) as error:
        request(size=size)
    width, height = str(error.value).rsplit(" ", 1)[1].split("x")
    assert request(size=(int(width), int(height))).width >= int(width)


def test_other_sizes_are_cut_out_of_the_next_multiples():
    made = request(size=(192, 108))
    assert (made.width, made.height, made.crop) == (192, 112, (192, 108))
    assert request(size=(96, 64)).crop is None
