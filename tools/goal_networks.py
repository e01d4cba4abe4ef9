"""Five networks of different families for grey images of 28 x 28 pixels and ten classes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.models import DenseNet, mobilenet_v2
from torchvision.models.vgg import VGG, make_layers

from compressor.factories.small_images import resnet


class Textbook(nn.Module):
    """Convolution, ReLU and pooling three times, and two linear layers, as the books have it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.fc1 = nn.Linear(128 * 3 * 3, 256)
        self.fc2 = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) to (N, 10)."""
        for convolution in (self.conv1, self.conv2, self.conv3):
            x = nn.functional.max_pool2d(torch.relu(convolution(x)), 2)
        x = torch.relu(self.fc1(x.view(x.size(0), -1)))
        out: Tensor = self.fc2(x)
        return out


def vgg() -> nn.Module:
    """VGG-11 with BN, without the last two of its five poolings, and one linear layer."""
    layers = make_layers([64, "M", 128, "M", 256, 256, "M", 512, 512, 512, 512], batch_norm=True)
    network: nn.Module = VGG(layers, num_classes=10)
    layers.register_module("0", nn.Conv2d(1, 64, 3, padding=1))
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Sequential(nn.Linear(512, 10))
    return network


def mobilenet() -> nn.Module:
    """MobileNetV2 with a stem of stride 1."""
    network: nn.Module = mobilenet_v2(num_classes=10)
    stem = network.get_submodule("features.0")
    stem.register_module("0", nn.Conv2d(1, 32, 3, stride=1, padding=1, bias=False))
    return network


def densenet() -> nn.Module:
    """DenseNet of three blocks of six layers, with a 3 x 3 stem of stride 2 and no pooling after it."""
    network: nn.Module = DenseNet(growth_rate=24, block_config=(6, 6, 6), num_init_features=48, num_classes=10)
    features = network.get_submodule("features")
    features.register_module("conv0", nn.Conv2d(1, 48, 3, stride=2, padding=1, bias=False))
    features.register_module("pool0", nn.Identity())
    return network


def resnet18() -> nn.Module:
    """ResNet-18 with a 3 x 3 stem of stride 2."""
    network: nn.Module = resnet(width=64, layers=[2, 2, 2, 2], num_classes=10, in_channels=1, stem_stride=2)
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "Textbook": Textbook,
    "vgg": vgg,
    "resnet18": resnet18,
    "mobilenet": mobilenet,
    "densenet": densenet,
}
