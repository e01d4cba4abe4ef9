"""Stored integers by hand."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.export.integers import (
    drop_unused,
    look_up_integers,
    pack_four_bits,
    store_integer_biases,
    store_integer_weights,
)
from compressor.models import OnnxModel


def graph_of(kind: str = "Gemm") -> onnx.ModelProto:
    """x (N, 2) through Q/DQ, a (2, 2) weight through Q/DQ by channel, a bias."""
    arrays = {
        "x_scale": np.float32(0.5),
        "x_zero": np.uint8(3),
        "weight": np.array([[1.27, -0.015], [2.54, 0.03]], np.float32),
        "w_scale": np.array([0.01, 0.02], np.float32),
        "w_zero": np.zeros(2, np.int8),
        "bias": np.array([1.0, -0.503], np.float32),
        "unread": np.zeros(1000, np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "x_scale", "x_zero"], ["x_dq"]),
        helper.make_node("QuantizeLinear", ["weight", "w_scale", "w_zero"], ["w_q"], axis=0),
        helper.make_node("DequantizeLinear", ["w_q", "w_scale", "w_zero"], ["w_dq"], axis=0),
        helper.make_node(kind, ["x_dq", "w_dq", "bias"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def stored(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def test_weights_become_int8() -> None:
    proto = graph_of()
    store_integer_weights(proto)
    onnx.checker.check_model(proto)
    # -0.015 / 0.01 = -1.5 rounds to the even -2, as 0.03 / 0.02 = 1.5 to 2.
    assert stored(proto)["w_q"].tolist() == [[127, -2], [127, 2]]
    assert stored(proto)["w_q"].dtype == np.int8
    assert "weight" not in stored(proto)
    assert [node.op_type for node in proto.graph.node].count("QuantizeLinear") == 1


def test_a_table_on_an_asymmetric_grid_becomes_uint8() -> None:
    proto = graph_of()
    proto.graph.initializer.remove(next(one for one in proto.graph.initializer if one.name == "w_zero"))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([3, 0], np.uint8), "w_zero"))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    x = {"x": np.array([[1.0, 2.0]], np.float32)}
    wanted = session.run(None, x)[0]
    store_integer_weights(proto)
    onnx.checker.check_model(proto, full_check=True)
    assert stored(proto)["w_q"].tolist() == [[130, 1], [127, 2]] and stored(proto)["w_q"].dtype == np.uint8
    assert np.array_equal(onnxruntime.InferenceSession(proto.SerializeToString()).run(None, x)[0], wanted)


def test_minus_128_is_never_used() -> None:
    proto = graph_of()
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "weight")
    weight.CopyFrom(numpy_helper.from_array(np.array([[-1.3, 1.3], [0, 0]], np.float32), "weight"))
    store_integer_weights(proto)
    assert stored(proto)["w_q"].tolist() == [[-127, 127], [0, 0]]


def test_biases_become_int32_with_the_product_of_scales() -> None:
    proto = graph_of()
    store_integer_weights(proto)
    store_integer_biases(proto)
    onnx.checker.check_model(proto)
    values = stored(proto)
    assert values["y_bias_int32"].tolist() == [200, -50]  # 1 / (0.5 * 0.01); -0.503 / (0.5 * 0.02)
    assert values["y_bias_int32"].dtype == np.int32
    assert values["y_bias_scale"] == pytest.approx([0.005, 0.01])
    assert "bias" not in values


def test_a_float_layers_bias_stays() -> None:
    proto = graph_of()
    layer = proto.graph.node[-1]
    layer.input[0] = "x"
    store_integer_weights(proto)
    store_integer_biases(proto)
    assert stored(proto)["bias"].dtype == np.float32


def test_unread_tensors_are_dropped() -> None:
    proto = graph_of()
    drop_unused(proto.graph)
    assert "unread" not in stored(proto)
    assert "bias" in stored(proto)


TABLE = np.array([[1, -2], [3, 4], [-5, 127]], np.int8)


def looked_up(axis: int = 1, readers: int = 1) -> onnx.ModelProto:
    """ids (N,) look rows up in an int8 table that is dequantized first."""
    scale = np.array([0.5, 2.0] if axis == 1 else [0.5, 2.0, 1.0], np.float32)
    nodes = [helper.make_node("DequantizeLinear", ["table", "scale"], ["floats"], axis=axis)]
    nodes += [helper.make_node("Gather", ["floats", "ids"], [f"rows_{place}"]) for place in range(readers)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info(f"rows_{place}", TensorProto.FLOAT, ["n", 2]) for place in range(readers)],
        [numpy_helper.from_array(TABLE, "table"), numpy_helper.from_array(scale, "scale")],
        value_info=[helper.make_tensor_value_info("floats", TensorProto.FLOAT, [3, 2])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def rows_of(proto: onnx.ModelProto, ids: list[int]) -> list[list[float]]:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    rows: list[list[float]] = session.run(None, {"ids": np.array(ids)})[0].tolist()
    return rows


def test_rows_are_looked_up_as_integers_and_only_then_made_floats() -> None:
    proto = looked_up()
    before = rows_of(proto, [2, 0, 2])
    look_up_integers(proto)
    onnx.checker.check_model(proto, full_check=True)
    gather, dequantize = proto.graph.node
    assert (gather.op_type, gather.input[0]) == ("Gather", "table")
    assert (dequantize.op_type, dequantize.input[0]) == ("DequantizeLinear", gather.output[0])
    assert rows_of(proto, [2, 0, 2]) == before == [[-2.5, 254.0], [0.5, -4.0], [-2.5, 254.0]]


@pytest.mark.parametrize(("axis", "readers"), [(0, 1), (1, 2)])
def test_scales_of_rows_and_tables_with_other_readers_stay(axis: int, readers: int) -> None:
    proto = looked_up(axis, readers)
    before = rows_of(proto, [1, 2])
    look_up_integers(proto)
    assert proto.graph.node[0].op_type == "DequantizeLinear"
    assert rows_of(proto, [1, 2]) == before


def test_an_encoder_s_words_stay_integers_until_they_are_looked_up(int8_encoder_onnx: OnnxModel) -> None:
    proto = onnx.load(int8_encoder_onnx.path)
    values = stored(proto)
    tables = [node.input[0] for node in proto.graph.node if node.op_type == "Gather" and node.input[0] in values]
    # 120 words and 64 positions; the two types of a pair are too few to be worth it.
    assert {(values[name].shape[0], values[name].dtype.name) for name in tables} >= {(120, "int8"), (64, "int8")}
    assert not any(value.dtype == np.float32 and value.shape in ((120, 32), (64, 32)) for value in values.values())


def test_four_bits_are_packed_and_widened_on_loading() -> None:
    proto = graph_of()
    proto.opset_import[0].version = 21
    marked = next(node for node in proto.graph.node if node.output[0] == "w_q")
    marked.attribute.append(helper.make_attribute("output_dtype", TensorProto.INT4))
    scale = next(tensor for tensor in proto.graph.initializer if tensor.name == "w_scale")
    scale.CopyFrom(numpy_helper.from_array(np.array([0.2, 0.25], np.float32), "w_scale"))
    names = store_integer_weights(proto)
    store_integer_biases(proto)
    assert names == ["w_q"]
    given = {"x": np.array([[0.5, -1.0], [3.0, 2.0]], np.float32)}
    as_int8 = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, given)[0]
    pack_four_bits(proto, names)
    onnx.checker.check_model(proto, full_check=True)
    packed = next(tensor for tensor in proto.graph.initializer if tensor.name == "w_q_int4")
    # 1.27 / 0.2 = 6.35, -0.015 / 0.2 = -0.075; 2.54 / 0.25 = 10.16, which 4 bits don't hold, 0.03 / 0.25 = 0.12.
    assert numpy_helper.to_array(packed).astype(int).tolist() == [[6, 0], [7, 0]]
    assert packed.raw_data == bytes([0x06, 0x07])
    assert onnxruntime.InferenceSession(proto.SerializeToString()).run(None, given)[0].tolist() == as_int8.tolist()
