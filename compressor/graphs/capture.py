"""A module as a trainable graph: exported by torch.export, without BatchNorm, dropout or in-place operators."""

import torch
from torch import Tensor, fx, nn

from compressor.axes import dynamic_axes, is_text
from compressor.copies import copy_of
from compressor.errors import PlanError
from compressor.graphs.branches import merge_branches
from compressor.graphs.folding import fold_batchnorm
from compressor.graphs.functional import make_functional
from compressor.graphs.sizes import with_open_sizes
from compressor.user_code import reason_of

BATCHES = (2, 3)
# Texts are compared at this length too.
SHORT = 3
# Folding BatchNorm changes the order of a few float operations and nothing else.
FOLDED_TOLERANCE = 1e-3
# Under this name a graph's ``meta`` has how many branches each merged convolution was made of.
MERGED = "merged_branches"


def capture(module: nn.Module, example_inputs: tuple[Tensor, ...], longest: int | None = None) -> fx.GraphModule:
    """Export a module in eval mode as a graph that can be trained, copied and saved like any module.

    Node names and parameter names depend on the module's code and torch's version alone, so another
    process gets the same ones. BatchNorm is folded into the layer beside it, and parallel branches that are summed
    become one convolution; both are named after that layer. What can't be folded keeps its statistics, fixed.

    Args:
        module: Left untouched.
        example_inputs: Real inputs, on the module's device.
        longest: The most tokens that a text network has positions for.

    Raises:
        PlanError: The module can't be exported, or the graph computes something else.
    """
    own = copy_of(module).eval()
    inputs = [_with_batch(example_inputs, count) for count in BATCHES]
    if is_text(example_inputs):
        inputs.append(tuple(tensor[:, :SHORT].contiguous() for tensor in inputs[0]))
    try:
        with torch.no_grad():
            # In training the graph is differentiated: it must be exported with gradients on.
            with torch.enable_grad():
                axes = dynamic_axes(inputs[0], longest)
                program = with_open_sizes(own, lambda: torch.export.export(own, inputs[0], dynamic_shapes=axes))
            expected = [own(*given) for given in inputs]
    except (Exception, SystemExit) as error:
        message = f"quantize: torch.export can't trace {type(module).__name__}: {reason_of(error)}"
        hint = "a forward without data-dependent Python control flow, or --without quantize"
        raise PlanError(message, hint) from error
    exported = program.module(check_guards=False)
    graph_module = fx.GraphModule(exported, exported.graph, class_name="QuantizedGraph")
    make_functional(graph_module)
    _compare(graph_module, inputs, expected, tolerance=1e-5)
    simplify(graph_module)
    _compare(graph_module, inputs, expected, tolerance=FOLDED_TOLERANCE)
    return graph_module.train(module.training)


def simplify(graph_module: fx.GraphModule) -> None:
    """Fold BatchNorms and merge parallel branches, in place, until nothing is left to do."""
    merged: list[int] = []
    while True:
        fold_batchnorm(graph_module)
        more = merge_branches(graph_module)
        merged += more
        if not more:
            break
    graph_module.meta[MERGED] = merged


def simplified(module: nn.Module, inputs: tuple[Tensor, ...], axes: tuple[dict[int, object], ...]) -> nn.Module:
    """What to write a float network's file from: its graph, simplified.

    torch's exporter takes BatchNorms and in-place operators apart, which takes most of its time (of MobileNetV2 4.1
    seconds against 1.3); runtimes put the former together again.

    Args:
        module: In eval mode; left untouched.
        inputs: One call's.
        axes: Those of any size.

    Returns:
        The simplified graph; the module itself for texts, and where it can't be captured or made functional.
    """
    if is_text(inputs):
        return module
    try:
        program = with_open_sizes(module, lambda: torch.export.export(module, inputs, dynamic_shapes=axes))
    except Exception:  # whoever exports the module says why
        return module
    exported = program.module(check_guards=False)
    graph_module = fx.GraphModule(exported, exported.graph)
    if not make_functional(graph_module):
        return module
    simplify(graph_module)
    return graph_module


def merged_branches(graph_module: nn.Module) -> str:
    """What there is to say of branches that became one convolution; empty where there were none."""
    merged = getattr(graph_module, "meta", {}).get(MERGED, [])
    if not merged:
        return ""
    branches = f"{sum(merged)} parallel branches (convolutions, BatchNorms, the input itself)"
    return f"{branches} became {len(merged)} convolution{'s' if len(merged) > 1 else ''}"


def _with_batch(inputs: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
    """The first ``count`` samples, repeated where there are fewer."""
    repeated = (torch.cat([tensor] * -(-count // len(tensor))) for tensor in inputs)
    return tuple(tensor[:count].contiguous() for tensor in repeated)


def _compare(
    graph_module: fx.GraphModule, inputs: list[tuple[Tensor, ...]], expected: list[Tensor], tolerance: float
) -> None:
    """The graph has no shape guards, so it is compared with the module at several sizes."""
    for given, wanted in zip(inputs, expected, strict=True):
        with torch.no_grad():
            found = graph_module(*given)
        scale = float(wanted.abs().max()) or 1.0
        if found.shape != wanted.shape or float((found - wanted).abs().max()) > tolerance * scale:
            raise PlanError(
                f"quantize: the exported graph answers otherwise than the module on inputs of {tuple(given[0].shape)}",
                "a forward whose result doesn't depend on the batch size or on random numbers in eval mode",
            )
