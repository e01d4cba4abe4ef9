"""Activations that cost time in integers, as ones that don't."""

import torch
from torch import fx

aten = torch.ops.aten
SMOOTH = (aten.hardswish.default, aten.silu.default, aten.mish.default)


def to_relu(graph_module: fx.GraphModule) -> int:
    """Put ReLU in the place of every HardSwish, SiLU (also spelt ``x * sigmoid(x)``) and Mish, in place.

    ONNX Runtime computes those in float, between two conversions; ReLU is part of the convolution before it. The
    answers are others afterwards, and have to be trained (Howard et al. 2019, https://arxiv.org/abs/1905.02244, section
    5.2, chose HardSwish over ReLU for its accuracy, and name what it costs). Nodes keep their names.

    Returns:
        How many there were.
    """
    count = 0
    for node in list(graph_module.graph.nodes):
        given = node.args[0] if node.target in SMOOTH else _gated(node)
        if given is not None:
            node.target, node.args = aten.relu.default, (given,)
            count += 1
    graph_module.graph.eliminate_dead_code()
    graph_module.recompile()
    return count


def _gated(node: fx.Node) -> fx.Node | None:
    """What a product multiplies with its own sigmoid."""
    if node.target is not aten.mul.Tensor:
        return None
    for value, gate in (node.args[:2], node.args[1::-1]):
        if isinstance(gate, fx.Node) and gate.target is aten.sigmoid.default and gate.args[0] is value:
            assert isinstance(value, fx.Node)
            return value
    return None
