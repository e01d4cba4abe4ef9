"""The parameters and buffers of a graph, by the nodes that read them."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, fx, nn


def tensor_at(graph_module: fx.GraphModule, target: str) -> Tensor | None:
    """The parameter or buffer of that dotted name."""
    owner, _, name = target.rpartition(".")
    found: Tensor | None = getattr(graph_module.get_submodule(owner), name)
    return found


def value_of(graph_module: fx.GraphModule, node: object) -> Tensor | None:
    """The tensor that a node reads from the module; None for None."""
    return tensor_at(graph_module, str(node.target)) if isinstance(node, fx.Node) else None


def is_own(node: object, readers: Collection[fx.Node]) -> bool:
    """Whether a tensor is stored, and these nodes alone read it; so it is where there is none."""
    if not isinstance(node, fx.Node):
        return True
    same = [other for other in node.graph.nodes if other.op == "get_attr" and other.target == node.target]
    return node.op == "get_attr" and all(user in readers for other in same for user in other.users)


def store(graph_module: fx.GraphModule, target: str, value: Tensor) -> None:
    """Keep a tensor as the parameter of that dotted name, in the place of any other."""
    owner, _, name = target.rpartition(".")
    graph_module.get_submodule(owner).register_parameter(name, nn.Parameter(value.contiguous()))


def bias_for(graph_module: fx.GraphModule, layer: fx.Node, weight: str, readers: Collection[fx.Node]) -> str:
    """What the bias beside a weight of that name is called: as the layer's own where it has one."""
    given = layer.args[2] if len(layer.args) > 2 else None
    if isinstance(given, fx.Node) and is_own(given, readers):
        return str(given.target)
    owner, _, name = weight.rpartition(".")
    wanted = name.removesuffix("weight") + "bias"
    # A module may have a bias of its own that the layer doesn't add.
    taken = getattr(graph_module.get_submodule(owner), wanted, None) is not None
    wanted = f"{layer.name}_bias" if taken else wanted
    return f"{owner}.{wanted}" if owner else wanted


def set_layer(graph_module: fx.GraphModule, layer: fx.Node, weight: str, bias: str, *rest: Any) -> None:
    """Let a layer read the weight and bias of these names; ``rest`` are its other arguments, as they were if none."""
    with graph_module.graph.inserting_before(layer):
        read = (graph_module.graph.get_attr(weight), graph_module.graph.get_attr(bias))
    layer.args = (layer.args[0], *read, *(rest or layer.args[3:]))


def clean(graph_module: fx.GraphModule) -> None:
    """Take out what nothing reads any more."""
    graph_module.graph.eliminate_dead_code()
    graph_module.delete_all_unused_submodules()
    used = {str(node.target) for node in graph_module.graph.nodes if node.op == "get_attr"}
    for target in [name for name, _ in (*graph_module.named_parameters(), *graph_module.named_buffers())]:
        if target not in used:
            owner, _, name = target.rpartition(".")
            delattr(graph_module.get_submodule(owner), name)
    graph_module.recompile()


@torch.no_grad()
def scale_and_shift(graph_module: fx.GraphModule, norm: fx.Node) -> tuple[Tensor, Tensor]:
    """BatchNorm in eval mode as what it multiplies by and adds."""
    gamma, beta, mean, variance = (value_of(graph_module, node) for node in norm.args[1:5])
    assert mean is not None and variance is not None
    epsilon = norm.args[7]
    assert isinstance(epsilon, float)
    factor = torch.rsqrt(variance + epsilon)
    factor = factor if gamma is None else factor * gamma
    return factor, -mean * factor if beta is None else beta - mean * factor
