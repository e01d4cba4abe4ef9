"""Folded networks answer as before, under names of the layers."""

import pytest
import torch
from torch import Tensor, fx, nn

from compressor.graphs import capture


class SharedConvolution(nn.Module):
    """One convolution read by BatchNorm and by another user: it can't take the BatchNorm in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.norm(x) + x


def norms(graph: fx.GraphModule) -> list[fx.Node]:
    return [node for node in graph.graph.nodes if node.target is torch.ops.aten.batch_norm.default]


def stirred(module: nn.Module) -> nn.Module:
    """Statistics and factors away from 0 and 1."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            assert child.running_mean is not None and child.running_var is not None
            child.running_mean.normal_()
            child.running_var.uniform_(0.5, 2)
            if child.affine:
                nn.init.normal_(child.weight)
                nn.init.normal_(child.bias)
    return module.eval()


def test_folding_changes_no_answer() -> None:
    module = stirred(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 6, 3, groups=2),
            nn.BatchNorm2d(6, affine=False),
            nn.Flatten(),
            nn.Linear(6 * 16, 5),
            nn.BatchNorm1d(5),
        )
    )
    x = torch.randn(7, 3, 8, 8)
    graph = capture(module, (x,))
    assert not norms(graph)
    assert torch.allclose(graph(x), module(x), atol=1e-5)
    assert sorted(graph.state_dict()) == ["0.bias", "0.weight", "2.bias", "2.weight", "5.bias", "5.weight"]


def test_one_weight_by_hand() -> None:
    module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=1e-30)).eval()
    convolution, norm = module[0], module[1]
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    nn.init.constant_(convolution.weight, 3.0)
    nn.init.constant_(convolution.bias, 5.0)
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    nn.init.constant_(norm.weight, 10.0)
    nn.init.constant_(norm.bias, 7.0)
    folded = capture(module, (torch.randn(2, 1, 2, 2),)).state_dict()
    assert folded["0.weight"].item() == 3.0 * 10.0 / 2.0
    assert folded["0.bias"].item() == (5.0 - 1.0) * 10.0 / 2.0 + 7.0


def test_what_has_two_readers_stays() -> None:
    module = stirred(SharedConvolution())
    x = torch.randn(2, 3, 8, 8)
    graph = capture(module, (x,))
    assert norms(graph)
    assert torch.allclose(graph(x), module(x), atol=1e-6)


class Head(nn.Module):
    """One convolution for maps of several sizes, with one BatchNorm or one for each."""

    def __init__(self, norms: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(norms))
        self.rest = nn.Linear(4, 400)

    def forward(self, x: Tensor) -> Tensor:
        levels = [x, x[..., ::2, ::2]]
        found = [self.norms[i % len(self.norms)](self.conv(level)).relu() for i, level in enumerate(levels)]
        return self.rest(sum(one.mean((2, 3)) for one in found))


class Twice(nn.Module):
    """One BatchNorm after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.second(self.norm(self.first(x)).relu()))


FOLDING = {
    "a head over levels": Head(1),
    "a head over levels, a norm each": Head(2),
    "one norm after two layers": Twice(),
    "before a convolution": nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 6, 3, groups=3)),
    "before linear layers": nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192), nn.Linear(192, 5, bias=False)),
    "after a transposed convolution": nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2), nn.BatchNorm2d(4)),
    "after groups": nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)),
    "past dropout and identity": nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Dropout2d(), nn.Identity(), nn.Dropout(), nn.BatchNorm2d(4)
    ),
    "after same padding": nn.Sequential(nn.Conv2d(3, 4, 3, padding="same", dilation=2), nn.BatchNorm2d(4)),
}


@pytest.mark.parametrize("name", FOLDING)
def test_it_folds(name: str) -> None:
    torch.manual_seed(0)
    module = stirred(FOLDING[name])
    x = torch.randn(3, 3, 8, 8)
    graph = capture(module, (x,))
    assert not norms(graph)
    assert torch.allclose(graph(x), module(x), atol=1e-5)


class Pixels(nn.Module):
    """BatchNorm along another axis than the layer's outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x))


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (Pixels(), torch.randn(3, 4, 4)),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1)), torch.randn(3, 3, 5, 5)),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.ConvTranspose2d(3, 4, 3)), torch.randn(3, 3, 5, 5)),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 4)), torch.randn(3, 4, 4)),
    ],
    ids=["another axis", "before zeros", "before a transposed convolution", "another axis before"],
)
def test_what_can_not_be_exact_stays(module: nn.Module, x: Tensor) -> None:
    module = stirred(module)
    graph = capture(module, (x,))
    assert norms(graph)
    assert torch.allclose(graph(x), module(x), atol=1e-5)


def test_copies_that_would_make_the_file_larger_are_not_made() -> None:
    module = stirred(Head(2))
    module.rest = nn.Linear(4, 4)
    graph = capture(module, (torch.randn(3, 3, 8, 8),))
    assert len(norms(graph)) == 2
