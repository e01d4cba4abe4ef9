"""MACs and parameters of an ONNX graph, by its nodes and their inferred shapes."""

import math
from collections.abc import Sequence

import onnx
from onnx import NodeProto, shape_inference

Shape = tuple[int, ...]
WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger"}
Q_DQ = {"QuantizeLinear", "DequantizeLinear"}
FLOATS_AND_INTS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.INT4,
    onnx.TensorProto.INT8,
    onnx.TensorProto.UINT8,
    onnx.TensorProto.INT32,
}


def params(model: onnx.ModelProto) -> int:
    """Values of the initializers, without scales, zero points and shapes."""
    helpers = {name for node in model.graph.node if node.op_type in Q_DQ for name in node.input[1:]}
    return sum(
        math.prod(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.name not in helpers and tensor.data_type in FLOATS_AND_INTS
    )


def macs(model: onnx.ModelProto, input_shapes: Sequence[Shape]) -> int:
    """Multiply-accumulates of every Conv, Gemm and MatMul for inputs of these shapes."""
    for given, shape in zip(model.graph.input, input_shapes, strict=True):
        for axis, size in zip(given.type.tensor_type.shape.dim, shape, strict=True):
            axis.dim_value = size
    # What the exporter wrote down names the batch; dropped, so that shapes are inferred for this one.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = _shapes(inferred.graph)
    return sum(_node_macs(node, shapes) for node in inferred.graph.node if node.op_type in WEIGHTED)


def _shapes(graph: onnx.GraphProto) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
    return shapes


def _node_macs(node: NodeProto, shapes: dict[str, Shape]) -> int:
    left, right, out = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "Conv":
        return math.prod(out) * math.prod(right[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(left) * math.prod(right[1:])
    if node.op_type == "Gemm":
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        return math.prod(out) * left[0 if transposed else 1]
    return math.prod(out) * left[-1]
