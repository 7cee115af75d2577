"""What several tests share: a complete model folder, tiny and untrained."""

from pathlib import Path

import pytest
import torch

from tenku.model import presets, weights
from tenku.model.autoencoder import Autoencoder, nano
from tenku.model.settings import ModelSettings, SamplingParams
from tenku.model.text import TextEncoder, Vocabulary, train_tokenizer
from tenku.model.transformer import Transformer

ENGLISH = [
    "a red rubber ball drops onto wet asphalt at night under pink neon",
    "three glossy blue cubes slide across the ice",
    "the camera orbits left around a pyramid of green boxes and it topples",
]
CHINESE = [
    "夜晚霓虹灯下,一个红色的橡胶球落在湿漉漉的柏油路上",
    "三个蓝色的方块在冰面上滑动",
    "镜头向左环绕,绿色的金字塔倒塌了",
]


@pytest.fixture(scope="session")
def text_encoder() -> TextEncoder:
    """An untrained text encoder that knows the captions above."""
    torch.manual_seed(0)
    config = presets.get("nano").text
    assert config is not None
    tokenizer = train_tokenizer(ENGLISH + CHINESE, config.vocab_size)
    return TextEncoder(config, tokenizer, Vocabulary.from_captions(ENGLISH, CHINESE)).eval()


@pytest.fixture(scope="session")
def transformer() -> Transformer:
    """An untrained transformer whose output and modulation are not the zeros that training starts from."""
    torch.manual_seed(1)
    transformer = Transformer(presets.get("nano").transformer)
    with torch.no_grad():
        transformer.head.head.weight.normal_(std=0.2)
        transformer.time_projection[1].weight.normal_(std=0.05)
        for block in transformer.blocks:
            for last in (block.self_attn.o, block.cross_attn.o, block.ffn[2]):
                last.weight.normal_(std=0.2)
    return transformer.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, text_encoder: TextEncoder, transformer: Transformer) -> Path:
    """A complete model folder with random weights: generates noise, but quickly. Do not write into it."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(2)
    config = nano()
    weights.save_module(Autoencoder(config), config, folder / "autoencoder")
    weights.save_module(transformer, transformer.config, folder / "transformer")
    text_encoder.save(folder / "text")
    settings = ModelSettings(
        "tiny", fps=16, sizes=((64, 64), (96, 64)), max_frames=48, defaults=SamplingParams(num_steps=3)
    )
    settings.save(folder)
    return folder
