from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import MissingError
from compressor.export import tensorrt
from compressor.export.tensorrt import build_engine, serialize_engine, validate_for_tensorrt
from compressor.models import ModelInfo, OnnxModel
from compressor.target import Target

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx, which builds engines on the CPU, is not installed")
TARGET = Target(runtime="tensorrt", batch_size=2, max_batch_size=16)


def _quantized_convolution(path: Path, zero_point: int = 0, float_bias: bool = True) -> Path:
    """Q/DQ around a 3x3 convolution, as the TensorRT placement writes it, or with one rule broken."""
    arrays = {
        "s": np.array(0.05, np.float32),
        "z": np.array(zero_point, np.int8),
        "w8": np.random.default_rng(0).integers(-127, 128, (8, 3, 3, 3)).astype(np.int8),
        "ws": np.full(8, 0.01, np.float32),
        "wz": np.zeros(8, np.int8),
        "b": np.ones(8, np.float32),
        "b32": np.ones(8, np.int32),
        "bs": np.full(8, 0.0005, np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], name="quantize_x"),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], name="dequantize_x"),
        helper.make_node("DequantizeLinear", ["w8", "ws", "wz"], ["w"], axis=0, name="dequantize_w"),
        helper.make_node("Conv", ["xd", "w", "b" if float_bias else "bd"], ["y"], pads=[1, 1, 1, 1], name="conv"),
    ]
    if not float_bias:
        nodes.insert(3, helper.make_node("DequantizeLinear", ["b32", "bs"], ["bd"], axis=0, name="dequantize_b"))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", c, 8, 8]) for n, c in (("x", 3), ("y", 8))]
    used = {name for node in nodes for name in node.input}
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_a_float_network_builds(trained_onnx: OnnxModel) -> None:
    plan, complaints = serialize_engine(trt, trained_onnx.path, TARGET, "SM86")
    assert complaints == []
    assert plan is not None and len(plan) > 1000


def test_an_int8_convolution_builds(tmp_path: Path) -> None:
    assert validate_for_tensorrt(_quantized_convolution(tmp_path / "m.onnx"), TARGET) == []


def test_the_rules_are_kept_by_the_real_builder(tmp_path: Path) -> None:
    shifted = validate_for_tensorrt(_quantized_convolution(tmp_path / "z.onnx", zero_point=3), TARGET)
    assert any("zero" in complaint.lower() for complaint in shifted)
    biased = validate_for_tensorrt(_quantized_convolution(tmp_path / "b.onnx", float_bias=False), TARGET)
    assert any("Int32" in complaint or "dequantize_b" in complaint for complaint in biased)


def test_a_node_that_it_does_not_know_is_named(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "y")]
    node = helper.make_node("Strange", ["x"], ["y"], name="the_strange_one", domain="nowhere")
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("nowhere", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "m.onnx")
    complaints = validate_for_tensorrt(tmp_path / "m.onnx", TARGET)
    assert any("the_strange_one" in complaint and "Strange" in complaint for complaint in complaints)


def test_building_needs_tensorrt_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise MissingError(f"'{name}' is not installed", "pip install 'compressor[tensorrt]'")

    monkeypatch.setattr(tensorrt, "require", missing)
    with pytest.raises(MissingError, match="tensorrt"):
        build_engine(OnnxModel(tmp_path / "m.onnx", ModelInfo()), tmp_path / "m.engine", TARGET)
    assert not list(tmp_path.iterdir())
