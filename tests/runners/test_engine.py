from pathlib import Path

import numpy as np
import pytest
import torch

from compressor.errors import MissingError
from compressor.export.tensorrt import build_engine
from compressor.models import OnnxModel, TorchModel
from compressor.runners import EngineRunner, TorchRunner, available
from compressor.target import Target

TARGET = Target(runtime="tensorrt", max_batch_size=4)


@pytest.mark.skipif(available(TARGET) is None, reason="TensorRT and a GPU are here")
def test_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError) as caught:
        EngineRunner(tmp_path / "model.engine")
    assert "tensorrt" in str(caught.value).lower()


@pytest.mark.gpu
@pytest.mark.tensorrt
@pytest.mark.skipif(available(TARGET) is not None, reason=str(available(TARGET)))
def test_engine_answers_as_torch_does(trained: TorchModel, trained_onnx: OnnxModel, tmp_path: Path) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    inputs = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
    engine = build_engine(trained_onnx, tmp_path / "model.engine", TARGET)
    with EngineRunner(engine.path) as runner, TorchRunner(trained.module) as expected:
        np.testing.assert_allclose(runner.infer((inputs,)), expected.infer((inputs,)), atol=2e-2)
