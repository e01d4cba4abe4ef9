"""BatchNorm folded into the layer before it, or after it, in a torch.export graph."""

from collections.abc import Iterable

import torch
from torch import Tensor, fx

from compressor.graphs.tensors import bias_for, clean, is_own, scale_and_shift, set_layer, store, value_of

aten = torch.ops.aten
CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
TRANSPOSED = (aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)
LINEAR = aten.linear.default
FOLDABLE = (*CONVOLUTIONS, *TRANSPOSED, LINEAR)
# A layer that is called several times with a BatchNorm of its own each time gets as many weights; beyond this share of
# the network's parameters the bytes are worth more than the time.
MOST_COPIED = 0.1


def fold_batchnorm(graph_module: fx.GraphModule) -> list[str]:
    """Fold every BatchNorm in eval mode whose factor a layer beside it can take in exactly.

    ``weight * gamma / sqrt(var + eps)`` and ``(bias - mean) * gamma / sqrt(var + eps) + beta`` take the names of the
    weight and bias of the layer before it; BatchNorm's own tensors are gone afterwards. A layer that is called several
    times, as a head over all levels of a pyramid, keeps one weight where all calls share the BatchNorm too, else each
    call gets its own. What stands behind no such layer goes into those that read it, if they pad with no zeros: a
    padded border would miss what BatchNorm adds.

    Returns:
        The names that the nodes had.
    """
    folded: list[str] = []
    for calls in _by_weight(graph_module):
        folded += _fold_back(graph_module, calls)
    for norm in list(graph_module.graph.nodes):
        if _is_fixed(norm) and _readers_can(norm):
            folded.append(_fold_forward(graph_module, norm))
    clean(graph_module)
    return folded


def _is_fixed(norm: fx.Node) -> bool:
    """Whether a node is a BatchNorm in eval mode that has statistics."""
    return (
        norm.target is aten.batch_norm.default
        and not norm.args[5]
        and all(isinstance(statistic, fx.Node) for statistic in norm.args[3:5])
    )


def _by_weight(graph_module: fx.GraphModule) -> Iterable[list[fx.Node]]:
    """BatchNorms that alone read a layer, those together whose layers share a weight."""
    found: dict[str, list[fx.Node]] = {}
    for norm in graph_module.graph.nodes:
        layer = norm.args[0] if _is_fixed(norm) else None
        if not isinstance(layer, fx.Node) or layer.target not in FOLDABLE or len(layer.users) != 1:
            continue
        weight = layer.args[1]
        # BatchNorm goes along the second axis, a linear layer's outputs lie on the last.
        fits = layer.target is not LINEAR or norm.meta["val"].dim() == 2
        if isinstance(weight, fx.Node) and weight.op == "get_attr" and fits:
            found.setdefault(str(weight.target), []).append(norm)
    return found.values()


def _fold_back(graph_module: fx.GraphModule, norms: list[fx.Node]) -> list[str]:
    """Into the layers before them, which share one weight."""
    layers = [norm.args[0] for norm in norms]
    first = layers[0]
    assert isinstance(first, fx.Node)
    weight = value_of(graph_module, first.args[1])
    assert weight is not None
    kinds: dict[tuple[object, ...], list[fx.Node]] = {}
    for norm, layer in zip(norms, layers, strict=True):
        assert isinstance(layer, fx.Node)
        bias = layer.args[2] if len(layer.args) > 2 else None
        targets = tuple(getattr(node, "target", None) for node in (*norm.args[1:5], bias))
        kinds.setdefault((*targets, norm.args[7]), []).append(norm)
    alone = is_own(first.args[1], [layer for layer in layers if isinstance(layer, fx.Node)])
    copies = len(kinds) - alone
    total = sum(parameter.numel() for parameter in graph_module.parameters())
    if copies and copies * weight.numel() > MOST_COPIED * total:
        return []
    for same in kinds.values():
        _fold_into(graph_module, same, copied=bool(copies))
    return [norm.name for norm in norms]


@torch.no_grad()
def _fold_into(graph_module: fx.GraphModule, norms: list[fx.Node], *, copied: bool) -> None:
    """One BatchNorm, after each call of one layer, into one weight and bias."""
    layers = [layer for norm in norms if isinstance(layer := norm.args[0], fx.Node)]
    layer = layers[0]
    factor, shift = scale_and_shift(graph_module, norms[0])
    weight, bias = value_of(graph_module, layer.args[1]), None
    if len(layer.args) > 2:
        bias = value_of(graph_module, layer.args[2])
    assert weight is not None
    name = str(getattr(layer.args[1], "target", ""))
    if copied:
        name = f"{name}_{norms[0].name}"
    bias_name = f"{name}_bias" if copied else bias_for(graph_module, layer, name, layers)
    store(graph_module, name, weight * _along_outputs(layer, weight, factor))
    store(graph_module, bias_name, shift if bias is None else bias * factor + shift)
    for norm, called in zip(norms, layers, strict=True):
        set_layer(graph_module, called, name, bias_name)
        norm.replace_all_uses_with(called)
        graph_module.graph.erase_node(norm)


def _along_outputs(layer: fx.Node, weight: Tensor, factor: Tensor) -> Tensor:
    """A factor of each output, in the shape of the weight that makes them."""
    if layer.target not in TRANSPOSED:
        return factor.view(-1, *[1] * (weight.dim() - 1))
    # Inputs first, and of the outputs those of one group.
    groups = layer.args[6] if len(layer.args) > 6 else 1
    assert isinstance(groups, int)
    rows = factor.view(groups, 1, -1).expand(groups, weight.shape[0] // groups, weight.shape[1])
    return rows.reshape(weight.shape[0], weight.shape[1], *[1] * (weight.dim() - 2))


def _readers_can(norm: fx.Node) -> bool:
    """Whether all that reads a BatchNorm can take it in: layers of their own weight that pad nothing."""
    for reader in norm.users:
        if reader.target not in (*CONVOLUTIONS, LINEAR) or reader.args[0] is not norm or norm in reader.args[1:]:
            return False
        if not all(is_own(node, [reader]) for node in reader.args[1:3]) or not isinstance(reader.args[1], fx.Node):
            return False
        if reader.target is LINEAR and norm.meta["val"].dim() != 2:
            return False
        padding = reader.args[4] if len(reader.args) > 4 else ()
        if reader.target is not LINEAR and (not isinstance(padding, list | tuple) or any(padding)):
            return False
    return bool(norm.users)


@torch.no_grad()
def _fold_forward(graph_module: fx.GraphModule, norm: fx.Node) -> str:
    factor, shift = scale_and_shift(graph_module, norm)
    given = norm.args[0]
    assert isinstance(given, fx.Node)
    for layer in list(norm.users):
        weight = value_of(graph_module, layer.args[1])
        bias = value_of(graph_module, layer.args[2]) if len(layer.args) > 2 else None
        assert weight is not None
        # Of a grouped convolution each output reads the inputs of its group alone.
        groups = len(factor) // weight.shape[1]
        each = weight.shape[0] // groups
        rows, added = (value.view(groups, -1).repeat_interleave(each, 0) for value in (factor, shift))
        rest = [1] * (weight.dim() - 2)
        constant = (weight * added.view(*added.shape, *rest)).flatten(1).sum(1)
        name = str(getattr(layer.args[1], "target", ""))
        bias_name = bias_for(graph_module, layer, name, [layer])
        store(graph_module, name, weight * rows.view(*rows.shape, *rest))
        store(graph_module, bias_name, constant if bias is None else bias + constant)
        set_layer(graph_module, layer, name, bias_name)
    norm.replace_all_uses_with(given)
    graph_module.graph.erase_node(norm)
    return norm.name
