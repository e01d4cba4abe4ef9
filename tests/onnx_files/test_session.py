"""Sessions as a device would have them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from convolutions import write_convolutions

from compressor.errors import ModelFileError
from compressor.onnx_files.session import open_session, session_options


def test_a_file_is_run_and_its_optimised_graph_written(tmp_path: Path) -> None:
    path = write_convolutions(tmp_path / "model.onnx", layers=2)
    session = open_session(path, threads=1, optimized_path=tmp_path / "optimised.onnx")
    (answers,) = session.run(None, {"x": np.zeros((3, 4, 8, 8), np.float32)})
    assert answers.shape == (3, 4)
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert "FusedConv" in kinds
    assert session_options(3).intra_op_num_threads == 3


def test_what_is_no_graph(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no ONNX file at"):
        open_session(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match="can't load"):
        open_session(tmp_path / "model.onnx")
