"""The rules hold for what we export, and each breach is found."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from nets import SIZE, mobilenet_v2, resnet18, settled, vgg, vgg_without_batchnorm
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from compressor.export.lint import float_ops, lint_onnxruntime, lint_tensorrt, optimized_graph_ops
from compressor.export.onnx import export_onnx
from compressor.export.tensorrt import can_validate, validate_for_tensorrt
from compressor.models import ModelInfo, QuantizedModel, TorchModel
from compressor.quantize import calibrate, capture, insert_quantizers, place
from compressor.target import Target

EXAMPLE = (torch.randn(2, 3, SIZE, SIZE),)
NETS = {"resnet18": resnet18, "mobilenet_v2": mobilenet_v2, "vgg": vgg, "vgg_plain": vgg_without_batchnorm}


def exported(make: Callable[[], nn.Module], target: Target, path: Path) -> Path:
    graph = capture(settled(make), EXAMPLE)
    spec = place(graph, target)
    insert_quantizers(graph, spec)
    calibrate(graph, [(torch.randn(16, 3, SIZE, SIZE),) for _ in range(2)])
    return export_onnx(QuantizedModel(graph.eval(), ModelInfo(), spec, {}), path, EXAMPLE).path


@pytest.fixture(scope="session")
def cpu_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(vgg, Target(runtime="onnxruntime"), tmp_path_factory.mktemp("cpu") / "model.onnx")


@pytest.fixture(scope="session")
def gpu_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(vgg, Target(runtime="tensorrt"), tmp_path_factory.mktemp("gpu") / "model.onnx")


def stored_types(path: Path) -> set[int]:
    """The types of all stored kernels and matrices."""
    tensors = onnx.load(path).graph.initializer
    return {tensor.data_type for tensor in tensors if len(tensor.dims) > 1}


@pytest.mark.parametrize("name", list(NETS))
def test_every_convolution_is_an_integer_one(name: str, tmp_path: Path) -> None:
    path = exported(NETS[name], Target(runtime="onnxruntime"), tmp_path / "model.onnx")
    assert lint_onnxruntime(path) == []
    found = optimized_graph_ops(path)
    assert found["QLinearConv"] == sum(isinstance(module, nn.Conv2d) for module in NETS[name]().modules())
    assert found["Conv"] == 0
    assert found["QGemm"] >= 1
    assert {operator.split()[0] for operator in float_ops(path)} <= {"ReduceMean"}
    assert stored_types(path) == {TensorProto.INT8}


@pytest.mark.parametrize("name", list(NETS))
def test_tensorrts_rules_hold_and_it_builds(name: str, tmp_path: Path) -> None:
    path = exported(NETS[name], Target(runtime="tensorrt"), tmp_path / "model.onnx")
    assert lint_tensorrt(path) == []
    assert stored_types(path) == {TensorProto.INT8}
    if can_validate():
        assert validate_for_tensorrt(path, Target(runtime="tensorrt")) == []


def test_each_schemes_file_fails_the_others_rules(cpu_file: Path, gpu_file: Path) -> None:
    assert any("zero_point" in fault or "uint8" in fault for fault in lint_tensorrt(cpu_file))
    assert any("int32" in fault for fault in lint_tensorrt(cpu_file))
    assert any("float Conv" in fault for fault in lint_onnxruntime(gpu_file))


def test_a_float_network_is_all_complaints(tmp_path: Path) -> None:
    path = export_onnx(TorchModel(settled(vgg), ModelInfo()), tmp_path / "f.onnx", EXAMPLE).path
    assert sum("reads" in fault for fault in lint_tensorrt(path)) == 2 * (4 + 2)
    assert len(lint_onnxruntime(path)) == 4
    assert any(name.startswith(("Gemm", "FusedGemm")) for name in float_ops(path))


def edited(path: Path, folder: Path, edit: Callable[[onnx.GraphProto], None]) -> Path:
    proto = onnx.load(path)
    edit(proto.graph)
    onnx.save(proto, folder / "edited.onnx")
    return folder / "edited.onnx"


def test_half_at_the_ends_is_found(gpu_file: Path, tmp_path: Path) -> None:
    def shorten(graph: onnx.GraphProto) -> None:
        graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16

    assert any("wanted FLOAT" in fault for fault in lint_tensorrt(edited(gpu_file, tmp_path, shorten)))


def test_a_zero_point_is_found(gpu_file: Path, tmp_path: Path) -> None:
    def shift(graph: onnx.GraphProto) -> None:
        name = next(node.input[2] for node in graph.node if node.op_type == "QuantizeLinear")
        tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.int8(1) + numpy_helper.to_array(tensor) * 0, name))

    assert any("zero_point 1, wanted 0" in fault for fault in lint_tensorrt(edited(gpu_file, tmp_path, shift)))


def test_a_float_input_is_found(gpu_file: Path, tmp_path: Path) -> None:
    def bypass(graph: onnx.GraphProto) -> None:
        made = {name: node for node in graph.node for name in node.output}
        layer = next(node for node in graph.node if node.op_type == "Conv")
        layer.input[0] = made[made[layer.input[0]].input[0]].input[0]

    faults = lint_tensorrt(edited(gpu_file, tmp_path, bypass))
    assert len(faults) == 1
    assert "in float" in faults[0]


def test_a_float_operator_between_convolutions_is_found(cpu_file: Path, tmp_path: Path) -> None:
    def interrupt(graph: onnx.GraphProto) -> None:
        layers = [node for node in graph.node if node.op_type == "Conv"]
        name = layers[1].input[0]
        layers[1].input[0] = f"{name}_doubled"
        double = helper.make_node("Selu", [name], [f"{name}_doubled"])
        graph.node.insert(list(graph.node).index(layers[1]), double)

    faults = lint_onnxruntime(edited(cpu_file, tmp_path, interrupt))
    assert any("float Conv" in fault or "stands between" in fault for fault in faults)
    assert any(name.startswith("Selu") for name in float_ops(edited(cpu_file, tmp_path, interrupt)))
