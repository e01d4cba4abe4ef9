"""What keeps a graph of integers from running in integers, as ONNX Runtime's CPU kernels have it."""

import platform
from collections import defaultdict
from collections.abc import Iterable

from onnx import TensorProto

from compressor.explain.costs import Costs, Node, weight_place
from compressor.explain.finding import Finding, listed

QDQ = ("QuantizeLinear", "DequantizeLinear")
# What an integer kernel does without looking at the scale, as long as both sides have the same.
MOVES = {"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Slice", "Relu", "Resize"}
# The layout of blocks, to it and back.
MOVES |= {"ReorderInput", "ReorderOutput"}
# Only ranges that were measured before are fast: kernels of these are plain loops.
SLOW_INTEGERS = ("ConvInteger",)
X86 = ("x86_64", "AMD64")


def float_islands(costs: Costs) -> list[Finding]:
    """Operators without an integer kernel between integer ones, with the Q and DQ that they cost."""
    if not costs.is_integer:
        return []
    found = []
    for island in _islands(costs):
        weighted = [node for node in island if node.macs]
        conversions = _conversions(costs, island)
        if weighted or not conversions:
            continue
        names = [node.name for node in island]
        if all(node.proto.op_type in MOVES for node in island):
            found.append(_moved_in_float(costs, island, conversions))
            continue
        found.append(
            Finding(
                kind="no-integer-kernel",
                where=tuple(node.name for node in (*island, *conversions)),
                cause=f"{listed(names)} has no integer kernel on this CPU: its inputs are made float and its outputs "
                f"integers again, {len(conversions)} Q and DQ in all",
                fix="an activation with an integer kernel, as ReLU has one, or the layers around it in "
                "float: --set quantize.skip='[...]'",
                milliseconds=sum(node.milliseconds for node in (*island, *conversions)),
            )
        )
    return found


def _moved_in_float(costs: Costs, island: list[Node], conversions: list[Node]) -> Finding:
    inside = {id(node) for node in (*island, *conversions)}
    around = [costs.producers.get(node.proto.input[0]) for node in conversions]
    around += [reader for node in conversions for name in node.proto.output for reader in costs.readers.get(name, [])]
    ends = list(dict.fromkeys(node.name for node in around if node is not None and id(node) not in inside))
    return Finding(
        kind="stray-qdq",
        where=tuple(node.name for node in (*conversions, *island)),
        cause=f"{listed([node.name for node in island])}, between {listed(ends)}, only moves values, but they have two "
        "scales: they are made float and integers again at every call",
        fix="one quantizer for both sides: what only moves values (pools, reshapes, concatenations) shares the scale "
        "of its input",
        milliseconds=sum(node.milliseconds for node in (*island, *conversions)),
    )


def requantized(costs: Costs) -> list[Finding]:
    """A DequantizeLinear that a QuantizeLinear follows at once: one value with two scales."""
    found = []
    for node in costs.nodes:
        if node.proto.op_type != "QuantizeLinear":
            continue
        source = costs.producers.get(node.proto.input[0])
        if source is None or source.proto.op_type != "DequantizeLinear":
            continue
        before = costs.producers.get(source.proto.input[0])
        after = [reader.name for name in node.proto.output for reader in costs.readers.get(name, [])]
        found.append(
            Finding(
                kind="stray-qdq",
                where=(source.name, node.name),
                cause=f"between {before.name if before else 'a graph input'} and {listed(after) or 'the output'} one "
                "value has two scales, and is converted at every call",
                fix="one quantizer for both sides: what only moves values (pools, reshapes, concatenations) shares the "
                "scale of its input",
                milliseconds=source.milliseconds + node.milliseconds,
            )
        )
    return found


def float_layers(costs: Costs) -> list[Finding]:
    """Convolutions and matrix products in float, in a file whose others are integers."""
    if not costs.is_integer:
        return []
    stored = costs.initializers
    found = []
    for node in costs.nodes:
        if "QLinear" in node.proto.op_type or "Integer" in node.proto.op_type or node.proto.op_type == "QGemm":
            continue
        place = weight_place(node.proto)
        if place is None or node.proto.input[place] not in stored:
            continue
        weight = stored[node.proto.input[place]]
        if weight.data_type != TensorProto.FLOAT:
            continue
        conversions = _conversions(costs, [node])
        found.append(
            Finding(
                kind="float-layer",
                where=tuple(one.name for one in (node, *conversions)),
                cause=f"{node.name} is computed in float, and its weights have four bytes each"
                + (f"; {len(conversions)} Q and DQ surround it" if conversions else ""),
                fix="Q and DQ on its input, its weight and its output: take it out of quantize.skip, if the report "
                "doesn't say that float is faster there",
                milliseconds=node.milliseconds + sum(one.milliseconds for one in conversions),
                size_bytes=3 * _count(weight),
            )
        )
    return found


def slow_integers(costs: Costs) -> list[Finding]:
    """Integer operators that this runtime computes slower than float ones."""
    slow = [node for node in costs.nodes if node.proto.op_type in SLOW_INTEGERS]
    found = []
    if slow:
        found.append(
            Finding(
                kind="dynamic-convolution",
                where=tuple(node.name for node in slow),
                cause=f"{len(slow)} convolutions measure the range of their input at every call (dynamic "
                "quantization), for which ONNX Runtime has no fast kernel",
                fix="ranges measured before: the quantize stage, or quantize_static in place of quantize_dynamic",
                milliseconds=sum(node.milliseconds for node in slow),
            )
        )
    signed = [node for node in costs.nodes if _is_signed(costs, node)]
    left = [reader for node in signed for name in node.proto.output for reader in costs.readers.get(name, [])]
    left = [*signed, *{id(node): node for node in left if node.macs and node not in signed}.values()]
    if signed and platform.machine() in X86:
        found.append(
            Finding(
                kind="signed-activations",
                where=tuple(node.name for node in left),
                cause=f"int8 activations: x86 multiplies unsigned by signed bytes, so that {len(signed)} Q and DQ are "
                f"left, and {listed([node.name for node in left if node.macs]) or 'no layer'} is computed in float",
                fix="uint8 activations with a zero_point: quantize for target.runtime = 'onnxruntime'",
                milliseconds=sum(node.milliseconds for node in left),
            )
        )
    return found


def _is_signed(costs: Costs, node: Node) -> bool:
    """Whether it rounds activations to int8, or makes such floats again."""
    if node.proto.op_type not in QDQ or len(node.proto.input) < 3 or node.proto.input[0] in costs.initializers:
        return False
    zero_point = costs.initializers.get(node.proto.input[2])
    return zero_point is not None and zero_point.data_type == TensorProto.INT8


def _islands(costs: Costs) -> list[list[Node]]:
    """Connected float operators, without Q and DQ."""
    floats = [
        node
        for node in costs.nodes
        if node.proto.op_type not in QDQ and "QLinear" not in node.proto.op_type and _is_float(costs, node)
    ]
    groups: dict[int, list[Node]] = {}
    of_value: dict[str, int] = {}
    for number, node in enumerate(floats):
        joined = {of_value[name] for name in node.proto.input if name in of_value}
        group = [one for key in joined for one in groups.pop(key)] + [node]
        groups[number] = group
        of_value.update((name, number) for one in group for name in one.proto.output)
    return list(groups.values())


def _is_float(costs: Costs, node: Node) -> bool:
    """Whether it reads what a DequantizeLinear or another float operator gives."""
    sources = [costs.producers.get(name) for name in node.proto.input]
    return any(
        source is not None
        and (source.proto.op_type == "DequantizeLinear" or source.proto.op_type not in QDQ)
        and not source.proto.op_type.startswith("QLinear")
        for source in sources
    )


def _conversions(costs: Costs, nodes: Iterable[Node]) -> list[Node]:
    """The Q and DQ that stand directly around some nodes, with integer operators on their other side."""
    around: dict[int, Node] = {}
    for node in nodes:
        for name in node.proto.input:
            source = costs.producers.get(name)
            if source is not None and source.proto.op_type == "DequantizeLinear" and _makes(costs, source):
                around[id(source)] = source
        for name in node.proto.output:
            for reader in costs.readers.get(name, []):
                if reader.proto.op_type == "QuantizeLinear":
                    around[id(reader)] = reader
    return list(around.values())


def _makes(costs: Costs, dequantize: Node) -> bool:
    """Whether an operator made what is dequantized; a stored weight has none."""
    return dequantize.proto.input[0] in costs.producers


def _count(tensor: TensorProto) -> int:
    total = 1
    for size in tensor.dims:
        total *= size
    return total


def by_operator(costs: Costs) -> list[tuple[str, int, float, int]]:
    """Operator, how many, milliseconds, MACs; the dearest first."""
    rows: dict[str, list[Node]] = defaultdict(list)
    for node in costs.nodes:
        rows[node.proto.op_type].append(node)
    summed = [
        (kind, len(nodes), sum(n.milliseconds for n in nodes), sum(n.macs for n in nodes))
        for kind, nodes in rows.items()
    ]
    return sorted(summed, key=lambda row: -row[2])
