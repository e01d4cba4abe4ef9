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
        with pytest.raises(ModelFileError, match=r"takes 2 inputs \(b, a\), the data gives 1"):
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


def saved(path: Path, kind: int, given: int, out: int, shape: list[str | int], *nodes: onnx.NodeProto) -> Path:
    """A graph of one input and one output of these types."""
    values = [
        helper.make_tensor_value_info("x", given, ["n", 2]),
        helper.make_tensor_value_info("y", out, shape),
    ]
    stored = [helper.make_tensor("axes", TensorProto.INT64, [1], [1])]
    cast = helper.make_node("Cast", ["x"], ["float"], to=kind)
    graph = helper.make_graph([cast, *nodes], "g", values[:1], values[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


NEGATED = helper.make_node("Neg", ["float"], ["y"])


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_other_floats_are_fed_and_read_as_they_are(kind: int, tmp_path: Path) -> None:
    x = np.ones((3, 2), np.float32)
    with OnnxRunner(saved(tmp_path / "m.onnx", kind, kind, kind, ["n", 2], NEGATED)) as runner:
        found = runner.infer((x,))
    assert found.dtype == np.float32 and np.array_equal(found, -x)


@pytest.mark.parametrize(
    ("given", "out", "shape", "node", "said"),
    [
        (TensorProto.UINT8, TensorProto.FLOAT, ["n", 2], NEGATED, "takes uint8 as 'x', the data gives float32"),
        (TensorProto.INT64, TensorProto.FLOAT, ["n", 2], NEGATED, "takes int64 as 'x', the data gives float32"),
        (TensorProto.STRING, TensorProto.FLOAT, ["n", 2], NEGATED, "takes string as 'x'"),
        (
            TensorProto.FLOAT, TensorProto.INT64, ["n"],
            helper.make_node("ArgMax", ["float"], ["y"], axis=1, keepdims=0), "gives int64, wanted a number",
        ),
        (
            TensorProto.FLOAT, TensorProto.FLOAT, ["n"],
            helper.make_node("ReduceMean", ["float", "axes"], ["y"], keepdims=0), r"gives \[3\] for 3 samples",
        ),
        (
            TensorProto.FLOAT, TensorProto.FLOAT, [2, "n"],
            helper.make_node("Transpose", ["float"], ["y"]), r"gives \[2, 3\] for 3 samples",
        ),
    ],
)  # fmt: skip
def test_inputs_and_answers_of_other_kinds_are_named(
    given: int, out: int, shape: list[str | int], node: onnx.NodeProto, said: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "m.onnx", TensorProto.FLOAT, given, out, shape, node)
    with OnnxRunner(path) as runner, pytest.raises(ModelFileError, match=said):
        runner.infer((np.ones((3, 2), np.float32),))
