from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from compressor.onnx_files import file_size


def _model(path: Path, external: bool) -> None:
    weight = numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 64]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", values[:1], values[1:], [weight])
    onnx.save_model(helper.make_model(graph), path, save_as_external_data=external, location="model.onnx.data")


def test_external_data_counts_where_the_file_refers_to_it(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    _model(path, external=True)
    assert file_size(path) == path.stat().st_size + 64 * 64 * 4


def test_a_stale_data_file_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    _model(path, external=False)
    (tmp_path / "model.onnx.data").write_bytes(b"0" * 100_000)
    assert file_size(path) == path.stat().st_size > 64 * 64 * 4


def test_a_folder_is_the_sum_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "a.bin").write_bytes(b"123")
    (tmp_path / "below" / "b.bin").write_bytes(b"45")
    assert file_size(tmp_path) == 5
