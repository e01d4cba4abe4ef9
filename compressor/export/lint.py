"""Whether an exported integer graph keeps the rules that its runtime turns into speed."""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper

QDQ = ("QuantizeLinear", "DequantizeLinear")
# What ONNX Runtime names its integer kernels for, besides QLinear...
INTEGER_OPERATORS = {"QGemm", "MatMulInteger", "MatMulIntegerToFloat", "ConvInteger"}
MOVES = {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "MaxPool", "Concat", "Slice", "Identity", "Cast"}


def optimized_graph(path: Path) -> onnx.GraphProto:
    """The graph that ONNX Runtime makes of a file on the CPU, extended optimisation."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath).graph


def optimized_graph_ops(path: Path) -> Counter[str]:
    """How many operators of each kind ONNX Runtime runs for a file."""
    return Counter(node.op_type for node in optimized_graph(path).node)


def float_ops(path: Path) -> list[str]:
    """The operators that ONNX Runtime still computes in float for a file, as ``"ReduceMean (node name)"``.

    Reshapes and pools that only move integers are none, nor are Q and DQ.
    """
    graph = optimized_graph(path)
    floats = _float_values(graph)
    return [
        f"{node.op_type} ({node.name})"
        for node in graph.node
        if node.op_type not in QDQ
        and not _is_integer(node)
        and (node.op_type not in MOVES or any(name in floats for name in node.input))
    ]


def lint_onnxruntime(path: Path) -> list[str]:
    """What keeps a file from running its convolutions in integers from one to the next.

    Complaints are float convolutions, and Q or DQ on a way from one integer convolution to another.
    Empty where there are none.
    """
    graph = optimized_graph(path)
    faults = [f"{node.name} is a float Conv" for node in graph.node if node.op_type in ("Conv", "FusedConv")]
    reads_convolution = _downstream(graph)
    feeds_convolution = _upstream(graph)
    for node in graph.node:
        before = node.input[0] in reads_convolution
        if node.op_type in QDQ and before and node.output[0] in feeds_convolution:
            faults.append(f"{node.op_type} ({node.name}) stands between two integer convolutions")
    return faults


def lint_tensorrt(path: Path) -> list[str]:
    """Which of TensorRT's rules for explicit quantization a file breaks; empty where none.

    Every Conv and every Gemm or MatMul with a stored weight reads int8 through DequantizeLinear on both
    sides, no zero_point differs from 0, no int32 is dequantized, graph inputs and outputs are float32,
    or int64 for token ids.
    """
    graph = onnx.load(path).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    faults = []
    for node in graph.node:
        if node.op_type in QDQ:
            faults.extend(_faults_of_zero_point(node, stored))
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            if stored[node.input[0]].data_type == TensorProto.INT32:
                faults.append(f"{node.name or node.output[0]} dequantizes int32: a bias must stay float")
        elif node.op_type in ("Conv", "Gemm", "MatMul") and _has_weight(node, stored, producers):
            faults.extend(
                f"{node.op_type} ({node.name}) reads '{name}' in float"
                for name in node.input[:2]
                if not _is_int8(name, stored, producers)
            )
    for value in (*graph.input, *graph.output):
        kind = value.type.tensor_type.elem_type
        if kind not in (TensorProto.FLOAT, TensorProto.INT64):
            found = TensorProto.DataType.Name(kind)
            faults.append(f"'{value.name}' at the graph's end is {found}, wanted FLOAT, or INT64 for token ids")
    return faults


def _faults_of_zero_point(node: onnx.NodeProto, stored: dict[str, TensorProto]) -> list[str]:
    if len(node.input) < 3 or not node.input[2]:
        return []
    if node.input[2] not in stored:
        return [f"{node.op_type} ({node.name}) computes its zero_point"]
    zero_point = numpy_helper.to_array(stored[node.input[2]])
    if np.any(zero_point != 0):
        return [f"{node.op_type} ({node.name}) has zero_point {zero_point.reshape(-1)[0]}, wanted 0"]
    return [] if zero_point.dtype == np.int8 else [f"{node.op_type} ({node.name}) is {zero_point.dtype}, wanted int8"]


def _has_weight(node: onnx.NodeProto, stored: dict[str, TensorProto], producers: dict[str, onnx.NodeProto]) -> bool:
    name = node.input[1]
    while name in producers and producers[name].op_type in (*QDQ, "Transpose", "Cast", "Identity"):
        name = producers[name].input[0]
    return name in stored


def _is_int8(name: str, stored: dict[str, TensorProto], producers: dict[str, onnx.NodeProto]) -> bool:
    """Whether a value comes out of DequantizeLinear, fed by QuantizeLinear or a stored int8 tensor."""
    node = producers.get(name)
    while node is not None and node.op_type == "Transpose":
        node = producers.get(node.input[0])
    if node is None or node.op_type != "DequantizeLinear":
        return False
    given = node.input[0]
    if given in stored:
        return stored[given].data_type == TensorProto.INT8
    return given in producers and producers[given].op_type == "QuantizeLinear"


def _is_integer(node: onnx.NodeProto) -> bool:
    return node.op_type.startswith("QLinear") or node.op_type in INTEGER_OPERATORS


def _downstream(graph: onnx.GraphProto) -> set[str]:
    """Values computed from an integer convolution."""
    reached: set[str] = set()
    for node in graph.node:
        if node.op_type == "QLinearConv" or any(name in reached for name in node.input):
            reached.update(node.output)
    return reached


def _upstream(graph: onnx.GraphProto) -> set[str]:
    """Values that an integer convolution is computed from."""
    reached: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type == "QLinearConv" or any(name in reached for name in node.output):
            reached.update(node.input)
    return reached


def _float_values(graph: onnx.GraphProto) -> set[str]:
    """Values that are float: graph inputs, what DequantizeLinear gives, and what is computed from either."""
    floats = {value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            floats.update(node.output)
        elif node.op_type != "QuantizeLinear" and not _is_integer(node):
            if any(name in floats for name in node.input):
                floats.update(node.output)
        elif node.op_type == "MatMulIntegerToFloat":
            floats.update(node.output)
    return floats
