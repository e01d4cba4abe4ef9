import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from compressor.export.onnx import graph_of, write_graph
from compressor.export.pairs import without_pairs
from compressor.models import ModelInfo, QuantizedModel
from compressor.quantize import calibrate, capture, insert_quantizers, place
from compressor.runners import OnnxRunner
from compressor.target import Target


@pytest.fixture(scope="module")
def model() -> tuple[QuantizedModel, tuple[torch.Tensor, ...], nn.Module]:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.Hardswish(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.MaxPool2d(2)]
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 4)).eval()
    inputs = (torch.randn(4, 3, 8, 8),)
    graph = capture(module, inputs)
    spec = place(graph, Target(runtime="onnxruntime"))
    insert_quantizers(graph, spec)
    calibrate(graph, [inputs])
    return QuantizedModel(graph.eval(), ModelInfo(), spec, {}), inputs, module


def test_every_pair_has_its_quantizers_name_and_can_be_taken_out(
    model: tuple[QuantizedModel, tuple[torch.Tensor, ...], nn.Module], tmp_path
) -> None:
    quantized, inputs, module = model
    graph = graph_of(quantized, inputs)
    names = {one.name for one in quantized.spec.quantizers}
    assert {node.name for node in graph.graph.node if node.op_type == "QuantizeLinear"} == names
    # One that shares its grid has a pair of its own.
    assert any(one.shares for one in quantized.spec.quantizers)
    plain = write_graph(graph, quantized, tmp_path / "float.onnx", keep=())
    assert plain.precision == "fp32"
    assert not {node.op_type for node in onnx.load(plain.path).graph.node} & {"QuantizeLinear", "DequantizeLinear"}
    with OnnxRunner(plain.path) as runner, torch.no_grad():
        found = torch.from_numpy(runner.infer((inputs[0].numpy(),)))
        torch.testing.assert_close(found, module(*inputs), atol=1e-4, rtol=1e-4)
    last = {one.name for one in quantized.spec.quantizers if one.node in ("linear", "flatten", "max_pool2d")}
    partly = write_graph(graph, quantized, tmp_path / "partly.onnx", keep=last)
    assert partly.precision == "int8"
    kinds = [tensor.data_type for tensor in onnx.load(partly.path).graph.initializer if len(tensor.dims) == 2]
    assert kinds == [TensorProto.INT8]


def test_the_graphs_end_keeps_its_name() -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "scale"], ["q"], name="quantize_r"),
        helper.make_node("DequantizeLinear", ["q", "scale"], ["y"], name="quantize_r_dequantize"),
    ]
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1])
    proto = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], [scale]))
    without_pairs(proto, {"quantize_r"})
    onnx.checker.check_model(proto, full_check=True)
    assert [(node.op_type, list(node.output)) for node in proto.graph.node] == [("Relu", ["y"])]
