"""Parallel branches become one convolution that answers as they did."""

import pytest
import torch
from nets import Block
from torch import Tensor, fx, nn

from compressor.graphs import capture, merged_branches


class Residual(nn.Module):
    """The input itself as a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + x


class Strided(nn.Module):
    """Two kernels that step by two, and a BatchNorm over their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.narrow = nn.Conv2d(4, 6, 1, stride=2)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.wide(x) + self.narrow(x))


class Apart(nn.Module):
    """Sums that are no one convolution: other inputs, an activation in between, another centre."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.left, self.shifted = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) + self.second(torch.relu(x))
        x = x + torch.relu(self.second(x))
        return self.left(x) + self.shifted(x)[..., 2:, 2:]


def convolutions(graph: fx.GraphModule) -> int:
    return sum("conv" in str(node.target) for node in graph.graph.nodes if node.op == "call_function")


def stirred(module: nn.Module) -> nn.Module:
    """Statistics and factors away from 0 and 1."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d) and child.running_mean is not None and child.running_var is not None:
            nn.init.normal_(child.running_mean)
            nn.init.uniform_(child.running_var, 0.5, 2)
            nn.init.normal_(child.weight)
            nn.init.normal_(child.bias)
    return module.eval()


@pytest.mark.parametrize(
    ("module", "branches"),
    [
        (Block(4, 3, 1), 3),
        (Block(6, 3, 3, 1, groups=6), 4),
        (Block(4, 1, 1, groups=2), 3),
        (Block(4, (3, 3), (1, 3), (3, 1), identity=False), 3),
        (Residual(), 2),
        (Strided(), 2),
    ],
    ids=["dense", "depthwise", "pointwise", "rows and columns", "residual", "strided"],
)
def test_branches_become_one(module: nn.Module, branches: int) -> None:
    torch.manual_seed(0)
    module = stirred(module)
    x = torch.randn(2, next(p.shape[1] * getattr(m, "groups", 1) for m in module.modules()
                            if isinstance(m, nn.Conv2d) for p in [m.weight]), 7, 6)  # fmt: skip
    graph = capture(module, (x,))
    kinds = [str(node.target) for node in graph.graph.nodes]
    assert convolutions(graph) == 1
    assert not any("add" in kind or "batch_norm" in kind for kind in kinds)
    assert torch.allclose(graph(x), module(x), atol=1e-5)
    assert f"{branches} parallel branches" in merged_branches(graph)


def test_the_whole_is_trainable_and_named_the_same_every_time() -> None:
    module = stirred(nn.Sequential(Block(4, 3, 1), Block(4, 3, 1)))
    x = torch.randn(2, 4, 6, 6)
    first, second = (capture(module, (x,)).train() for _ in range(2))
    first(x).sum().backward()
    assert all(parameter.grad is not None for parameter in first.parameters())
    assert list(first.state_dict()) == list(second.state_dict())
    assert len(first.state_dict()) == 4


def test_what_would_cost_more_stays_apart() -> None:
    module = stirred(Block(4, (1, 5), (5, 1), identity=False))
    graph = capture(module, (torch.randn(2, 4, 6, 6),))
    assert convolutions(graph) == 2
    assert merged_branches(graph) == ""


def test_other_sums_stay() -> None:
    module = Apart().eval()
    x = torch.randn(2, 4, 6, 6)
    graph = capture(module, (x,))
    assert torch.allclose(graph(x), module(x), atol=1e-6)
    assert convolutions(graph) == 5
