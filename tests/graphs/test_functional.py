"""Whatever a network's code writes into, its graph answers as it does and writes into nothing."""

import pytest
import torch
from torch import Tensor, fx, nn

from compressor.axes import dynamic_axes
from compressor.errors import PlanError
from compressor.graphs import capture, simplified
from compressor.graphs.functional import make_functional

X = torch.randn(2, 4, 4)


class Masked(nn.Module):
    """Writes into parts of a mask, as Swin does with the windows that it shifts."""

    def forward(self, x: Tensor) -> Tensor:
        mask = x.new_zeros(4, 4)
        mask[0:2, 1:] = 1
        mask[2] += 3
        return x @ mask


class OnItself(nn.Module):
    """Writes into its values, of which it showed itself another shape before, that it reads no more."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        y.view(-1, 16)
        y.relu_()
        return y.flatten(1).add_(1)


class Marked(nn.Module):
    """Writes into a part of what depends on its input."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        y[:, 0] = 5
        y[:, 1:3, 2] += x[:, 1:3, 0]
        return y


class Collected(nn.Module):
    """Writes what it computes into an array made for it, as an iteration that keeps its steps does."""

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.zeros(len(x), 3, 4, 4, dtype=torch.float64)
        steps[:, 0] = x
        steps[:, 1] = x @ x
        steps[:, 2] = x.mean()
        return steps.sum(1).float()


class ThroughAnother(nn.Module):
    """Reads what it wrote through another view of it."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        turned = y.transpose(1, 2)
        y.relu_()
        return turned + 1


def graph_of(module: nn.Module) -> fx.GraphModule:
    exported = torch.export.export(module, (X,), dynamic_shapes=dynamic_axes((X,), None)).module(check_guards=False)
    return fx.GraphModule(exported, exported.graph)


@pytest.mark.parametrize("module", [Masked(), OnItself()])
def test_it_answers_as_before(module: nn.Module) -> None:
    graph = graph_of(module)
    assert make_functional(graph)
    assert torch.equal(graph(X), module(X))
    schemas = [getattr(node.target, "_schema", None) for node in graph.graph.nodes]
    assert not any(schema.is_mutable for schema in schemas if schema)
    assert not any("scatter" in str(node.target) for node in graph.graph.nodes), "what depends on no input is stored"
    assert torch.equal(capture(module, (X,))(X), module(X))


def test_parts_are_put_back_into_the_whole() -> None:
    graph = graph_of(Marked())
    assert make_functional(graph)
    assert torch.equal(graph(X), Marked()(X))
    assert sum("scatter" in str(node.target) for node in graph.graph.nodes) >= 2


def test_what_is_written_can_be_trained_through() -> None:
    graph = capture(Collected(), (X,))
    given, same = (X.clone().requires_grad_() for _ in range(2))
    graph(given).square().sum().backward()
    Collected()(same).square().sum().backward()
    assert torch.allclose(given.grad, same.grad)  # type: ignore[arg-type]


def test_what_cannot_be_followed_is_left_to_torch() -> None:
    module = ThroughAnother()
    assert not make_functional(graph_of(module))
    assert simplified(module, (X,), dynamic_axes((X,), None)) is module
    with pytest.raises(PlanError, match="answers otherwise than the module"):
        capture(module, (X,))
