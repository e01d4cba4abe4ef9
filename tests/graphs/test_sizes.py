"""A size that the code makes a plain number of stays open; what can't stay so is told as it is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressor.errors import PlanError
from compressor.export.onnx import export_onnx
from compressor.graphs import capture, with_open_sizes
from compressor.models import InputSpec, ModelInfo, TorchModel
from compressor.runners import OnnxRunner

X = torch.randn(2, 4, 4)


class ByLength(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rows = [1] * len((3, 4))
        return x.view(len(x), -1) * float(len(rows))


class ByInt(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        count = int(x.size(0))
        assert isinstance(x.shape[1], int) and int("3") == 3 and issubclass(bool, int)
        return x.reshape(count, int(x.shape[1] * x.shape[2]))


class OfTwo(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) * (1.0 if x.shape[0] == 2 else 2.0)


@pytest.mark.parametrize("module", [ByLength(), ByInt()])
def test_the_batch_stays_open(module: nn.Module, tmp_path: Path) -> None:
    more = torch.randn(5, 4, 4)
    assert torch.equal(capture(module, (X,))(more), module(more))
    exported = export_onnx(TorchModel(module, ModelInfo(inputs=(InputSpec(shape=(4, 4)),))), tmp_path / "m.onnx", (X,))
    with OnnxRunner(exported.path) as runner:
        assert np.array_equal(runner.infer((more.numpy(),)), module(more).numpy())
    assert "len" not in globals() and "int" not in globals()


def test_a_size_that_decides_is_told() -> None:
    with pytest.raises(PlanError, match="batch"):
        capture(OfTwo(), (X,))


def test_another_fault_is_not_tried_again() -> None:
    calls = []

    def trace() -> None:
        calls.append(1)
        raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        with_open_sizes(ByLength(), trace)
    assert calls == [1]
