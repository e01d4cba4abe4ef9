from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from compressor.errors import ModelFileError
from compressor.models import OnnxModel
from compressor.runners import OnnxRunner


@pytest.fixture
def subtraction(tmp_path: Path) -> Path:
    """A graph whose two inputs can't be mixed up unnoticed."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("b", "a", "out")]
    graph = helper.make_graph([helper.make_node("Sub", ["b", "a"], ["out"])], "g", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "sub.onnx")
    return tmp_path / "sub.onnx"


def test_feeds_inputs_in_the_graphs_order(subtraction: Path) -> None:
    five, two = np.full((3, 2), 5, np.float32), np.full((3, 2), 2, np.float32)
    with OnnxRunner(subtraction) as runner:
        assert runner.input_names == ["b", "a"]
        assert np.array_equal(runner.infer((five, two)), np.full((3, 2), 3, np.float32))
        with pytest.raises(ValueError, match="shorter"):
            runner.infer((five,))


def test_agrees_with_a_plain_session(trained_onnx: OnnxModel) -> None:
    inputs = np.random.default_rng(0).standard_normal((7, 1, 8, 8)).astype(np.float32)
    plain = onnxruntime.InferenceSession(str(trained_onnx.path), providers=["CPUExecutionProvider"])
    with OnnxRunner(trained_onnx.path, threads=2) as runner:
        np.testing.assert_allclose(runner.infer((inputs,)), plain.run(None, {"input": inputs})[0], atol=1e-5)
        assert runner.name == f"onnxruntime {onnxruntime.__version__} CPUExecutionProvider"


def test_writes_the_graph_that_runs(trained_onnx: OnnxModel, tmp_path: Path) -> None:
    path = tmp_path / "optimised.onnx"
    with OnnxRunner(trained_onnx.path, optimized_path=path):
        pass
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert "FusedConv" in kinds and "Relu" not in kinds


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a graph")
    for path in (tmp_path / "none.onnx", broken):
        with pytest.raises(ModelFileError, match=path.name), OnnxRunner(path):
            pass


def test_a_fixed_batch_is_fed_in_calls_of_its_size(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")
    with OnnxRunner(tmp_path / "m.onnx") as runner:
        for count in (1, 4, 7):
            inputs = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
            assert np.array_equal(runner.infer((inputs,)), -inputs)
