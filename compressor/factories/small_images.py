"""Residual and plain networks for small images, and the embedded example's network."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from compressor.models import FactoryRef

DIGITS_NET = FactoryRef(
    reference="compressor.factories.small_images:resnet",
    arguments={"width": 32, "layers": [2, 2, 2], "num_classes": 10, "in_channels": 1},
)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2015, https://arxiv.org/abs/1512.03385, figure 2)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H/stride, W/stride)."""
        inner = functional.relu(self.bn1(self.conv1(images)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(images))


class SmallResNet(nn.Module):
    """A ResNet with a 3x3 stem and no max-pool; each stage after the first doubles the width, halves the size."""

    def __init__(self, width: int, layers: Sequence[int], num_classes: int, in_channels: int, stem_stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stem_stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        stages = []
        channels = width
        for place, blocks in enumerate(layers):
            wider = width * 2**place
            stride = 1 if place == 0 else 2
            stages.append(
                nn.Sequential(
                    *(Block(channels if b == 0 else wider, wider, stride if b == 0 else 1) for b in range(blocks))
                )
            )
            channels = wider
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, in_channels, H, W) to logits (N, num_classes)."""
        features = self.stages(functional.relu(self.bn1(self.conv1(images))))
        logits: Tensor = self.fc(self.pool(features).flatten(1))
        return logits


def resnet(
    width: int = 64,
    layers: Sequence[int] = (2, 2, 2, 2),
    num_classes: int = 10,
    in_channels: int = 1,
    stem_stride: int = 1,
) -> nn.Module:
    """A ResNet for small images; the defaults are ResNet-18 for 28x28 grey ones.

    Args:
        width: Channels of the first stage; later ones have 2, 4, 8 times as many.
        layers: Blocks per stage.
        num_classes: Outputs.
        in_channels: 1 for grey, 3 for colour.
        stem_stride: 2 quarters the cost of all stages.
    """
    return SmallResNet(width, layers, num_classes, in_channels, stem_stride)


def vgg(
    width: int = 32, layers: Sequence[int] = (1, 1, 2, 2), num_classes: int = 10, in_channels: int = 1
) -> nn.Module:
    """A VGG for small images (Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556), with BatchNorm.

    Args:
        width: Channels of the first stage; later ones have 2, 4, 8 times as many.
        layers: 3x3 convolutions per stage; a stage ends with a max-pool that halves the size.
        num_classes: Outputs.
        in_channels: 1 for grey, 3 for colour.
    """
    parts: list[nn.Module] = []
    channels = in_channels
    for place, count in enumerate(layers):
        for _ in range(count):
            wider = width * 2**place
            parts += [nn.Conv2d(channels, wider, 3, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
            channels = wider
        parts.append(nn.MaxPool2d(2, ceil_mode=True))
    head = [nn.Linear(channels, channels), nn.ReLU(), nn.Dropout(0.2), nn.Linear(channels, num_classes)]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head)


def digits_net() -> nn.Module:
    """The embedded example's network, with fresh weights; ``DIGITS_NET`` is how a file names it."""
    return resnet(**DIGITS_NET.arguments)
