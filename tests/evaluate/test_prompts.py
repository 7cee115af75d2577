"""The prompt table: a perfect pipeline reaches the ceiling, a blind one does not, and files are written."""

import json

import numpy as np
import pytest

from tenku.evaluate.prompts import evaluate_prompts, to_markdown
from tenku.evaluate.recogniser import LABELS, RecogniserConfig
from tenku.media.clip import Clip

COLORS = ("red", "green", "blue")


class Reader:
    """Stands for a recogniser: the first pixel of a clip holds its class numbers."""

    config = RecogniserConfig()

    def read(self, frames):
        light, floor, color = (int(value) for value in frames[0, 0, 0])
        numbers = {"light": light, "floor": floor, "color": color, "event": light, "kind": 0}
        return {name: (LABELS[name][number], 1.0) for name, number in numbers.items()}

    def features(self, frames):
        return frames[0, 0, 0].astype(np.float32)


class Replay:
    """Stands for a pipeline that makes clip `order(i)` for prompt i, and notes what it was asked."""

    def __init__(self, clips, order=lambda i: i):
        self.clips, self.order, self.asked = clips, order, []

    def generate(self, prompt, **settings):
        frames = self.clips[self.order(len(self.asked))][0]
        self.asked.append((prompt, settings))
        return Clip(frames, 16.0)


def held_out(n):
    clips = []
    for i in range(n):
        numbers = (i % 6, i % 12, i % 8)
        frames = np.zeros((8, 16, 16, 3), np.uint8)
        frames[:, 0, 0] = numbers
        thing = {"kind": "ball", "color": LABELS["color"][numbers[2]], "material": "rubber", "role": "main"}
        description = {
            "event": LABELS["event"][numbers[0]],
            "floor": LABELS["floor"][numbers[1]],
            "light": LABELS["light"][numbers[0]],
            "objects": [thing],
            "paint": None,
        }
        captions = {"en": [f"short {i}", f"long {i}"], "zh": [f"短 {i}", f"长 {i}"]}
        clips.append((frames, {"description": description, "captions": captions, "fps": 16}))
    return clips


def test_a_perfect_pipeline_reaches_the_ceiling_and_uses_both_languages(tmp_path):
    clips = held_out(12)
    pipeline = Replay(clips)
    result = evaluate_prompts(pipeline, Reader(), iter(clips), tmp_path, n=10, seed=5, steps=2, size=(16, 16))
    assert [prompt for prompt, _ in pipeline.asked[:3]] == ["long 0", "长 1", "long 2"]
    assert pipeline.asked[3][1] == {"seed": 8, "steps": 2, "size": (16, 16)}
    assert result["kernel_distance"] == pytest.approx(0)
    for group in ("both", "en", "zh"):
        for label in ("light", "floor", "color", "event", "kind", "all"):
            assert result["table"][group][label]["generated"] == 1.0
            assert result["table"][group][label]["share_of_ceiling"] == 1.0
    assert result["table"]["both"]["light"]["majority"] == pytest.approx(0.2)
    assert result["table"]["both"]["light"]["chance"] == pytest.approx(1 / 6)
    assert json.loads((tmp_path / "prompts.json").read_text(encoding="utf-8"))["table"] == result["table"]
    markdown = (tmp_path / "prompts.md").read_text(encoding="utf-8")
    assert markdown == to_markdown(result) and "100 % of 10" in markdown and "0. long 0" in markdown
    assert (tmp_path / "prompts.png").stat().st_size > 100


def test_a_pipeline_that_ignores_the_prompt_scores_what_it_should(tmp_path):
    clips = held_out(12)
    result = evaluate_prompts(Replay(clips, order=lambda i: 0), Reader(), clips, tmp_path, n=12)
    table = result["table"]["both"]
    assert table["light"]["generated"] == pytest.approx(2 / 12) == table["light"]["majority"]
    assert table["floor"]["generated"] == pytest.approx(1 / 12)
    assert table["all"]["generated"] == pytest.approx(1 / 12)
    assert table["light"]["real"] == 1.0 and result["kernel_distance"] > 1
    assert sum(table["event"]["confusions"].values()) == 10 and not table["event"]["confusions_on_real"]


def test_too_few_clips_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="there are 3"):
        evaluate_prompts(Replay(held_out(3)), Reader(), held_out(3), tmp_path, n=4)
