"""Files opened to be timed."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from convolutions import write_convolutions
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import InputError
from compressor.gate import subject_of
from compressor.gate.sessions import session_of, sessions_of
from compressor.gate.timing import compared


def tokens(path: Path, kind: int = TensorProto.INT64) -> Path:
    given = helper.make_tensor_value_info("tokens", kind, ["batch", "length"])
    gives = helper.make_tensor_value_info("y", kind, ["batch", "length"])
    graph = helper.make_graph([helper.make_node("Identity", ["tokens"], ["y"])], "tokens", [given], [gives])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_a_file_is_called_with_what_it_takes(tmp_path: Path) -> None:
    images = subject_of(write_convolutions(tmp_path / "a.onnx", 2))
    (answers,) = session_of(images)()()
    assert answers.shape == (1, 4) and np.isfinite(answers).all()
    texts = subject_of(tokens(tmp_path / "b.onnx"))
    batch = texts.model_copy(update={"called": texts.called.model_copy(update={"batch": 3})})
    (answers,) = session_of(batch)()()
    assert answers.shape == (3, 32) and answers.dtype == np.int64


def test_two_that_take_different_things_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="other inputs"):
        sessions_of(subject_of(write_convolutions(tmp_path / "a.onnx", 2)), subject_of(tokens(tmp_path / "b.onnx")))
    with pytest.raises(InputError, match="can't be made up"):
        session_of(subject_of(tokens(tmp_path / "c.onnx", TensorProto.STRING)))()


def test_a_file_that_fails_when_it_is_run(tmp_path: Path) -> None:
    given = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch"])
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    table = numpy_helper.from_array(np.zeros((1, 4), np.float32), "table")
    graph = helper.make_graph([helper.make_node("Gather", ["table", "tokens"], ["y"])], "g", [given], [gives], [table])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    with pytest.raises(InputError, match="can't be run with numbers that were made up"):
        session_of(subject_of(path))()


@pytest.mark.latency
def test_a_real_file_that_is_a_tenth_slower_and_one_that_is_not(tmp_path: Path) -> None:
    made = {
        name: subject_of(write_convolutions(tmp_path / f"{name}.onnx", layers, channels=16, size=16, says=name))
        for name, layers in (("old", 20), ("same", 20), ("slow", 22))
    }
    for name, is_slower in (("same", False), ("slow", True)):
        timed = compared(sessions_of(made[name], made["old"]), 1.05, confidence=0.99, seconds=20)
        assert (timed.value > 1.05) == is_slower, timed
