"""The captured graph is the module, trainable, with the same names every time."""

import copy

import pytest
import torch
from nets import mobilenet_v2, resnet18, settled
from torch import Tensor, nn

from compressor.errors import PlanError
from compressor.graphs import capture, simplified


class InPlace(nn.Module):
    """Reads a tensor after an in-place operator has changed it, under its old name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        before = x * 2
        x.relu_()
        return before + x


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class BatchDependent(nn.Module):
    """Answers by how many samples come with one."""

    def forward(self, x: Tensor) -> Tensor:
        return x / x.shape[0] + torch.rand_like(x)


def test_it_trains_and_copies() -> None:
    module = settled(mobilenet_v2)
    x = torch.randn(2, 3, 32, 32)
    graph = capture(module, (x,))
    copied = copy.deepcopy(graph).train()
    copied(x).sum().backward()
    assert all(p.grad is not None for p in copied.parameters())
    assert all(p.grad is None for p in graph.parameters())
    assert torch.allclose(graph.eval()(x[:1]), module(x[:1]), atol=1e-4)


def test_in_place_operators_become_functional() -> None:
    module = InPlace().eval()
    x = torch.randn(2, 3, 8, 8)
    graph = capture(module, (x,))
    assert not [node.target for node in graph.graph.nodes if "_." in str(node.target)]
    assert torch.allclose(graph(x), module(x), atol=1e-6)


def test_no_dropout_is_left() -> None:
    graph = capture(settled(mobilenet_v2), (torch.randn(2, 3, 32, 32),))
    assert not [node for node in graph.graph.nodes if "dropout" in str(node.target)]


def test_names_are_the_same_every_time() -> None:
    first, second = (capture(settled(resnet18), (torch.randn(count, 3, 32, 32),)) for count in (2, 5))
    assert list(first.state_dict()) == list(second.state_dict())
    assert [node.name for node in first.graph.nodes] == [node.name for node in second.graph.nodes]


def test_one_example_is_enough() -> None:
    graph = capture(nn.Sequential(nn.Conv2d(3, 4, 3)), (torch.randn(1, 3, 8, 8),))
    assert graph(torch.randn(5, 3, 8, 8)).shape == (5, 4, 6, 6)


def test_the_module_is_left_alone() -> None:
    module = settled(resnet18).train()
    before = copy.deepcopy(module.state_dict())
    capture(module, (torch.randn(2, 3, 32, 32),))
    assert module.training
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_python_branches_on_values_are_refused() -> None:
    with pytest.raises(PlanError, match="can't trace Branching") as caught:
        capture(Branching(), (torch.randn(2, 3),))
    assert "control flow" in caught.value.hint


def test_random_answers_are_refused() -> None:
    with pytest.raises(PlanError, match="answers otherwise than the module on inputs of"):
        capture(BatchDependent(), (torch.randn(2, 3),))


def test_a_float_file_is_written_from_the_simplified_graph() -> None:
    x = torch.randn(2, 3, 8, 8)
    axes = ({0: torch.export.Dim("batch", min=1)},)
    before = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)).eval()
    keys = list(before.state_dict())
    found = simplified(before, (x,), axes)
    assert isinstance(found, torch.fx.GraphModule)
    assert torch.allclose(found(x), before(x), atol=1e-6)
    assert list(before.state_dict()) == keys
    uncaptured = Branching()
    assert simplified(uncaptured, (x,), axes) is uncaptured
