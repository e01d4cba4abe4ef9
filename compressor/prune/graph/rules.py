"""How operators carry channels' labels from their inputs to their outputs.

An operator without a rule fixes the channels of its inputs: what isn't understood is left whole.
"""

import re
from collections.abc import Callable
from typing import Any

import torch

from compressor.prune.graph import movement
from compressor.prune.graph.call import Call
from compressor.prune.graph.labels import UNIFORM, Axes, Axis
from compressor.prune.graph.trace import tensors_in

# Those that torch doesn't tag as such.
POINTWISE = frozenset(
    re.findall(
        r"\w+",
        "hardswish hardswish_ gelu_ prelu _prelu_kernel masked_fill copy_ log_sigmoid_forward rsub silu_ "
        "hardtanh_ dropout native_dropout fill_ zero_ where elu_ leaky_relu_ hardsigmoid_ mish_ threshold_ "
        "celu_ selu_ clone alias detach _to_copy contiguous lift_fresh lift_fresh_copy zeros_like ones_like "
        "full_like empty_like bernoulli",
    )
)
CONSTANT = frozenset(("zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty"))
REDUCING = frozenset(
    re.findall(
        r"\w+",
        "mean sum amax amin var var_mean std std_mean linalg_vector_norm norm max min argmax argmin logsumexp "
        "prod any all",
    )
)
SPATIAL = re.compile(r"(pool|upsample_\w+|_pad|grid_sampler_)(\d)d")
RECURRENT = frozenset(["mkldnn_rnn_layer", "lstm", "gru", "rnn_tanh", "rnn_relu"])


def propagate(call: Call) -> list[Axes]:
    """The axes of an operator's outputs, after uniting and fixing what it couples."""
    rule = RULES.get(call.name)
    if rule is None and (torch.Tag.pointwise in call.func.tags or call.name in POINTWISE):
        rule = _pointwise
    elif rule is None and call.name in REDUCING:
        rule = _reduction
    elif rule is None and call.name in CONSTANT:
        rule = _constant
    elif rule is None and SPATIAL.search(call.name):
        rule = _spatial
    elif rule is None and call.name.startswith("_scaled_dot_product"):
        rule = _attention
    elif rule is None and call.name in RECURRENT:
        rule = _recurrent
    found = rule(call) if rule is not None else None
    if found is None:
        for tensor in tensors_in([*call.args, *call.kwargs.values()]):
            call.fix(*call.axes(tensor))
        return [(None,) * tensor.dim() for tensor in call.outputs]
    rest = [(None,) * tensor.dim() for tensor in call.outputs[len(found) :]]
    return [*found, *rest]


def _constant(call: Call) -> list[Axes]:
    return [tuple(UNIFORM for _ in tensor.shape) for tensor in call.outputs]


def _pointwise(call: Call) -> list[Axes]:
    inputs = tensors_in([*call.args, *call.kwargs.values()])
    found = []
    for out in call.outputs:
        axes: list[Axis] = []
        for back in range(1, out.dim() + 1):
            size = out.shape[-back]
            there = [call.axes(x)[-back] for x in inputs if x.dim() >= back and x.shape[-back] == size]
            axes.append(call.match(*there) if there else UNIFORM)
        found.append(tuple(reversed(axes)))
    return found


def _reduction(call: Call) -> list[Axes] | None:
    source = call.argument("self")
    axes = call.axes(source)
    dims = call.argument("dim")
    dims = range(len(axes)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    gone = {dim % max(1, len(axes)) for dim in dims}
    for dim in gone:
        if dim < len(axes):
            call.blur(axes[dim])
    left = [
        None if at in gone else axis
        for at, axis in enumerate(axes)
        if at not in gone or call.argument("keepdim", False)
    ]
    if any(tensor.dim() != len(left) for tensor in call.outputs):
        return None
    return [tuple(left) for _ in call.outputs]


def _softmax(call: Call) -> list[Axes]:
    axes = call.axes(call.argument("self"))
    call.blur(axes[call.argument("dim")])
    return [axes]


def _running(call: Call) -> list[Axes]:
    axes = list(call.axes(call.argument("self")))
    dim = call.argument("dim")
    if axes:
        call.fix(axes[dim])
        axes[dim] = None
    return [tuple(axes) for _ in call.outputs]


def _spatial(call: Call) -> list[Axes] | None:
    source = call.argument("self")
    source = call.argument("input") if source is None else source
    found = SPATIAL.search(call.name)
    assert found is not None
    keep = source.dim() - int(found.group(2))
    axes = call.axes(source)
    call.fix(*axes[keep:])
    return [(*axes[:keep], *(None,) * int(found.group(2))) for _ in call.outputs]


def _convolution(call: Call) -> list[Axes]:
    x, w, bias = call.argument("input"), call.argument("weight"), call.argument("bias")
    groups, transposed = call.argument("groups"), call.argument("transposed")
    source, weight = call.axes(x), call.axes(w)
    call.fix(*weight[2:], *source[2:])
    writes, reads = (1, 0) if transposed else (0, 1)
    out: Axis
    if groups == 1:
        call.contract(source[1], weight[reads])
        out = call.make(weight[writes], w)
    elif not transposed and w.shape[1] == 1:
        out = call.match(movement.repeated(source[1], w.shape[0] // groups), weight[0])
    elif transposed and w.shape[1] == 1:
        out = call.match(source[1], weight[0])
    elif not transposed:
        inner = movement.folded(call.labels, source[1], (groups, w.shape[1]), 1)
        call.contract(inner, weight[1])
        out = call.make(weight[0], w)
        movement.folded(call.labels, out, (groups, w.shape[0] // groups), 1)
    else:
        call.fix(source[1], *weight[:2])
        out = None
    if bias is not None:
        out = call.match(out, call.axes(bias)[0])
    return [(source[0], out, *(None,) * (x.dim() - 2))]


def _product(call: Call) -> list[Axes]:
    """``mm``, ``bmm``, and the same with something added."""
    added = call.argument("self") if call.name.startswith(("add", "badd")) else None
    left, right = call.argument("mat1"), call.argument("mat2")
    if left is None:
        left, right = call.argument("batch1"), call.argument("batch2")
    if left is None:
        left, right = call.argument("self"), call.argument("mat2")
    one, two = call.axes(left), call.axes(right)
    call.contract(one[-1], two[-2])
    batch = tuple(call.match(*pair) for pair in zip(one[:-2], two[:-2], strict=True))
    # Of a product of two activations neither side's channels begin here.
    row = call.make(one[-2], left) if not call.known.derived(right) else one[-2]
    column = call.make(two[-1], right) if not call.known.derived(left) else two[-1]
    axes: list[Axis] = [*batch, row, column]
    if added is not None:
        other = call.axes(added)
        for back in range(1, len(other) + 1):
            if added.shape[-back] == call.outputs[0].shape[-back]:
                axes[-back] = call.match(axes[-back], other[-back])
    return [tuple(axes)]


def _vector_product(call: Call) -> list[Axes]:
    left, right = call.axes(call.argument("self")), call.argument("vec")
    other = call.axes(call.argument("tensor") if right is None else right)
    call.contract(left[-1], other[0])
    return [left[:-1]]


def _linear(call: Call) -> list[Axes]:
    x, w, bias = call.argument("input"), call.argument("weight"), call.argument("bias")
    source, weight = call.axes(x), call.axes(w)
    call.contract(source[-1], weight[1])
    out = call.make(weight[0], w)
    return [(*source[:-1], call.match(out, call.axes(bias)[0]) if bias is not None else out)]


def _batch_norm(call: Call) -> list[Axes]:
    axes = call.axes(call.argument("input"))
    more = [call.argument(name) for name in ("weight", "bias", "running_mean", "running_var")]
    channel = call.match(axes[1], *(call.axes(tensor)[0] for tensor in more if tensor is not None))
    # Weight standardisation, as NFNet's, calls it in training: its statistics are then as many as channels.
    size = call.argument("input").shape[1]
    rest: list[Axes] = [(channel if len(tensor) == size else None,) for tensor in call.outputs[1:]]
    for axis in axes[2:] if call.argument("training") or call.argument("train") else ():
        call.blur(axis)
    return [(axes[0], channel, *axes[2:]), *rest]


def _layer_norm(call: Call) -> list[Axes]:
    axes = list(call.axes(call.argument("input")))
    count = len(call.argument("normalized_shape"))
    for name in ("weight", "bias"):
        tensor = call.argument(name)
        for at in range(1, count + 1) if tensor is not None else ():
            axes[-at] = call.match(axes[-at], call.axes(tensor)[-at])
    for axis in axes[-count:]:
        call.blur(axis)
    return [tuple(axes)]


def _group_norm(call: Call) -> list[Axes]:
    axes = call.axes(call.argument("input"))
    more = [call.axes(tensor)[0] for name in ("weight", "bias") if (tensor := call.argument(name)) is not None]
    channel = call.match(axes[1], *more)
    groups, count = call.argument("group"), call.argument("input").shape[1]
    if groups not in (1, count):
        movement.folded(call.labels, channel, (groups, count // groups), 1)
    if groups != count:
        call.blur(channel)
    each = (axes[0], channel if groups == count else None)
    return [(axes[0], channel, *axes[2:]), each, each]


def _attention(call: Call) -> list[Axes]:
    query, key, value = (call.axes(call.argument(name)) for name in ("query", "key", "value"))
    call.contract(query[-1], key[-1])
    call.contract(key[-2], value[-2])
    # The scale follows from how many there are.
    call.blur(query[-1])
    heads = [call.match(*axes) for axes in zip(query[:-2], key[:-2], value[:-2], strict=True)]
    mask = call.argument("attn_mask")
    if mask is not None:
        call.fix(*call.axes(mask))
    return [(*heads, query[-2], value[-1])]


def _embedding(call: Call) -> list[Axes]:
    table, places = call.axes(call.argument("weight")), call.axes(call.argument("indices"))
    call.fix(table[0])
    return [(*places, call.make(table[1], call.argument("weight")))]


def _weight_norm(call: Call) -> list[Axes]:
    direction, gain, dim = call.argument("v"), call.argument("g"), call.argument("dim")
    axes = list(call.axes(direction))
    axes[dim] = call.match(axes[dim], call.axes(gain)[dim])
    names = call.known.name(gain), call.known.name(direction)
    if names[0] is not None and names[1] is not None:
        call.known.trace.gains.append((names[0], names[1], dim))
    return [tuple(axes), tuple(axis if at == dim else None for at, axis in enumerate(axes))]


def _recurrent(call: Call) -> list[Axes]:
    """The layer's inputs may be fewer; its own width stays."""
    source = call.argument("input")
    weights = call.args[1] if call.name == "mkldnn_rnn_layer" else call.argument("params")[0]
    reads = call.axes(weights)[1]
    call.contract(call.axes(source)[-1], reads)
    for tensor in tensors_in([*call.args, *call.kwargs.values()]):
        if tensor is not source:
            call.fix(*(axis for axis in call.axes(tensor) if axis is not reads))
    return [(None,) * tensor.dim() for tensor in call.outputs]


RULES: dict[str, Callable[[Any], list[Axes] | None]] = {
    "convolution": _convolution,
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm", "addmm_", "_addmm_activation"), _product),
    **dict.fromkeys(("mv", "dot"), _vector_product),
    "linear": _linear,
    **dict.fromkeys(("native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    **dict.fromkeys(("miopen_batch_norm", "_batch_norm_no_update"), _batch_norm),
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    **dict.fromkeys(("_softmax", "_log_softmax", "softmax", "log_softmax"), _softmax),
    **dict.fromkeys(("cumsum", "cumprod", "topk", "sort"), _running),
    "embedding": _embedding,
    "_weight_norm_interface": _weight_norm,
    **movement.RULES,
}
