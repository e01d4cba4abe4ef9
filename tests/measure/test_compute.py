from pathlib import Path

import pytest
import torch
from torch import nn

from compressor.measure import count_macs, count_params
from compressor.models import OnnxModel, TorchModel


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (3, 10, 10), 10 * 10 * 8 * 3 * 9),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), (3, 10, 10), 5 * 5 * 8 * 3 * 9),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (8, 10, 10), 10 * 10 * 8 * 9),
        (nn.Conv2d(8, 16, 1, groups=2), (8, 4, 4), 4 * 4 * 16 * 4),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), (4, 5, 5), 5 * 5 * 4 * 6 * 4),
        (nn.Linear(20, 7), (20,), 20 * 7),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)), (3, 4, 4), 0),
    ],
    ids=["conv", "strided", "depthwise", "grouped", "transposed", "linear", "no-products"],
)
def test_macs_by_hand_whatever_the_batch(module: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    for batch in (1, 3):
        assert count_macs(module, (torch.zeros(batch, *shape),)) == macs


def test_attention_counts_its_projections_and_products() -> None:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.attention(x, x, x, need_weights=False)[0]
            return outputs

    projections, products = 4 * 5 * 16 * 16, 2 * 5 * 5 * 16
    assert count_macs(Attend(), (torch.zeros(2, 5, 16),)) == projections + products


def test_counting_leaves_the_module_alone() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    count_macs(module, (torch.rand(2, 1, 5, 5),))
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_params() -> None:
    assert count_params(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))) == 3 * 8 * 9 + 8 + 8 + 8


def test_a_file_counts_as_its_network(trained: TorchModel, trained_onnx: OnnxModel) -> None:
    inputs = (torch.zeros(2, 1, 8, 8),)
    assert count_macs(trained_onnx.path, inputs) == count_macs(trained.module, inputs)
    convolutions = 16 * 9 + 16 * 9 + 32 * 16
    assert count_params(trained_onnx.path) == convolutions + (16 + 16 + 32) + 512 * 10 + 10


def test_the_file_may_have_any_folder(trained_onnx: OnnxModel, tmp_path: Path) -> None:
    moved = tmp_path / "moved.onnx"
    moved.write_bytes(trained_onnx.path.read_bytes())
    assert count_macs(moved, (torch.zeros(5, 1, 8, 8),)) == count_macs(trained_onnx.path, (torch.zeros(1, 1, 8, 8),))
