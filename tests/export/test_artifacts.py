import os
import subprocess
import sys
from pathlib import Path

import pytest

from compressor.export.artifacts import trtexec_line, write_device_kit, write_infer_script
from compressor.models import OnnxModel
from compressor.target import Target

TARGET = Target(runtime="tensorrt", batch_size=4, max_batch_size=16)


@pytest.fixture
def model(trained_onnx: OnnxModel, tmp_path: Path) -> OnnxModel:
    path = tmp_path / "model.onnx"
    path.write_bytes(trained_onnx.path.read_bytes())
    return OnnxModel(path, trained_onnx.info)


def test_the_trtexec_line_holds_the_shape_range_and_no_precision(model: OnnxModel) -> None:
    assert trtexec_line(model, TARGET) == (
        "trtexec --onnx=model.onnx --stronglyTyped --saveEngine=model.engine "
        "--minShapes=input:1x1x8x8 --optShapes=input:4x1x8x8 --maxShapes=input:16x1x8x8"
    )


def test_the_kit_stands_beside_the_model_and_can_be_started(model: OnnxModel) -> None:
    script, page = write_device_kit(model, TARGET)
    assert os.access(script, os.X_OK)
    assert "python3 build_engine.py --batch 4 --max-batch 16" in page.read_text()
    assert trtexec_line(model, TARGET) in page.read_text()
    assert {path.name for path in model.path.parent.iterdir()} == {"model.onnx", "build_engine.py", "TENSORRT.md"}


def test_the_infer_script_starts_where_it_was_put(model: OnnxModel) -> None:
    script = write_infer_script(model)
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=True)
    assert "images.npy" not in done.stderr and "usage" in done.stdout
