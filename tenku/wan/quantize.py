"""Weight-only quantization of the transformer's blocks to 8 bits, by torchao; products are computed in bf16."""

from tenku.model.transformer import Transformer


def quantize(transformer: Transformer, weight_dtype: str) -> None:
    """Quantize the blocks' matrices to "int8" or "fp8" (e4m3), a scale per row, in place; "bf16" changes nothing.

    ModuleNotFoundError without torchao.
    """
    if weight_dtype == "bf16":
        return
    import logging

    logging.getLogger("torchao").setLevel(logging.ERROR)  # it warns about kernels that weight-only formats do not use
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    quantize_(transformer.blocks, Int8WeightOnlyConfig() if weight_dtype == "int8" else Float8WeightOnlyConfig())
