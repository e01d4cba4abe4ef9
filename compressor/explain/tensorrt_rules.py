"""What keeps TensorRT from building a graph, or from running it in integers: by its rules, without its clock."""

from pathlib import Path

import onnx
from onnx import TensorProto

from compressor.explain.file_rules import tensor_bytes
from compressor.explain.finding import Finding, listed
from compressor.export.lint import lint_tensorrt
from compressor.target import Target

# What lint_tensorrt's sentences are about, by a part of each, whether TensorRT refuses the graph, and what ends it.
KINDS = (
    (
        "zero_point",
        "zero-point",
        "int8 around zero: quantize for target.runtime = 'tensorrt', which takes no zero_point",
    ),
    ("wanted int8", "unsigned", "int8 in place of uint8: quantize for target.runtime = 'tensorrt'"),
    ("dequantizes int32", "integer-bias", "the bias in float: TensorRT dequantizes int8, int4 and fp8 alone"),
    ("in float", "float-layer", "Q and DQ on the layer's input and its weight: take it out of quantize.skip"),
    ("at the graph's end", "input-type", "float32 at the graph's ends, with one Cast inside"),
)
WEIGHTED = ("Conv", "Gemm", "MatMul")


def tensorrt_findings(path: Path, target: Target) -> list[Finding]:
    """Everything in a graph that TensorRT refuses or runs slower than it could.

    Bytes are those that int8 weights would save; milliseconds are None: only the device has them.
    """
    model = onnx.load(path)
    graph = model.graph
    found: list[Finding] = []
    for part, kind, fix in KINDS:
        faults = [fault for fault in lint_tensorrt(path) if _kind_of(fault) == part]
        if faults:
            found.append(
                Finding(
                    kind=kind, where=tuple(faults), cause=listed(faults), fix=fix,
                    size_bytes=_float_weights(graph, faults) if kind == "float-layer" else None,
                )
            )  # fmt: skip
    norms = [node.name for node in graph.node if node.op_type == "BatchNormalization"]
    if norms:
        found.append(
            Finding(
                kind="unfolded-norm",
                where=tuple(norms),
                cause=f"{listed(norms)}: a node of its own between integer layers is computed in float",
                fix="a convolution directly before it absorbs it before Q and DQ are placed; shared ones need copies",
            )
        )
    found += _rounded_outputs(graph)
    odd = _odd_channels(graph, target.channel_multiple)
    if odd:
        found.append(
            Finding(
                kind="odd-channels",
                where=tuple(odd),
                cause=f"{listed(odd)}: channels are padded to a multiple of {target.channel_multiple}",
                fix=f"--set target.channel_multiple={target.channel_multiple} when pruning",
            )
        )
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    attentions = [node.name for node in graph.node if node.op_type == "Attention"]
    if opset >= 23 and attentions:
        found.append(
            Finding(
                kind="attention-node",
                where=tuple(attentions),
                cause=f"opset {opset} has one node for attention, which TensorRT builds on few devices",
                fix="--set target.opset=20: attention is then written as products and a softmax",
            )
        )
    return found


def _kind_of(fault: str) -> str:
    return next((part for part, _, _ in KINDS if part in fault), "")


def _rounded_outputs(graph: onnx.GraphProto) -> list[Finding]:
    """A Q on a layer's output that no layer reads: TensorRT fuses what follows a convolution only without it."""
    producers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = []
    for node in graph.node:
        source = producers.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        if source is None or source.op_type not in WEIGHTED:
            continue
        after = {r.op_type for dq in readers.get(node.output[0], []) for n in dq.output for r in readers.get(n, [])}
        if after and not after & set(WEIGHTED):
            found.append(
                Finding(
                    kind="rounded-output",
                    where=(node.name or node.output[0],),
                    cause=f"the output of {source.op_type} ({source.name}) is rounded before {listed(sorted(after))}, "
                    "which TensorRT then doesn't fuse into it",
                    fix="Q and DQ on inputs of layers alone: quantize for target.runtime = 'tensorrt'",
                )
            )
    return found


def _odd_channels(graph: onnx.GraphProto, multiple: int) -> list[str]:
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    odd = []
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        name = node.input[1]
        while name in producers:
            name = producers[name].input[0]
        if name in shapes and shapes[name][0] % multiple:
            odd.append(f"Conv ({node.name}) with {shapes[name][0]}")
    return odd


def _float_weights(graph: onnx.GraphProto, faults: list[str]) -> int:
    stored = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    return sum(
        tensor_bytes(tensor) * 3 // 4 for name, tensor in stored.items() if any(f"'{name}'" in f for f in faults)
    )
