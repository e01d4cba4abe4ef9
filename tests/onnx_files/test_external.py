"""Weights beside a graph are found, or whoever opens it says where they should be."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from digits import data, trained, trained_onnx

from compressor.errors import ModelFileError
from compressor.explain.costs import costs_of
from compressor.loading.onnx_file import load_onnx
from compressor.models import OnnxModel
from compressor.runners import OnnxRunner

__all__ = ["data", "trained", "trained_onnx"]


def test_weights_in_other_files_are_beside_the_graph(trained_onnx: OnnxModel, tmp_path: Path) -> None:
    path, data = tmp_path / "m.onnx", tmp_path / "weights.data"
    model = onnx.load(trained_onnx.path)
    onnx.save(model, path, save_as_external_data=True, location="weights.data", size_threshold=100)
    inputs = np.zeros((1, 1, 8, 8), np.float32)
    with OnnxRunner(path) as runner, OnnxRunner(trained_onnx.path) as whole:
        np.testing.assert_array_equal(runner.infer((inputs,)), whole.infer((inputs,)))
    data.rename(tmp_path / "elsewhere")
    opened = (lambda: load_onnx(path), lambda: costs_of(path, [(inputs,)]))
    for use in (*opened, OnnxRunner(path).__enter__):
        with pytest.raises(ModelFileError, match=r"m\.onnx"):
            use()
    data.symlink_to(tmp_path / "elsewhere")
    for use in opened:
        with pytest.raises(ModelFileError, match="which is a symbolic link"):
            use()
