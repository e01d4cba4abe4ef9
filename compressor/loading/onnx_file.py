"""An ONNX file to a form: what its metadata or the description beside it says."""

import json
from pathlib import Path

import onnx
from pydantic import ValidationError

from compressor.errors import ModelFileError
from compressor.export.onnx import PREFIX
from compressor.models import InputSpec, ModelInfo, OnnxModel

ROUNDED = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger"})
MIN_BYTES = 16


def load_onnx(path: Path) -> OnnxModel:
    """Read an ONNX file's description; the graph itself is left to its runtime.

    Raises:
        ModelFileError: Not an ONNX file, or its metadata doesn't fit.
    """
    try:
        proto = onnx.load(path, load_external_data=False)
        if path.stat().st_size < MIN_BYTES or not proto.graph.node:
            raise ValueError("it has no graph")
    except Exception as error:
        raise ModelFileError(f"{path} is not an ONNX file: {error}", "export it again") from None
    try:
        info = _info(proto)
    except (ValueError, TypeError, KeyError, ValidationError) as error:
        raise ModelFileError(f"{path}: its metadata doesn't fit: {error}", "export it again") from None
    types = {tensor.data_type for tensor in proto.graph.initializer}
    if any(node.op_type in ROUNDED for node in proto.graph.node):
        return OnnxModel(path, info, "int8")
    return OnnxModel(path, info, "fp16" if onnx.TensorProto.FLOAT16 in types else "fp32")


def _info(proto: onnx.ModelProto) -> ModelInfo:
    metadata = {p.key.removeprefix(PREFIX): p.value for p in proto.metadata_props if p.key.startswith(PREFIX)}
    contracts = json.loads(metadata.get("inputs", "[]"))
    fields = set(InputSpec.model_fields)
    inputs = tuple(InputSpec.model_validate({k: v for k, v in c.items() if k in fields}) for c in contracts)
    return ModelInfo(
        task=metadata.get("task", "image-classification"),
        inputs=inputs or _inputs_of_graph(proto),
        classes=tuple(json.loads(metadata.get("classes", "[]"))),
    )


def _inputs_of_graph(proto: onnx.ModelProto) -> tuple[InputSpec, ...]:
    constants = {tensor.name for tensor in proto.graph.initializer}
    specs = []
    for value in proto.graph.input:
        tensor = value.type.tensor_type
        sample = [axis.dim_value for axis in tensor.shape.dim[1:]]
        if value.name in constants or not all(side > 0 for side in sample):
            continue
        integers = tensor.elem_type == onnx.TensorProto.INT64
        specs.append(InputSpec(name=value.name, shape=tuple(sample), dtype="int64" if integers else "float32"))
    return tuple(specs)
