"""A network trained on scikit-learn's digits in seconds, for what only means something on a trained one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from compressor.context import RunContext, Teacher
from compressor.data import Data
from compressor.data.batches import TensorSplit
from compressor.data.images import Normalise
from compressor.export.onnx import export_onnx
from compressor.models import InputSpec, ModelInfo, OnnxModel, TorchModel
from compressor.target import Target
from compressor.tasks import make_task

MEAN, STD = 0.3, 0.38


def digits_data() -> Data:
    images, labels = load_digits(return_X_y=True)
    pixels = torch.from_numpy(images).view(-1, 1, 8, 8).mul(255 / 16).round().to(torch.uint8)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    pixels, target = pixels[order], torch.from_numpy(labels)[order]

    def part(start: int, end: int) -> TensorSplit:
        return TensorSplit(pixels[start:end], target[start:end])

    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    normalise = Normalise((MEAN,), (STD,))
    return Data("digits", part(0, 1200), part(1200, 1437), part(1437, 1797), names, "0" * 64, normalise)


def network(activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        activation(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16),
        nn.Conv2d(16, 32, 1, bias=False),
        nn.BatchNorm2d(32),
        activation(),
        nn.Flatten(),
        nn.Linear(32 * 16, 10),
    )


def trained_model(data: Data, activation: type[nn.Module] = nn.ReLU) -> TorchModel:
    torch.manual_seed(0)
    module = network(activation)
    optimizer = torch.optim.Adam(module.parameters(), lr=4e-3)
    for epoch in range(5):
        for batch in data.training_batches(64, seed=0, epoch=epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(*batch.inputs), batch.labels).backward()
            optimizer.step()
    inputs = InputSpec(shape=(1, 8, 8), mean=(MEAN,), std=(STD,))
    return TorchModel(module.eval(), ModelInfo(inputs=(inputs,), classes=data.classes))


@pytest.fixture(scope="session")
def data() -> Data:
    return digits_data()


@pytest.fixture(scope="session")
def trained(data: Data) -> TorchModel:
    return trained_model(data)


@pytest.fixture(scope="session")
def trained_onnx(trained: TorchModel, data: Data, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    path = tmp_path_factory.mktemp("trained") / "model.onnx"
    return export_onnx(trained, path, data.batch("train", torch.arange(2)).inputs)


@pytest.fixture
def context(trained: TorchModel, data: Data, tmp_path: Path) -> Callable[..., RunContext]:
    """A context for a target, with a folder of its own by name."""

    def make(target: Target | None = None, name: str = "work") -> RunContext:
        workdir = tmp_path / name
        workdir.mkdir(exist_ok=True)
        return RunContext(
            task=make_task("image-classification"),
            data=data,
            target=target or Target(runtime="onnxruntime"),
            reference=trained,
            teachers=(Teacher(trained),),
            workdir=workdir,
        )

    return make
