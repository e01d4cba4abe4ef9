from pathlib import Path

import pytest
from torch import nn

from compressor.models import ModelInfo, OnnxModel, TorchModel
from compressor.runners import OnnxRunner, TorchRunner, available, choose, runner_for
from compressor.target import Target

CPU, GPU = Target(runtime="onnxruntime"), Target(runtime="tensorrt")


def test_a_runner_for_each_form() -> None:
    assert isinstance(runner_for(TorchModel(nn.Identity(), ModelInfo()), CPU), TorchRunner)
    assert isinstance(runner_for(OnnxModel(Path("m.onnx"), ModelInfo()), CPU), OnnxRunner)


def test_onnx_runtime_is_always_here() -> None:
    assert available(CPU) is None


def test_tensorrt_needs_its_package_then_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(choose, "find_spec", lambda name: None)
    assert "not installed" in str(available(GPU))
    monkeypatch.setattr(choose, "find_spec", lambda name: object())
    assert "no NVIDIA GPU" in str(available(GPU))
    monkeypatch.setattr(choose.torch.cuda, "is_available", lambda: True)
    assert available(GPU) is None
