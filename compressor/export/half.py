"""An ONNX graph in half precision with float32 at both ends, as a strongly typed runtime needs it."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HALF_MAX = 65504.0


def to_half(proto: onnx.ModelProto) -> None:
    """Turn every float32 tensor inside the graph into float16, in place.

    Each float input is cast once after it enters, each output once before it leaves. Integer weights
    stay as they are; do this after they were computed from float32.
    """
    graph = proto.graph
    for tensor in graph.initializer:
        _convert(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _convert(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    del graph.value_info[:]
    for given in graph.input:
        if given.type.tensor_type.elem_type == TensorProto.FLOAT:
            inside = f"{given.name}_half"
            _rename_inputs(graph, given.name, inside)
            graph.node.insert(0, _cast(given.name, inside, TensorProto.FLOAT16))
    for output in graph.output:
        if output.type.tensor_type.elem_type == TensorProto.FLOAT:
            inside = f"{output.name}_half"
            for node in graph.node:
                node.output[:] = [inside if name == output.name else name for name in node.output]
            _rename_inputs(graph, output.name, inside)
            graph.node.append(_cast(inside, output.name, TensorProto.FLOAT))
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    proto.CopyFrom(inferred)


def _cast(given: str, made: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [given], [made], name=f"cast_to_{made}", to=to)


def _convert(tensor: TensorProto) -> None:
    if tensor.data_type != TensorProto.FLOAT:
        return
    values = numpy_helper.to_array(tensor).clip(-HALF_MAX, HALF_MAX)
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))


def _rename_inputs(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
