"""How a sum before a LayerNormalization is written, so that ONNX Runtime computes both fast."""

import onnx


def keep_sums_apart(proto: onnx.ModelProto) -> None:
    """Write the sums that LayerNormalizations read as Sum in place of Add, in place; the values are the same.

    ONNX Runtime fuses Add and LayerNormalization into SkipLayerNormalization, whose CPU kernel adds up a row
    number by number, while both operators by themselves use the processor's vectors: on a sentence of 27 tokens
    of width 384, 45 microseconds against 10 (ONNX Runtime 1.32). A Sum of two tensors is not looked for.
    """
    stored = {tensor.name for tensor in proto.graph.initializer}
    normalized = {node.input[0] for node in proto.graph.node if node.op_type == "LayerNormalization"}
    for node in proto.graph.node:
        if node.op_type == "Add" and node.output[0] in normalized and stored.isdisjoint(node.input):
            node.op_type = "Sum"
