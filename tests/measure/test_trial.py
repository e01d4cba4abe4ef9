"""One call of an exported file."""

from pathlib import Path

import onnx
import pytest
import small
import torch

from compressor.errors import PlanError
from compressor.export.onnx import export_onnx
from compressor.measure import try_file


def test_a_file_that_answers_and_files_that_do_not(tmp_path: Path) -> None:
    model, inputs = small.small_model(), tuple(small.small_data().batch("train", torch.arange(2)).inputs)
    file = export_onnx(model, tmp_path / "model.onnx", inputs)
    assert try_file(model, file, inputs) == []
    (note,) = try_file(small.small_model(seed=5), file, inputs)
    assert "off the network's" in note
    proto = onnx.load(file.path)
    bias = next(one for one in proto.graph.initializer if list(one.dims) == [10])
    bias.raw_data = b"\xff" * len(bias.raw_data)
    onnx.save(proto, file.path)
    with pytest.raises(PlanError, match="not finite"):
        try_file(model, file, inputs)
    file.path.write_bytes(b"no graph")
    with pytest.raises(PlanError, match="ONNX Runtime can't run"):
        try_file(model, file, inputs)
