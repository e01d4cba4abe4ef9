"""Layers that stay in float in a quantized file stay so in ONNX Runtime as well."""

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

CONVOLUTIONS = {"Conv", "ConvTranspose"}


def keep_floats(proto: onnx.ModelProto) -> None:
    """Shape what a float layer reads so that ONNX Runtime doesn't round its weights, in place.

    On loading, ONNX Runtime (1.20 to 1.32, ``WeightBiasQuantization``) gives every Conv and Gemm whose input comes from
    a DequantizeLinear of one scale int8 weights, also of one scale: of a depthwise convolution, that was left in float
    for its time, it makes answers that are off by a fifth of their spread (EfficientNet-Lite0). It leaves layers alone
    whose input has a scale per channel, or whose bias has two axes; the values here are the same.

    Args:
        proto: Its integer weights are stored already.
    """
    graph = proto.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    for node in list(graph.node):
        given = producers.get(node.input[0]) if node.input else None
        if given is None or given.op_type != "DequantizeLinear" or given.input[1] not in stored:
            continue
        weight = stored.get(node.input[1]) if len(node.input) > 1 else None
        if weight is None or weight.data_type != TensorProto.FLOAT:
            continue
        if np.prod(stored[given.input[1]].dims, dtype=int) != 1:
            continue
        if node.op_type in CONVOLUTIONS:
            _read_by_channel(proto, node, given, stored, weight)
        elif node.op_type == "Gemm":
            _widen_bias(proto, node, stored, weight)


def _read_by_channel(
    proto: onnx.ModelProto, node: NodeProto, given: NodeProto, stored: dict[str, TensorProto], weight: TensorProto
) -> None:
    """A DequantizeLinear of the layer's own, with the one scale repeated for each channel."""
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    channels = weight.dims[0] if node.op_type == "ConvTranspose" else weight.dims[1] * groups
    name = f"{given.output[0]}_for_{node.name}"
    parts = [given.input[0]]
    for place, kind in ((1, "scale"), (2, "zero_point")):
        if len(given.input) > place:
            one = numpy_helper.to_array(stored[given.input[place]])
            parts.append(f"{name}_{kind}")
            proto.graph.initializer.append(numpy_helper.from_array(np.repeat(one.reshape(1), channels), parts[-1]))
    own = onnx.helper.make_node("DequantizeLinear", parts, [name], name=name, axis=1)
    node.input[0] = name
    proto.graph.node.insert(list(proto.graph.node).index(node), own)


def _widen_bias(proto: onnx.ModelProto, node: NodeProto, stored: dict[str, TensorProto], weight: TensorProto) -> None:
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    bias = stored.get(node.input[2]) if len(node.input) > 2 else None
    if bias is None and len(node.input) > 2:
        return
    values = np.zeros(weight.dims[0 if transposed else 1], np.float32) if bias is None else numpy_helper.to_array(bias)
    name = f"{node.name}_bias_of_two_axes"
    proto.graph.initializer.append(numpy_helper.from_array(values.reshape(1, -1), name))
    del node.input[2:]
    node.input.append(name)
