"""Compiling a transformer (`torch.compile`), in one way for training and for sampling."""

import os
import shutil
import warnings

import torch
from torch import nn

from tenku.model.transformer import Transformer

MOST_GRAPHS = 64  # for one function; torch gives up after 8, and a long video with cards has as many kinds of steps


def compile_blocks(transformer: Transformer) -> None:
    """Block by block, when they are first used: one graph serves all of them, and every length and size.

    What is another kind of step (stills, known frames, a text for each frame, without guidance) takes another graph.
    ValueError: there is no compiler, or blocks are streamed, which are never there long enough.
    """
    if type(transformer.blocks) is not nn.ModuleList:
        raise ValueError("blocks that are streamed from main memory are not compiled: leave out --compile")
    compilers, what = [os.environ.get("CXX", "g++")], "a C++ compiler: install g++"
    if transformer.device.type != "cpu":  # what Triton writes has a small part in C
        compilers, what = [os.environ.get("CC", "gcc"), "clang"], "a C compiler: install gcc"
    if not any(map(shutil.which, compilers)):
        raise ValueError(f"compiling takes {what}, or leave out --compile")
    torch._dynamo.config.recompile_limit = MOST_GRAPHS
    warnings.filterwarnings("ignore", "Torchinductor does not support code generation for complex")  # `rotate`
    torch.set_float32_matmul_precision("high")
    for block in transformer.blocks:
        block.compile(dynamic=True)
