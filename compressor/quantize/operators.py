"""What the placement rules must know about torch's operators."""

import torch
from torch import fx

aten = torch.ops.aten

CONVOLUTIONS = {aten.conv1d.default, aten.conv2d.default, aten.conv3d.default}
LINEAR = {aten.linear.default}
WEIGHTED = CONVOLUTIONS | LINEAR
TRANSPOSED = {aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input}
EMBEDDINGS = {aten.embedding.default}
ADDITIONS = {aten.add.Tensor}
MULTIPLICATIONS = {aten.mul.Tensor}
GLOBAL_POOLS = {aten.adaptive_avg_pool2d.default, aten.avg_pool2d.default}
# Their outputs are some of their inputs' values, so both lie on one grid.
PASS_THROUGH = {
    aten.max_pool2d.default,
    aten.adaptive_max_pool2d.default,
    aten.flatten.using_ints,
    aten.reshape.default,
    aten.view.default,
    aten.permute.default,
    aten.transpose.int,
    aten.squeeze.dim,
    aten.unsqueeze.default,
    aten.contiguous.default,
    aten.slice.Tensor,
    aten.upsample_nearest2d.vec,
}
CONCATENATIONS = {aten.cat.default}
# Why a layer is not computed in integers, by operator.
FLOAT_REASONS = {
    aten.hardswish.default: "HardSwish has no integer kernel",
    aten.silu.default: "SiLU has no integer kernel",
    aten.gelu.default: "GELU has no integer kernel",
    aten.elu.default: "ELU has no integer kernel",
    aten.mish.default: "Mish has no integer kernel",
    aten.hardsigmoid.default: "HardSigmoid has no integer kernel",
    aten.sigmoid.default: "a gate between 0 and 1: 8 bits are too coarse",
    aten.tanh.default: "Tanh has no integer kernel",
    aten.softmax.int: "Softmax needs more than 8 bits",
    aten.layer_norm.default: "LayerNorm needs more than 8 bits",
    aten.group_norm.default: "GroupNorm has no integer kernel",
    aten.batch_norm.default: "BatchNorm with no convolution before it alone: nothing to fold it into",
    aten.scaled_dot_product_attention.default: "attention needs more than 8 bits",
    aten.matmul.default: "both factors change with the input, and 8 bits cost accuracy",
    aten.conv_transpose2d.input: "transposed convolution has no integer kernel",
}
ELEMENTWISE = {
    aten.relu.default,
    aten.hardtanh.default,
    aten.relu6.default,
    aten.clamp.default,
    aten.hardswish.default,
    aten.silu.default,
    aten.hardsigmoid.default,
    aten.sigmoid.default,
}


def is_clipped_at_zero(node: fx.Node) -> bool:
    """ReLU and its bounded kin: the grid after them starts at 0, and then the operator itself is free."""
    if node.target in (aten.relu.default, aten.relu6.default):
        return True
    if node.target is aten.hardtanh.default:
        return _argument(node, 1) == 0
    if node.target is aten.clamp.default:
        return _argument(node, 1) == 0
    return False


def _argument(node: fx.Node, place: int) -> float | None:
    value = node.args[place] if len(node.args) > place else None
    return value if isinstance(value, int | float) else None


def sources(node: fx.Node) -> list[fx.Node]:
    """The tensors a node computes from, without weights."""
    return [given for given in node.all_input_nodes if given.op != "get_attr"]


def spatial_size(node: fx.Node) -> int:
    """How many places a map has; 1 after global pooling and for vectors."""
    value = node.meta.get("val")
    size = 1
    for axis in getattr(value, "shape", ())[2:]:
        size *= int(axis)
    return size


def weight_place(node: fx.Node) -> int:
    """Which of a node's arguments is its weight: a table comes first, a kernel second."""
    return 0 if node.target in EMBEDDINGS else 1


def layer_name(node: fx.Node) -> str:
    """The module a node was called in, ``"layer1.0.conv1"``; its own name outside of any."""
    stack = node.meta.get("nn_module_stack") or {}
    names = [str(path) for path, _ in stack.values() if path]
    return names[-1] if names else node.name
