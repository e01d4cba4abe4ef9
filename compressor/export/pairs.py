"""Q/DQ pairs of an exported graph, by the quantizers that wrote them."""

import ast
from collections.abc import Collection

import onnx

from compressor.export.integers import drop_unused

# Where the exporter says in which modules a node was called, outermost first.
SCOPES = "pkg.torch.onnx.name_scopes"
DEQUANTIZE = "_dequantize"
KINDS = {"QuantizeLinear": "", "DequantizeLinear": DEQUANTIZE}


def name_pairs(proto: onnx.ModelProto) -> None:
    """Name QuantizeLinear after its quantizer and DequantizeLinear after it, too, with ``_dequantize``; in place.

    A quantizer is a module of the graph's first level; what it shares another's grid with is called inside of it.
    """
    for node in proto.graph.node:
        if node.op_type in KINDS:
            scopes: list[str] = next(
                (ast.literal_eval(entry.value) for entry in node.metadata_props if entry.key == SCOPES), []
            )
            if len(scopes) > 1 and scopes[1] != scopes[-1]:
                node.name = scopes[1] + KINDS[node.op_type]


def without_pairs(proto: onnx.ModelProto, names: Collection[str]) -> None:
    """Take out the pairs of these quantizers, in place: what read the rounded value reads the value itself."""
    graph = proto.graph
    written = {node.output[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    ends = {output.name for output in graph.output}
    for node in [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in written]:
        quantize = written[node.input[0]]
        if quantize.name not in names:
            continue
        given, made = quantize.input[0], node.output[0]
        graph.node.remove(node)
        if not any(quantize.output[0] in other.input for other in graph.node):
            graph.node.remove(quantize)
        # The graph's end keeps its name.
        old, new = (given, made) if made in ends else (made, given)
        for other in graph.node:
            other.input[:] = [new if name == old else name for name in other.input]
            other.output[:] = [new if name == old else name for name in other.output]
    drop_unused(graph)
