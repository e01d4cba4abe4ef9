"""A captured graph as a program that torch's ONNX exporter takes over as it is."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch.export import ExportedProgram

aten = torch.ops.aten
# What the exporter would take apart, or has no function for, as what it has one for.
SPELT: dict[Any, Any] = {
    aten.min.other: aten.minimum.default,
    aten.max.other: aten.maximum.default,
    aten.__and__.Tensor: aten.bitwise_and.Tensor,
    aten.__or__.Tensor: aten.bitwise_or.Tensor,
    aten.swapaxes.default: aten.transpose.int,
    aten.swapdims.default: aten.transpose.int,
    aten.reshape_as.default: aten.view_as.default,
    aten.zero.default: aten.zeros_like.default,
}
CHECKS = (aten._assert_tensor_metadata.default,)  # noqa: SLF001 - has no other name
ALL = ([1, 1], 1)


def program_of(
    graph_module: fx.GraphModule, inputs: tuple[Tensor, ...], axes: tuple[dict[int, object], ...]
) -> ExportedProgram | nn.Module:
    """The program of a functional graph, marked as decomposed where there is nothing left to decompose.

    torch.onnx.export traces every program twice more to take it apart into simpler operators; half of its time goes
    there. A graph that writes into nothing, and of whose operators each has a function in ONNX, would come out as it
    went in.

    Args:
        graph_module: From ``compressor.graphs``, or one with quantizers; left untouched.
        inputs: One call's.
        axes: Those of any size.

    Returns:
        The program, or the graph itself where it can't be exported: who exports it says why.
    """
    captures = _exporting(functools.partial(torch.export.export, graph_module, inputs, dynamic_shapes=axes))
    if captures is None:
        return graph_module
    try:
        program = captures()
    except Exception:  # whatever torch can't capture
        return graph_module
    _respell(program.graph_module)
    known = _functions()
    called = [node.target for node in program.graph.nodes if node.op == "call_function"]
    if all(_is_pure(target, known) for target in called):
        vars(program)["run_decompositions"] = lambda *_, **__: program
    return program


def _respell(graph_module: fx.GraphModule) -> None:
    for node in list(graph_module.graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in CHECKS:
            graph_module.graph.erase_node(node)
        elif node.target in SPELT:
            node.target = SPELT[node.target]
        elif node.target is aten.to.dtype:
            node.target, node.args, node.kwargs = aten._to_copy.default, node.args[:1], {"dtype": node.args[1]}  # noqa: SLF001
        elif node.target is aten.adaptive_avg_pool2d.default and node.args[1] in ALL:
            node.target, node.args = aten.mean.dim, (node.args[0], [-1, -2], True)
        elif node.target is aten.batch_norm.default and not node.args[5] and node.args[3] is not None:
            _respell_batch_norm(graph_module.graph, node)
    graph_module.recompile()


def _respell_batch_norm(graph: fx.Graph, node: fx.Node) -> None:
    """One that uses what it has seen, by the operator that says so."""
    given = (*node.args[:5], *node.args[6:8])
    with graph.inserting_before(node):
        both = graph.call_function(aten._native_batch_norm_legit_no_training.default, given)  # noqa: SLF001 - its name
        result = graph.call_function(operator.getitem, (both, 0))
    value = node.meta.get("val")
    result.meta, both.meta = dict(node.meta), {**node.meta, "val": (value, None, None)}
    node.replace_all_uses_with(result)
    graph.erase_node(node)


def _is_pure(target: Any, known: frozenset[Any]) -> bool:
    """Whether an operator has a function in ONNX and writes nothing, or is Python's own on sizes."""
    if not isinstance(target, OpOverload):
        return getattr(target, "__module__", "") in ("_operator", "math")
    return target in known and not target._schema.is_mutable  # noqa: SLF001 - has no other name


def _exporting(captures: Callable[[], ExportedProgram]) -> Callable[[], ExportedProgram] | None:
    """The same while ``torch.onnx.is_in_onnx_export()`` holds: quantizers say only then what they are in ONNX.

    None where this torch has no such switch.
    """
    try:
        from torch.onnx._internal.exporter import _flags

        return _flags.set_onnx_exporting_flag(captures)
    except (ImportError, AttributeError):
        return None


@functools.cache
def _functions() -> frozenset[Any]:
    """Operators that this torch's exporter has functions for; none where it doesn't say so."""
    try:
        from torch.onnx._internal.exporter import _decomp, _registration

        return frozenset(_decomp.get_onnx_implemented_overloads(_registration.ONNXRegistry.from_torchlib()))
    except (ImportError, AttributeError):
        return frozenset()
