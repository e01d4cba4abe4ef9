"""An ONNX file to a form: what its metadata or the description beside it says."""

from pathlib import Path

import onnx
from pydantic import ValidationError

from compressor.data.tokenizer import engine
from compressor.errors import InputError, ModelFileError
from compressor.export.onnx import PREFIX
from compressor.factories.sentence_network import EMBEDDING
from compressor.models import InputSpec, ModelInfo, OnnxModel, TokenizerSpec
from compressor.onnx_files import read_graph
from compressor.reading import parse_json, read_json, read_text

ROUNDED = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger"})
MIN_BYTES = 16


def load_onnx(path: Path) -> OnnxModel:
    """Read an ONNX file's description; the graph itself is left to its runtime.

    Raises:
        ModelFileError: Not an ONNX file, or its metadata doesn't fit.
    """
    proto = read_graph(path)
    if path.stat().st_size < MIN_BYTES or not proto.graph.node:
        raise ModelFileError(f"{path} is not an ONNX file: it has no graph", "export it again")
    try:
        info = _info(proto)
    except (InputError, ValueError, TypeError, KeyError, AttributeError, ValidationError) as error:
        raise ModelFileError(f"{path}: its metadata doesn't fit: {error}", "export it again") from None
    if any(spec.shape == (-1,) for spec in info.inputs):
        info = info.model_copy(update={"tokenizer": _tokenizer_beside(path, info)})
    types = {tensor.data_type for tensor in proto.graph.initializer}
    if any(node.op_type in ROUNDED for node in proto.graph.node):
        return OnnxModel(path, info, "int8")
    return OnnxModel(path, info, "fp16" if onnx.TensorProto.FLOAT16 in types else "fp32")


def _tokenizer_beside(path: Path, info: ModelInfo) -> TokenizerSpec:
    """The tokenizer in a text network's folder: it is too large for the file's metadata.

    Raises:
        ModelFileError: It isn't there, or can't be read.
    """
    try:
        content = read_text(path.with_name("tokenizer.json"))
        settings = read_json(path.with_name("tokenizer_config.json"), dict)
    except InputError as error:
        raise ModelFileError(
            f"{path} is a text network, and its tokenizer beside it can't be read: {error}",
            "copy the whole folder: tokenizer.json and tokenizer_config.json belong to the model",
        ) from None
    spec = TokenizerSpec(
        content=content,
        config=settings,
        max_length=int(settings["model_max_length"]),
        inputs=tuple(given.name for given in info.inputs),
        apart=info.task == EMBEDDING,
    )
    pad = engine(spec).token_to_id(str(settings.get("pad_token", "")))
    return spec.model_copy(update={"pad_id": pad or 0})


def _info(proto: onnx.ModelProto) -> ModelInfo:
    metadata = {p.key.removeprefix(PREFIX): p.value for p in proto.metadata_props if p.key.startswith(PREFIX)}
    contracts = parse_json(metadata.get("inputs", "[]"), list, "inputs", error=ModelFileError)
    fields = set(InputSpec.model_fields)
    inputs = tuple(InputSpec.model_validate({k: v for k, v in c.items() if k in fields}) for c in contracts)
    return ModelInfo(
        task=metadata.get("task", "image-classification"),
        inputs=inputs or _inputs_of_graph(proto),
        classes=tuple(map(str, parse_json(metadata.get("classes", "[]"), list, "classes", error=ModelFileError))),
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
