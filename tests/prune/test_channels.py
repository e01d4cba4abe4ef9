"""Shapes by counting on hand-made networks: what goes, what stays, and why."""

import pytest
import torch
from torch import Tensor, nn

from compressor.errors import PlanError
from compressor.prune import prune_channels
from compressor.prune.channels import output_layers

IMAGES = (torch.randn(2, 1, 8, 8),)


def plain() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 16, 3),
        nn.Flatten(),
        nn.Linear(16 * 16, 10),
    )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.inner = nn.Conv2d(16, 32, 3, padding=1)
        self.outer = nn.Conv2d(32, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, groups=16)
        self.head = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images).relu()
        features = self.depthwise(stem + self.outer(self.inner(stem).relu()))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


def test_half_by_counting() -> None:
    module = plain()
    report = prune_channels(module, IMAGES, 0.5)
    assert (module[0].out_channels, module[1].num_features) == (16, 16)
    assert tuple(module[3].weight.shape) == (8, 16, 3, 3)
    assert (module[5].in_features, module[5].out_features) == (8 * 16, 10)
    assert report.removed == {"0": 16, "3": 8}
    assert report.kept == {"5": "makes the network's outputs"}
    assert module(*IMAGES).shape == (2, 10)


@pytest.mark.parametrize(("ratio", "round_to", "left"), [(0.3, 8, 24), (0.3, 1, 22), (0.97, 8, 8), (0.5, 16, 16)])
def test_counts_are_multiples_and_never_none(ratio: float, round_to: int, left: int) -> None:
    module = plain()
    prune_channels(module, IMAGES, ratio, round_to=round_to)
    assert module[0].out_channels == left


def test_coupled_layers_go_together() -> None:
    module = Residual()
    prune_channels(module, IMAGES, 0.5)
    assert module.stem.out_channels == module.outer.out_channels == module.depthwise.groups == 8
    assert module.inner.out_channels == 16
    assert module.head.in_features == 8
    assert module.head.out_features == 5
    module(*IMAGES).sum().backward()


def test_the_weakest_channels_go() -> None:
    module = plain()
    with torch.no_grad():
        module[0].weight[1::2] = 0
        module[3].weight[:, 1::2] = 0
        kept = module[0].weight[::2].clone()
    prune_channels(module, IMAGES, 0.5)
    assert torch.equal(module[0].weight, kept)


def test_output_layers_are_found_behind_other_operators() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(1, 16, 3)
            self.one, self.two = nn.Linear(16, 3), nn.Linear(16, 3)

        def forward(self, images: Tensor) -> Tensor:
            features = self.body(images).mean((2, 3))
            return (self.one(features) + self.two(features)).log_softmax(1)

    assert sorted(output_layers(Heads(), IMAGES)) == ["one", "two"]


def test_flags_and_modes_are_restored() -> None:
    module = plain().eval()
    module[0].weight.requires_grad_(False)
    prune_channels(module, IMAGES, 0.5, ignored=("3",))
    assert not module.training
    assert not module[0].weight.requires_grad
    assert module[3].weight.requires_grad
    assert module[3].out_channels == 16


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_that_lies_channels_last_is_pruned_as_any(channels: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(channels, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)
    )
    module.to(memory_format=torch.channels_last)
    report = prune_channels(module, (torch.randn(2, channels, 8, 8),), 0.5)
    assert report.removed == {"0": 8}
    assert report.stays["0.weight"].shape == (8,)


def test_global_scope_takes_more_where_less_matters() -> None:
    module = plain()
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[3].weight.fill_(1.0)
        module[3].weight[4:] *= 0.001
    report = prune_channels(module, IMAGES, 0.25, scope="global", round_to=1)
    assert report.removed == {"3": 12}


def test_a_graph_that_cannot_be_followed_is_refused() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(1, 16, 3)

        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError("no such luck")

    module = Broken().train()
    with pytest.raises(PlanError, match=r"Broken can't be pruned.*no such luck"):
        prune_channels(module, IMAGES, 0.5)
    assert module.training
