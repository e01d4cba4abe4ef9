"""What costs time in a graph of any type: norms left over, odd channels, memory, small calls."""

import math

from onnx import GraphProto, NodeProto

from compressor.explain.costs import CONVOLUTIONS, Costs
from compressor.explain.finding import Finding, listed

# Below these shares of a call a cause isn't worth a line.
WORTH = 0.02
# Bytes moved per multiply-accumulate, above which memory and not arithmetic is what a layer waits for: a core adds
# up some tens of products for each byte that memory gives it.
MEMORY_BOUND = 0.25
# A node of fewer MACs costs its call, not its arithmetic.
SMALL_MACS = 20_000
SMALL_MILLISECONDS = 0.02


def unfolded_norms(costs: Costs) -> list[Finding]:
    """BatchNormalization that ran as a node of its own."""
    graph = costs.model.graph
    ran = {node.proto.name: node for node in costs.nodes}
    producers = {name: node for node in graph.node for name in node.output}
    found = []
    for norm in graph.node:
        if norm.op_type != "BatchNormalization":
            continue
        # In the layout of blocks ONNX Runtime computes a norm as a convolution of 1x1, named after its output.
        node = ran.get(f"{norm.output[0]}_bn_nchwc") or ran.get(norm.name)
        if node is None:
            continue
        name = f"BatchNormalization ({norm.name})"
        cause, fix = _why_unfolded(graph, producers.get(norm.input[0]))
        found.append(
            Finding(
                kind="unfolded-norm",
                where=(name,),
                cause=f"{name} runs as a node of its own: {cause}",
                fix=fix,
                milliseconds=node.milliseconds,
            )
        )
    return found


def _why_unfolded(graph: GraphProto, source: NodeProto | None) -> tuple[str, str]:
    if source is None:
        return (
            "it reads the graph's input, not a convolution's output",
            "put its scale and shift into the preprocessing or the first convolution's weights",
        )
    named = f"{source.op_type} ({source.name})"
    if source.op_type not in CONVOLUTIONS:
        return (
            f"it follows {named}, not a convolution (pre-activation order)",
            "a convolution directly before it absorbs it; behind an activation it has to stay",
        )
    readers = [f"{node.op_type} ({node.name})" for node in graph.node if source.output[0] in node.input]
    if len(readers) > 1:
        return (
            f"{named}, which it follows, is read by {listed(readers)} (a head shared over levels, or a branch)",
            "a copy of the convolution for each norm, the norm folded into it",
        )
    return (
        f"{named}, which it follows, has weights that aren't stored, or are shared",
        "a copy of the convolution's stored weights for each norm, the norm folded into it",
    )


def odd_channels(costs: Costs, multiple: int) -> list[Finding]:
    """Convolutions whose channels don't fill the kernels' blocks."""
    found = []
    for node in costs.nodes:
        weight = node.weight
        if node.proto.op_type not in CONVOLUTIONS or weight is None or not node.macs:
            continue
        # The nchwc layout pads an input of few channels, as images have.
        wide = [size for size in weight[:2] if size > multiple]
        filled = math.prod(size / (math.ceil(size / multiple) * multiple) for size in wide)
        wasted = (1 - filled) * node.milliseconds
        if wasted > WORTH * costs.call_milliseconds:
            found.append(
                Finding(
                    kind="odd-channels",
                    where=(node.name,),
                    cause=f"{node.name} has {weight[0]} channels out and {weight[1]} in: kernels work on blocks of "
                    f"{multiple}, and {1 - filled:.0%} of their lanes are empty",
                    fix=f"--set target.channel_multiple={multiple} when pruning",
                    milliseconds=wasted,
                )
            )
    return found


def memory_bound(costs: Costs) -> list[Finding]:
    """Layers that wait for memory: few products for each byte moved, and far below the best layer's rate."""
    rates = [node.macs / node.milliseconds for node in costs.nodes if node.macs > SMALL_MACS and node.milliseconds]
    if not rates:
        return []
    best = max(rates)
    slow = [
        node
        for node in costs.nodes
        if node.macs > SMALL_MACS
        and node.moved / node.macs > MEMORY_BOUND
        and node.macs / max(node.milliseconds, 1e-9) < 0.3 * best
    ]
    lost = sum(node.milliseconds - node.macs / best for node in slow)
    if not slow or lost < WORTH * costs.call_milliseconds:
        return []
    share = sum(node.macs for node in slow) / sum(node.macs for node in costs.nodes)
    return [
        Finding(
            kind="memory-bound",
            where=tuple(node.name for node in sorted(slow, key=lambda node: -node.milliseconds)),
            cause=f"{len(slow)} layers have {share:.0%} of the MACs and wait for memory, not for arithmetic "
            f"(depthwise convolutions, linear layers at batch {_batch(costs)}): at the best layer's rate they would "
            f"take {sum(node.macs for node in slow) / best:.3g} ms",
            fix="fewer bytes in place of fewer MACs: 8-bit weights, smaller maps, fewer such layers, or a larger batch",
            milliseconds=lost,
        )
    ]


def call_overhead(costs: Costs) -> list[Finding]:
    """What calls cost beside arithmetic: many small nodes, and the runtime around them."""
    small = [node for node in costs.nodes if node.macs < SMALL_MACS and node.milliseconds < SMALL_MILLISECONDS]
    between = max(0.0, costs.call_milliseconds - sum(node.milliseconds for node in costs.nodes))
    lost = sum(node.milliseconds for node in small) + between
    if len(small) < 8 or lost < 0.25 * costs.call_milliseconds:
        return []
    return [
        Finding(
            kind="call-overhead",
            where=tuple(node.name for node in small),
            cause=f"{len(small)} of {len(costs.nodes)} nodes do next to nothing, and each costs its call: fewer "
            "channels don't make them faster",
            fix="fewer layers (distill.student='auto', distill.layers), or more samples a call (target.batch_size)",
            milliseconds=lost,
        )
    ]


def _batch(costs: Costs) -> int:
    shapes = [shape for node in costs.nodes for shape in node.outputs if shape]
    return shapes[-1][0] if shapes else 1
