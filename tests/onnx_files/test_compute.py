import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.export.integers import pack_four_bits
from compressor.onnx_files import compute


def _quantized_product() -> onnx.ModelProto:
    """x (batch, 6) -> Q/DQ -> MatMul with an int8 (6, 4) weight -> + bias (4)."""
    arrays = {
        "s": np.array(0.1, np.float32),
        "z": np.array(0, np.uint8),
        "w8": np.ones((6, 4), np.int8),
        "ws": np.ones(4, np.float32),
        "wz": np.zeros(4, np.int8),
        "b": np.ones(4, np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w8", "ws", "wz"], ["w"], axis=1),
        helper.make_node("MatMul", ["xd", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", c]) for n, c in (("x", 6), ("y", 4))]
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_a_quantized_graph_counts_like_its_float_one() -> None:
    assert compute.macs(_quantized_product(), [(3, 6)]) == 3 * 6 * 4
    assert compute.params(_quantized_product()) == 6 * 4 + 4


@pytest.mark.parametrize(("trans_a", "shape"), [(0, (2, 6)), (1, (6, 2))])
def test_gemm_in_both_orders(trans_a: int, shape: tuple[int, int]) -> None:
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["r", "c"]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["r", 4]),
    ]
    weight = numpy_helper.from_array(np.ones((6, 4), np.float32), "w")
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transA=trans_a)
    model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], [weight]))
    assert compute.macs(model, [shape]) == 2 * 6 * 4


def test_packed_weights_count_like_others() -> None:
    model = _quantized_product()
    model.opset_import[0].version = 21
    pack_four_bits(model, ["w8"])
    assert {tensor.data_type for tensor in model.graph.initializer} >= {TensorProto.INT4}
    assert compute.params(model) == 6 * 4 + 4
    assert compute.macs(model, [(3, 6)]) == 3 * 6 * 4
