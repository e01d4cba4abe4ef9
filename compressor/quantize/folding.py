"""BatchNorm folded into the convolution or linear layer before it, in a torch.export graph."""

import torch
from torch import Tensor, fx, nn

aten = torch.ops.aten
FOLDABLE = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default, aten.linear.default)


def fold_batchnorm(graph_module: fx.GraphModule) -> list[str]:
    """Fold every BatchNorm in eval mode that alone reads one convolution or linear layer.

    ``weight * gamma / sqrt(var + eps)`` and ``(bias - mean) * gamma / sqrt(var + eps) + beta`` take the
    names of the layer's weight and bias; BatchNorm's own tensors are gone afterwards.

    Returns:
        The names of the folded BatchNorm nodes.
    """
    graph = graph_module.graph
    folded = []
    for norm in list(graph.nodes):
        layer = norm.args[0] if norm.target is aten.batch_norm.default else None
        if not isinstance(layer, fx.Node) or not _can_fold(norm, layer):
            continue
        _fold(graph_module, norm, layer)
        folded.append(norm.name)
    graph.eliminate_dead_code()
    graph_module.delete_all_unused_submodules()
    _delete_unused_tensors(graph_module)
    graph_module.recompile()
    return folded


def tensor_at(graph_module: fx.GraphModule, target: str) -> Tensor | None:
    """The parameter or buffer of that dotted name."""
    owner, _, name = target.rpartition(".")
    found: Tensor | None = getattr(graph_module.get_submodule(owner), name)
    return found


def _can_fold(norm: fx.Node, layer: fx.Node) -> bool:
    training = norm.args[5]
    if training or layer.target not in FOLDABLE or len(layer.users) != 1:
        return False
    tensors = [layer.args[1], *layer.args[2:3], *norm.args[1:5]]
    nodes = [node for node in tensors if isinstance(node, fx.Node)]
    # A weight that another node reads too must stay as it is.
    own = all(node.op == "get_attr" and len(node.users) == 1 for node in nodes)
    has_statistics = isinstance(norm.args[3], fx.Node) and isinstance(norm.args[4], fx.Node)
    return own and has_statistics and isinstance(layer.args[1], fx.Node)


def _fold(graph_module: fx.GraphModule, norm: fx.Node, layer: fx.Node) -> None:
    def value(node: object) -> Tensor | None:
        return tensor_at(graph_module, str(node.target)) if isinstance(node, fx.Node) else None

    gamma, beta, mean, variance = (value(node) for node in norm.args[1:5])
    assert mean is not None and variance is not None
    weight_node = layer.args[1]
    assert isinstance(weight_node, fx.Node)
    weight, bias = value(weight_node), value(layer.args[2]) if len(layer.args) > 2 else None
    assert weight is not None
    epsilon = norm.args[7]
    assert isinstance(epsilon, float)
    with torch.no_grad():
        factor = torch.rsqrt(variance + epsilon)
        factor = factor if gamma is None else factor * gamma
        shift = -mean if bias is None else bias - mean
        new_bias = shift * factor if beta is None else shift * factor + beta
        new_weight = weight * factor.view(-1, *[1] * (weight.dim() - 1))
    owner, _, name = str(weight_node.target).rpartition(".")
    place = graph_module.get_submodule(owner)
    place.register_parameter(name, nn.Parameter(new_weight.contiguous()))
    bias_name = name.removesuffix("weight") + "bias"
    place.register_parameter(bias_name, nn.Parameter(new_bias))
    with graph_module.graph.inserting_before(layer):
        bias_node = graph_module.graph.get_attr(f"{owner}.{bias_name}" if owner else bias_name)
    layer.args = (layer.args[0], weight_node, bias_node, *layer.args[3:])
    norm.replace_all_uses_with(layer)
    graph_module.graph.erase_node(norm)


def _delete_unused_tensors(graph_module: fx.GraphModule) -> None:
    used = {str(node.target) for node in graph_module.graph.nodes if node.op == "get_attr"}
    tensors = [name for name, _ in (*graph_module.named_parameters(), *graph_module.named_buffers())]
    for target in tensors:
        if target not in used:
            owner, _, name = target.rpartition(".")
            delattr(graph_module.get_submodule(owner), name)
