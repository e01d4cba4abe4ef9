"""The other way to int8: activations rounded to ranges that are measured at every call."""

import tempfile
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

from compressor.export.onnx import quiet
from compressor.writing import write_atomically

OPERATORS = ["MatMul", "Gemm"]


def write_dynamic(source: Path, path: Path, *, seven_bits: bool = False) -> Path:
    """Quantize the linear layers of a float graph dynamically, by ONNX Runtime's own tool.

    Weights are int8 per output channel, as in the static graph. Slower for convolutions, for linear layers of
    one sentence often faster: no range has to be wide enough for all inputs.

    Args:
        source: An ONNX file whose linear layers are float; other layers may be integers already.
        path: Where to.
        seven_bits: Use half of int8 for weights, for CPUs on which products of all of it overflow.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "dynamic.onnx"
        with quiet():
            quantize_dynamic(
                source,
                made,
                op_types_to_quantize=OPERATORS,
                per_channel=True,
                weight_type=QuantType.QInt8,
                reduce_range=seven_bits,
                # A product of two activations has no weight to round.
                extra_options={"MatMulConstBOnly": True},
            )
        write_atomically(path, made.read_bytes())
    return path
