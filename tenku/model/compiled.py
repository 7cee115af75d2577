"""Compiling a transformer (`torch.compile`), in one way for training and for sampling."""

import os
import shutil
import warnings

import torch

from tenku.model.stream import StreamedBlocks
from tenku.model.transformer import Transformer


def compile_blocks(transformer: Transformer) -> None:
    """Block by block, when it is first used: one graph serves all of them, every length and size, another one stills.

    ValueError: a CPU without a C++ compiler, or blocks that are streamed, which are never there long enough.
    """
    if isinstance(transformer.blocks, StreamedBlocks):
        raise ValueError("blocks that are streamed from main memory are not compiled: leave out --compile")
    if transformer.device.type == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
        raise ValueError("compiling on a CPU takes a C++ compiler: install g++, or leave out --compile")
    warnings.filterwarnings("ignore", "Torchinductor does not support code generation for complex")  # `rotate`
    torch.set_float32_matmul_precision("high")
    for block in transformer.blocks:
        block.compile(dynamic=True)
