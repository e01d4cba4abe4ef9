"""Untrained networks of the kinds that placement must handle, with settled BatchNorm statistics."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision import models

SIZE = 32


def resnet18() -> nn.Module:
    return models.resnet18(num_classes=10)


def mobilenet_v2() -> nn.Module:
    return models.mobilenet_v2(width_mult=0.35, num_classes=10)


def vgg(batchnorm: bool = True) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width, pool in ((16, True), (32, True), (64, False), (64, True)):
        layers.append(nn.Conv2d(channels, width, 3, padding=1))
        layers += [nn.BatchNorm2d(width)] if batchnorm else []
        layers += [nn.ReLU(inplace=True)] + ([nn.MaxPool2d(2)] if pool else [])
        channels = width
    head = [nn.Flatten(), nn.Linear(64 * (SIZE // 8) ** 2, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10)]
    return nn.Sequential(*layers, *head)


def vgg_without_batchnorm() -> nn.Module:
    return vgg(batchnorm=False)


class Block(nn.Module):
    """Convolutions side by side, BatchNorm after each, and one more over the input itself."""

    def __init__(self, width: int, *kernels: int | tuple[int, int], groups: int = 1, identity: bool = True) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, kernel, padding="same", groups=groups, bias=False), nn.BatchNorm2d(width)
            )
            for kernel in kernels
        )
        self.identity = nn.BatchNorm2d(width) if identity else None

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = sum(branch(x) for branch in self.branches)  # type: ignore[assignment]
        return torch.relu(total if self.identity is None else self.identity(x) + total)


class Gated(nn.Module):
    """A squeeze-and-excitation block between two convolutions, the first with HardSwish."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.act = nn.Hardswish()
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.excite = nn.Conv2d(4, 8, 1)
        self.second = nn.Conv2d(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        gate = nn.functional.adaptive_avg_pool2d(x, 1)
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(gate))))
        return self.second(x * gate).mean((2, 3))


class Branches(nn.Module):
    """Two convolutions of one input, concatenated for a third."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 4, 3, padding=1)
        self.right = nn.Conv2d(3, 4, 1)
        self.last = nn.Conv2d(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([torch.relu(self.left(x)), torch.relu(self.right(x))], 1)
        return self.last(both).mean((2, 3))


def settled(make: Callable[[], nn.Module]) -> nn.Module:
    """The network in eval mode; BatchNorm has seen a few batches, so that activations keep their size."""
    torch.manual_seed(0)
    module = make().train()
    with torch.no_grad():
        for _ in range(10):
            module(torch.randn(16, 3, SIZE, SIZE))
    return module.eval()
