"""Regional compilation of a transformer (`torch.compile` of one block for all), for training and sampling."""

import os
import shutil
import warnings

import torch
from torch import nn

from tenku.model.transformer import Transformer

RECOMPILE_LIMIT = 64  # of one function; torch's 8 are too few for a storyboard, which has as many kinds of steps


def compile_blocks(transformer: Transformer) -> None:
    """Compile every block when it is first used: one graph for all blocks and, by dynamic shapes, for every size.

    Another kind of step (stills, known frames, a text per frame, no guidance) takes another graph.
    ValueError: there is no compiler, or the blocks are offloaded.
    """
    if type(transformer.blocks) is not nn.ModuleList:
        raise ValueError("blocks that are streamed from main memory are not compiled: leave out --compile")
    compilers, what = [os.environ.get("CXX", "g++")], "a C++ compiler: install g++"
    if transformer.device.type != "cpu":  # what Triton writes has a small part in C
        compilers, what = [os.environ.get("CC", "gcc"), "clang"], "a C compiler: install gcc"
    if not any(map(shutil.which, compilers)):
        raise ValueError(f"compiling takes {what}, or leave out --compile")
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    warnings.filterwarnings("ignore", "Torchinductor does not support code generation for complex")  # `rotate`
    torch.set_float32_matmul_precision("high")
    for block in transformer.blocks:
        block.compile(dynamic=True)
