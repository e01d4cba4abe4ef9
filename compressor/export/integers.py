"""Weights and biases of a Q/DQ graph stored as the integers they are."""

from collections.abc import Iterable

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

# Fake quantization leaves the lowest integer unused for weights.
INT8_LIMIT, INT4_LIMIT = 127, 7
UINT8_LIMIT = 255


def store_integer_weights(proto: onnx.ModelProto) -> list[str]:
    """Replace QuantizeLinear of a stored tensor by the integers it gives, in place.

    A weight's are int8 around 0; those of a table that the network only adds or reads, as positions are, may be uint8.
    The arithmetic is that of torch's fake quantization (multiply by the reciprocal, round half to even),
    so that both hold the same integers.

    Returns:
        The names of those whose integers fit into 4 bits, since QuantizeLinear's ``output_dtype`` says so.
    """
    graph = proto.graph
    narrow: list[str] = []
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] in stored]:
        weight, scale = (numpy_helper.to_array(stored[name]) for name in node.input[:2])
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        shape = [1] * weight.ndim
        shape[axis] = -1
        reciprocal = (np.float32(1) / scale.astype(np.float32)).reshape(shape)
        is_narrow = any(a.name == "output_dtype" and a.i == TensorProto.INT4 for a in node.attribute)
        limit = INT4_LIMIT if is_narrow else INT8_LIMIT
        integers = np.rint(weight.astype(np.float32) * reciprocal)
        zero_point = stored.get(node.input[2]) if len(node.input) > 2 else None
        if zero_point is not None and zero_point.data_type == TensorProto.UINT8:
            integers = (
                (integers + numpy_helper.to_array(zero_point).reshape(shape)).clip(0, UINT8_LIMIT).astype(np.uint8)
            )
        else:
            integers = integers.clip(-limit, limit).astype(np.int8)
        graph.initializer.append(numpy_helper.from_array(integers, node.output[0]))
        graph.node.remove(node)
        if is_narrow:
            narrow.append(node.output[0])
    drop_unused(graph)
    return narrow


def pack_four_bits(proto: onnx.ModelProto, names: Iterable[str]) -> None:
    """Store int8 tensors as int4, two in a byte, and widen them by a Cast that runtimes do once, on loading; in place.

    So the file is half as large, and what is computed is the same: ONNX Runtime folds the Cast of a stored tensor
    before it looks for quantized operators.

    Args:
        proto: Of opset 21 or later.
        names: Of stored int8 tensors, all of them within -8 to 7.
    """
    graph = proto.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for name in names:
        packed = numpy_helper.from_array(numpy_helper.to_array(stored[name]).astype(ml_dtypes.int4), f"{name}_int4")
        graph.initializer.remove(stored[name])
        graph.initializer.append(packed)
        graph.node.insert(0, onnx.helper.make_node("Cast", [packed.name], [name], f"{name}_widen", to=TensorProto.INT8))


def look_up_integers(proto: onnx.ModelProto) -> None:
    """Look rows up in an integer table and dequantize those alone, in place.

    The exporter writes it the other way round, so that every call would make floats of the whole table. The
    scales belong to columns, which are the last axis before and after.
    """
    graph = proto.graph
    stored = {tensor.name for tensor in graph.initializer}
    dequantized = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in stored}
    for gather in [n for n in graph.node if n.op_type == "Gather" and n.input[0] in dequantized]:
        dequantize = dequantized[gather.input[0]]
        axis = next((a for a in dequantize.attribute if a.name == "axis"), None)
        if axis is None or axis.i != 1 or sum(dequantize.output[0] in n.input for n in graph.node) > 1:
            continue
        result, integers = gather.output[0], f"{gather.output[0]}_integers"
        gather.input[0], gather.output[0] = dequantize.input[0], integers
        dequantize.input[0], dequantize.output[0], axis.i = integers, result, -1
        # What computes must stand after what it reads.
        graph.node.remove(dequantize)
        graph.node.insert(list(graph.node).index(gather) + 1, dequantize)
    drop_unused(graph)


def store_integer_biases(proto: onnx.ModelProto) -> None:
    """Store the float biases of integer Conv and Gemm as int32 with scale ``input * weight``, in place.

    ONNX Runtime computes a Gemm in integers only so. TensorRT refuses int32 in DequantizeLinear: not for it.
    """
    graph = proto.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    dequantized = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}
    for node in list(graph.node):
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3 or node.input[2] not in stored:
            continue
        given, weight = (dequantized.get(name) for name in node.input[:2])
        if given is None or weight is None:
            continue
        scale = np.multiply(*(numpy_helper.to_array(stored[n.input[1]]) for n in (given, weight))).astype(np.float32)
        bias = numpy_helper.to_array(stored[node.input[2]])
        integers = np.rint(bias.astype(np.float64) / scale).clip(-(2**31), 2**31 - 1).astype(np.int32)
        name = f"{node.output[0]}_bias"
        graph.initializer.extend(
            (numpy_helper.from_array(integers, f"{name}_int32"), numpy_helper.from_array(scale, f"{name}_scale"))
        )
        dequantize = onnx.helper.make_node(
            "DequantizeLinear", [f"{name}_int32", f"{name}_scale"], [name], name=f"{name}_dequantize", axis=0
        )
        graph.node.insert(list(graph.node).index(node), dequantize)
        node.input[2] = name
    drop_unused(graph)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove stored tensors that no node reads, and the types of values that are gone."""
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for tensor in [t for t in graph.initializer if t.name not in read]:
        graph.initializer.remove(tensor)
    written = {name for node in graph.node for name in node.output}
    for value in [v for v in graph.value_info if v.name not in written]:
        graph.value_info.remove(value)
