"""Weight-only quantization (int8, fp8) of transformer blocks, by torchao; products are still computed in bf16."""

from tenku.model.transformer import Transformer


def quantize(transformer: Transformer, weights: str) -> None:
    """Hold the blocks' matrices as "int8" or "fp8" (e4m3) with a scale for each row, in place; "bf16" changes nothing.

    ModuleNotFoundError without torchao.
    """
    if weights == "bf16":
        return
    import logging

    logging.getLogger("torchao").setLevel(logging.ERROR)  # it speaks of kernels that weight-only formats do not use
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    quantize_(transformer.blocks, Int8WeightOnlyConfig() if weights == "int8" else Float8WeightOnlyConfig())
