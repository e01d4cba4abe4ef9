"""Layers of a cut network that stand in for what was cut, against least squares by numpy and nets that can be exact."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from compressor.prune import refit as refitting
from compressor.prune.channels import prune_channels
from compressor.prune.refit import refit


@pytest.fixture(autouse=True)
def almost_no_ridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refitting, "RIDGE", 1e-12)
    monkeypatch.setattr(refitting, "LEAST_RIDGE", 1e-14)


CONVOLUTIONS: list[dict[str, Any]] = [
    {"kernel_size": 1},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (3, 5), "stride": (2, 1), "padding": (0, 2), "dilation": (2, 1)},
    {"kernel_size": 3, "padding": "same", "dilation": 2, "bias": False},
    {"kernel_size": 3, "padding": "valid"},
    {"kernel_size": 3, "padding": 1, "groups": 4},
    {"kernel_size": 3, "padding": 1, "groups": 8, "bias": False},
    {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
]


@pytest.mark.parametrize("settings", CONVOLUTIONS, ids=str)
def test_what_a_convolution_reads_is_what_it_computes_with(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    whole = nn.Conv2d(8, 8, **settings).eval()
    lost = copy.deepcopy(whole)
    nn.init.normal_(lost.weight)
    images = torch.randn(16, 8, 11, 9)
    assert refit(lost, whole, {}, lambda module: module(images)) == ["weight"]
    torch.testing.assert_close(lost.weight, whole.weight, atol=1e-4, rtol=1e-4)
    if whole.bias is not None:
        torch.testing.assert_close(lost.bias, whole.bias, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", [nn.Conv1d(6, 4, 3, padding=1, stride=2), nn.Linear(6, 4)], ids=str)
def test_so_do_lines_and_tables(layer: nn.Module) -> None:
    torch.manual_seed(0)
    lost = copy.deepcopy(layer)
    nn.init.normal_(lost.weight)
    given = torch.randn(64, 6, 12) if isinstance(layer, nn.Conv1d) else torch.randn(64, 3, 6)
    refit(lost, layer, {}, lambda module: module(given))
    torch.testing.assert_close(lost.weight, layer.weight, atol=1e-4, rtol=1e-4)


def test_one_layer_is_least_squares() -> None:
    torch.manual_seed(0)
    whole, cut = nn.Linear(6, 5), nn.Linear(4, 3)
    inputs = torch.randn(200, 6) @ torch.randn(6, 6)
    stay, read = torch.tensor([0, 2, 4]), torch.tensor([0, 1, 3, 5])

    def forward(module: nn.Module) -> Tensor:
        found: Tensor = module(inputs if module is whole else inputs[:, read])
        return found

    refit(cut, whole, {"weight": stay}, forward)
    made = whole(inputs)[:, stay].detach().numpy()
    known = np.hstack([inputs[:, read].numpy(), np.ones((200, 1), np.float32)])
    wanted = np.linalg.lstsq(known, made, rcond=None)[0]
    np.testing.assert_allclose(cut.weight.detach().numpy(), wanted[:-1].T, atol=1e-4)
    np.testing.assert_allclose(cut.bias.detach().numpy(), wanted[-1], atol=1e-4)


class Redundant(nn.Module):
    """Half of its first layer's channels are sums of the others, and small: any pruning takes them first."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.filters = nn.Parameter(torch.randn(12, 16, 3, 3) / 12)
        self.head = nn.Linear(12, 10)
        with torch.no_grad():
            self.first.weight[8:] = 0.1 * (self.first.weight[:8] + self.first.weight[:8].roll(1, 0))
            self.first.bias[8:] = 0.1 * (self.first.bias[:8] + self.first.bias[:8].roll(1, 0))

    def forward(self, x: Tensor) -> Tensor:
        """Its second convolution is called as a function."""
        x = conv2d(self.norm(self.first(x)), self.filters, padding=1)
        out: Tensor = self.head(x.relu().mean((2, 3)))
        return out


def test_what_the_others_can_say_is_not_missed() -> None:
    torch.manual_seed(0)
    whole = Redundant().eval()
    images = torch.randn(64, 3, 8, 8)
    cut = copy.deepcopy(whole)
    report = prune_channels(cut, (images[:2],), 0.5, ignored=["filters"])
    assert report.removed == {"first": 8}
    wanted, other = whole(images), torch.randn(64, 3, 8, 8)
    before = (cut(images) - wanted).abs().mean()
    assert refit(cut, whole, report.stays, lambda module: module(images)) == ["first.weight", "filters", "head.weight"]
    assert (cut(images) - wanted).abs().mean() < 1e-3 * before
    assert (cut(other) - whole(other)).abs().mean() < 1e-2 * before, "and on what it wasn't fitted to"


def test_dead_inputs_do_no_harm() -> None:
    torch.manual_seed(0)
    whole = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    images = torch.randn(8, 4, 6, 6)
    images[:, 1] = 0.0
    lost = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    assert refit(lost, whole, {}, lambda module: module(images)) == ["weight"]
    assert torch.isfinite(lost.weight).all()
    torch.testing.assert_close(lost(images), whole(images), atol=1e-4, rtol=1e-4)


def test_a_layer_that_is_called_again_is_left_as_it_is_and_so_is_one_of_a_single_sample() -> None:
    torch.manual_seed(0)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(self.layer(x))
            return out

    alone, image = nn.Conv2d(4, 4, 3), torch.randn(4, 6, 6)
    assert refit(nn.Conv2d(4, 4, 3), alone, {}, lambda module: module(image)) == []

    whole, lost = Twice().eval(), Twice().eval()
    before = lost.layer.weight.clone()
    assert refit(lost, whole, {}, lambda module: module(torch.randn(8, 4, 6, 6))) == []
    assert torch.equal(lost.layer.weight, before)
