"""Half precision inside, float32 at both ends."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from compressor.export.half import to_half
from compressor.models import OnnxModel


def test_a_trained_network_in_half(trained_onnx: OnnxModel) -> None:
    proto = onnx.load(trained_onnx.path)
    to_half(proto)
    onnx.checker.check_model(proto, full_check=True)
    graph = proto.graph
    assert [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)] == [TensorProto.FLOAT] * 2
    assert [node.op_type for node in graph.node].count("Cast") == 2
    assert {value.type.tensor_type.elem_type for value in graph.value_info} <= {TensorProto.FLOAT16, TensorProto.INT64}
    assert not [tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT]
    x = np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype(np.float32)
    expected = onnxruntime.InferenceSession(trained_onnx.path).run(None, {"input": x})[0]
    found = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"input": x})[0]
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_integers_stay_and_large_floats_are_finite() -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "big"], ["s"]), helper.make_node("Reshape", ["s", "shape"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [
            numpy_helper.from_array(np.array([1e9, -1e9], np.float32), "big"),
            numpy_helper.from_array(np.array([4], np.int64), "shape"),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    to_half(proto)
    onnx.checker.check_model(proto, full_check=True)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert values["big"].tolist() == [65504.0, -65504.0]
    assert values["shape"].dtype == np.int64
