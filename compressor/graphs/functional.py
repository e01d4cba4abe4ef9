"""A captured graph without operators that write into their inputs, and without those that do nothing."""

import operator
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload

from compressor.graphs.tensors import tensor_at

aten = torch.ops.aten
INACTIVE = {
    aten.dropout.default,
    aten.feature_dropout.default,
    aten.alpha_dropout.default,
    aten.feature_alpha_dropout.default,
}
# What gives back its input as it is.
COPIES = {aten.clone.default, aten.alias.default}
NAMED_PADDING = {
    aten.conv1d.padding: aten.conv1d.default,
    aten.conv2d.padding: aten.conv2d.default,
    aten.conv3d.padding: aten.conv3d.default,
}
# What puts a changed part back into what it is a view of.
SCATTERED = {aten.slice.Tensor: aten.slice_scatter.default, aten.select.int: aten.select_scatter.default}
NEW = {aten.new_zeros.default, aten.new_ones.default, aten.new_full.default}
Places = dict[fx.Node, int]


def make_functional(graph_module: fx.GraphModule) -> bool:
    """Replace in-place operators by their functional twins and drop inactive dropout.

    A quantized value is read by several users; one that wrote into it would change what the others read. What is
    written into a slice is put back into the whole.

    Returns:
        Whether all of them could be: False where another view of the same values is read later.
    """
    graph = graph_module.graph
    place = {node: position for position, node in enumerate(graph.nodes)}
    whole = True
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        functional = _functional_twin(node.target)
        if functional is not None:
            node.target = functional
            whole = _hand_on(graph, node, place) and whole
        if node.target is aten.copy.default:
            _spell_out_copy(node)
        if node.target in NAMED_PADDING:
            _spell_out_padding(node)
        if node.target is aten.masked_fill.Scalar:
            # float32's lowest number, which networks mask with, is past bf16's: trained in bf16 it can't be filled in.
            node.args = (*node.args[:2], max(node.args[2], torch.finfo(torch.bfloat16).min))
        if node.target in COPIES or (node.target in INACTIVE and not node.args[2]):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    if any(node.target in SCATTERED.values() for node in graph.nodes):
        _fold_constants(graph_module)
    graph.eliminate_dead_code()
    graph_module.recompile()
    return whole


def _fold_constants(graph_module: fx.GraphModule) -> None:
    """Keep what is computed from no input and no weight, as Swin's masks are, as buffers."""
    graph = graph_module.graph
    known: dict[fx.Node, Tensor] = {}
    for node in graph.nodes:
        value = _constant(graph_module, node, known)
        if value is not None:
            known[node] = value
    for number, (node, value) in enumerate(known.items()):
        if node.op != "get_attr" and any(user not in known for user in node.users):
            name = f"constant_{number}"
            graph_module.register_buffer(name, value)
            with graph.inserting_before(node):
                kept = graph.get_attr(name)
            kept.meta.update(node.meta)
            node.replace_all_uses_with(kept, lambda user: user not in known)


def _constant(graph_module: fx.GraphModule, node: fx.Node, known: dict[fx.Node, Tensor]) -> Tensor | None:
    if node.op == "get_attr":
        stored = tensor_at(graph_module, str(node.target))
        # Numbers that are written in the code.
        return stored if stored is not None and stored.numel() == 1 and not isinstance(stored, nn.Parameter) else None
    if node.op != "call_function" or not isinstance(node.target, OpOverload):
        return None
    given = node.all_input_nodes
    if node.target in NEW:
        # Of its first input, only what kind of number it is.
        given = [other for other in given if other is not node.args[0]]
        if given or not isinstance(node.meta.get("val"), Tensor):
            return None
        kind = node.meta["val"].dtype
        filled = node.args[2] if node.target is aten.new_full.default else int(node.target is aten.new_ones.default)
        return torch.full([int(str(size)) for size in node.args[1]], filled, dtype=kind)  # type: ignore[union-attr, arg-type]
    if not given or not all(other in known for other in given):
        return None
    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda other: known[other])
    with torch.no_grad():
        made = node.target(*args, **kwargs)
    return made.clone() if isinstance(made, Tensor) else None


def _hand_on(graph: fx.Graph, node: fx.Node, place: Places) -> bool:
    """Let whoever reads what an operator wrote into, or what that is a part of, read what it gives."""
    written = node.args[0]
    assert isinstance(written, fx.Node)
    chain = [written]
    while (parent := _viewed(chain[-1])) is not None:
        chain.append(parent)
    later = place[node]
    others = {other for other in _views(chain[-1]) if place[other] < later} - set(chain)
    whole = not any(_read_after(other, later, place) for other in others)
    current = last = node
    _replace(written, node, later, place)
    for at, (view, parent) in enumerate(pairwise(chain), 1):
        if not any(_read_after(above, later, place) for above in chain[at:]):
            break
        if view.target not in SCATTERED:
            return False
        with graph.inserting_after(last):
            back = graph.call_function(SCATTERED[view.target], (parent, current, *view.args[1:]))
        back.meta.update(parent.meta)
        place[back] = later
        _replace(parent, back, later, place)
        current = last = back
    return whole


def _replace(old: fx.Node, new: fx.Node, later: int, place: Places) -> None:
    for user in list(old.users):
        if place[user] > later:
            user.replace_input_with(old, new)


def _read_after(node: fx.Node, later: int, place: Places) -> bool:
    return any(place[user] > later for user in node.users)


def _viewed(node: fx.Node) -> fx.Node | None:
    """What a node shows a part of, or shows otherwise, without a copy; None for any other."""
    given = node.args[0] if node.args else None
    if node.op != "call_function" or not isinstance(given, fx.Node):
        return None
    returns = getattr(getattr(node.target, "_schema", None), "returns", [])
    shows = any(one.alias_info is not None and not one.alias_info.is_write for one in returns)
    return given if shows or node.target is operator.getitem or node.target in INACTIVE else None


def _views(node: fx.Node) -> Iterator[fx.Node]:
    """A node and all that shows it."""
    yield node
    for user in node.users:
        if _viewed(user) is node:
            yield from _views(user)


def _spell_out_copy(node: fx.Node) -> None:
    """Values written over all of others, which has no derivative, as themselves in the others' shape and kind."""
    over, given = node.args[:2]
    assert isinstance(over, fx.Node) and isinstance(given, fx.Node)
    kind = over.meta["val"].dtype
    if given.meta["val"].dtype != kind:
        with node.graph.inserting_before(node):
            cast = node.graph.call_function(aten.to.dtype, (given, kind))
        cast.meta.update(given.meta, val=given.meta["val"].to(kind))
        given = cast
    node.target, node.args, node.kwargs = aten.expand_as.default, (given, over), {}


def _spell_out_padding(node: fx.Node) -> None:
    """'same' and 'valid' as the numbers that they mean, where both sides get as many zeros."""
    weight = node.args[1]
    padding = node.args[4] if len(node.args) > 4 else "valid"
    assert isinstance(weight, fx.Node)
    kernel = weight.meta["val"].shape[2:]
    given = node.args[5] if len(node.args) > 5 else [1]
    assert isinstance(given, list | tuple)
    steps = [step for step in given if isinstance(step, int)]
    steps = steps * len(kernel) if len(steps) == 1 else steps
    zeros = [step * (int(size) - 1) for size, step in zip(kernel, steps, strict=True)]
    if padding == "same" and any(count % 2 for count in zeros):
        return
    numbers = [count // 2 if padding == "same" else 0 for count in zeros]
    bias = node.args[2] if len(node.args) > 2 else None
    stride = node.args[3] if len(node.args) > 3 else [1]
    node.target = NAMED_PADDING[node.target]  # type: ignore[index]
    node.args = (node.args[0], weight, bias, stride, numbers, steps, *node.args[6:])


def _functional_twin(target: object) -> object | None:
    """``aten.relu_.default`` to ``aten.relu.default``; None where an operator writes nothing."""
    # "aten.relu_.default"; other targets have no such name.
    namespace, _, rest = str(target).partition(".")
    name, _, overload = rest.partition(".")
    if namespace != "aten" or not name.endswith("_") or name.startswith("_"):
        return None
    packet = getattr(aten, name[:-1], None)
    return getattr(packet, overload, None)
