"""Parallel branches as one convolution: what a re-parameterised network is trained as, and what it should run as.

Linear branches that read one tensor and are summed (convolutions, BatchNorms, the tensor itself) are one convolution,
whose kernel is the sum of theirs: Ding et al. 2021, *RepVGG: Making VGG-style ConvNets Great Again*,
https://arxiv.org/abs/2101.03697.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from compressor.graphs.folding import CONVOLUTIONS
from compressor.graphs.tensors import bias_for, clean, is_own, scale_and_shift, set_layer, store, value_of

aten = torch.ops.aten
ADD = aten.add.Tensor
BATCHNORM = aten.batch_norm.default
Sides = tuple[int, ...]


@dataclass(frozen=True)
class _Branch:
    """A convolution, by where its kernel reads: from ``low`` to ``high`` around the place that it writes."""

    node: fx.Node
    weight: Tensor
    stride: Sides
    dilation: Sides
    low: Sides
    high: Sides
    groups: int

    @property
    def key(self) -> tuple[object, ...]:
        """Equal where two could be one: the same tensor read around the same centre, the same outputs."""
        centre = tuple(map(sum, zip(self.low, self.high, strict=True)))
        return self.node.args[0], self.stride, self.groups, centre, tuple(self.weight.shape[:2])


def merge_branches(graph_module: fx.GraphModule) -> list[int]:
    """Replace sums of parallel convolutions, BatchNorms and their input by one convolution each, in place.

    Branches that would cost more as one, such as a row and a column of a large kernel, stay apart.

    Returns:
        How many branches became one, for each convolution so made.
    """
    merged: list[int] = []
    for node in reversed(list(graph_module.graph.nodes)):
        if _is_sum(node) and node.users and not (len(node.users) == 1 and _is_sum(next(iter(node.users)))):
            merged += _merge(graph_module, node)
    clean(graph_module)
    return merged[::-1]


def _is_sum(node: fx.Node) -> bool:
    return node.target is ADD and not node.kwargs and len(node.args) == 2


def _leaves(node: fx.Node) -> list[Any]:
    """What a tree of additions adds up, in order."""
    found: list[Any] = []
    for given in node.args:
        if isinstance(given, fx.Node) and _is_sum(given) and len(given.users) == 1:
            found += _leaves(given)
        elif given != 0:
            # Python's sum() starts with 0.
            found.append(given)
    return found


def _merge(graph_module: fx.GraphModule, root: fx.Node) -> list[int]:
    leaves = _leaves(root)
    shape = root.meta["val"].shape
    groups: dict[tuple[object, ...], list[_Branch]] = {}
    for leaf in leaves:
        if isinstance(leaf, fx.Node) and leaf.meta["val"].shape == shape:
            branch = _branch(graph_module, leaf)
            if branch is not None:
                groups.setdefault(branch.key, []).append(branch)
    merged: list[int] = []
    for branches in groups.values():
        identities = [leaf for leaf in leaves if isinstance(leaf, fx.Node) and _is_identity(leaf, branches[0])]
        identities = [leaf for leaf in identities if leaf.meta["val"].shape == shape]
        grid = _grid(branches)
        if len(branches) + len(identities) < 2 or grid is None:
            continue
        kept = max(branches, key=lambda branch: prod(branch.weight.shape[2:]))
        _sum_kernels(graph_module, kept.node, branches, identities, grid)
        gone = [*(branch.node for branch in branches), *identities]
        leaves = [kept.node, *(leaf for leaf in leaves if leaf not in gone)]
        merged.append(len(gone))
    if merged:
        _rebuild(graph_module.graph, root, leaves)
    return merged


def _branch(graph_module: fx.GraphModule, node: fx.Node) -> _Branch | None:
    """A convolution that only the sum reads, with tensors of its own."""
    if node.target not in CONVOLUTIONS or len(node.users) != 1:
        return None
    if not isinstance(node.args[1], fx.Node) or not all(is_own(tensor, [node]) for tensor in node.args[1:3]):
        return None
    weight = value_of(graph_module, node.args[1])
    assert weight is not None
    axes = weight.dim() - 2

    def sides(place: int, default: int) -> Sides:
        given = node.args[place] if len(node.args) > place else default
        assert isinstance(given, int | list | tuple)
        values = (given,) if isinstance(given, int) else tuple(given)
        return values * axes if len(values) == 1 else values

    stride, padding, dilation = sides(3, 1), sides(4, 0), sides(5, 1)
    groups = node.args[6] if len(node.args) > 6 else 1
    reach = [(size - 1) * step for size, step in zip(weight.shape[2:], dilation, strict=True)]
    high = tuple(far - side for far, side in zip(reach, padding, strict=True))
    assert isinstance(groups, int)
    return _Branch(node, weight, stride, dilation, tuple(-side for side in padding), high, groups)


def _is_identity(leaf: fx.Node, beside: _Branch) -> bool:
    """Whether a leaf is what a convolution reads, as it is or through a BatchNorm, place by place."""
    if set(beside.stride) != {1} or any(map(sum, zip(beside.low, beside.high, strict=True))):
        return False
    if leaf is beside.node.args[0]:
        return True
    is_norm = leaf.target is BATCHNORM and not leaf.args[5] and isinstance(leaf.args[3], fx.Node)
    return is_norm and leaf.args[0] is beside.node.args[0] and len(leaf.users) == 1


def _grid(branches: list[_Branch]) -> tuple[Sides, Sides, Sides] | None:
    """Where the kernel of all branches begins, its steps and its sides; None where it would cost more than they do."""
    starts, steps, sizes = [], [], []
    for axis in range(len(branches[0].stride)):
        step = {branch.dilation[axis] for branch in branches if branch.weight.shape[2 + axis] > 1} or {1}
        low, high = (pick(getattr(b, name)[axis] for b in branches) for pick, name in ((min, "low"), (max, "high")))
        places = {branch.low[axis] - low for branch in branches}
        if len(step) > 1 or low > 0 or any(place % min(step) for place in places):
            return None
        starts.append(low)
        steps.append(min(step))
        sizes.append((high - low) // min(step) + 1)
    if prod(sizes) > sum(prod(branch.weight.shape[2:]) for branch in branches):
        return None
    return tuple(starts), tuple(steps), tuple(sizes)


@torch.no_grad()
def _sum_kernels(
    graph_module: fx.GraphModule,
    kept: fx.Node,
    branches: list[_Branch],
    identities: list[fx.Node],
    grid: tuple[Sides, Sides, Sides],
) -> None:
    """Let one convolution do what all of them do."""
    starts, steps, sizes = grid
    first = branches[0]
    outputs, inputs = first.weight.shape[:2]
    weight = first.weight.new_zeros((outputs, inputs, *sizes))
    bias = first.weight.new_zeros(outputs)
    for branch in branches:
        places = ((low - start) // step for low, start, step in zip(branch.low, starts, steps, strict=True))
        part = tuple(slice(place, place + size) for place, size in zip(places, branch.weight.shape[2:], strict=True))
        weight[(slice(None), slice(None), *part)] += branch.weight
        own = value_of(graph_module, branch.node.args[2]) if len(branch.node.args) > 2 else None
        bias += 0 if own is None else own
    centre = tuple(-start // step for start, step in zip(starts, steps, strict=True))
    every = torch.arange(outputs, device=weight.device)
    for leaf in identities:
        factor: Tensor | int = 1
        if leaf.target is BATCHNORM and leaf is not kept.args[0]:
            factor, shift = scale_and_shift(graph_module, leaf)
            bias += shift
        middle = weight
        for place in centre:
            middle = middle.select(2, place)
        middle[every, every % inputs] += factor
    name = str(getattr(kept.args[1], "target", ""))
    bias_name = bias_for(graph_module, kept, name, [kept])
    store(graph_module, name, weight)
    store(graph_module, bias_name, bias)
    set_layer(
        graph_module, kept, name, bias_name, list(first.stride), [-start for start in starts], list(steps), first.groups
    )


def _rebuild(graph: fx.Graph, root: fx.Node, leaves: list[Any]) -> None:
    """Add up what is left, in the place of a sum."""
    total = leaves[0]
    with graph.inserting_before(root):
        for leaf in leaves[1:]:
            total = graph.call_function(ADD, (total, leaf))
            total.meta = dict(root.meta)
    root.replace_all_uses_with(total)
    graph.erase_node(root)
