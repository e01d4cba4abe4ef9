"""What ONNX Runtime really runs for a file: its optimized graph, and per node shapes, MACs, bytes and milliseconds."""

import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import NodeProto, TensorProto

from compressor.errors import ModelFileError
from compressor.measure.node_times import Events, kernel_events, milliseconds_of
from compressor.onnx_files import read_graph
from compressor.onnx_files.session import PROVIDER, session_options
from compressor.runners import Arrays

Shape = tuple[int, ...]
CALLS = 30
SECONDS = 3.0
CONVOLUTIONS = {"Conv", "FusedConv", "QLinearConv", "ConvInteger"}
PRODUCTS = {"Gemm", "FusedGemm", "MatMul", "FusedMatMul", "QGemm", "QLinearMatMul", "MatMulInteger"}
PRODUCTS |= {"MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
BYTES = {"float": 4, "float16": 2, "double": 8, "int8": 1, "uint8": 1, "int32": 4, "int64": 8, "bool": 1}


@dataclass(frozen=True)
class Node:
    """One node that ran.

    Args:
        proto: As in the optimized graph.
        milliseconds: Median over the calls.
        weight: The shape of its weight, where it has one.
        outputs: Shapes of what it wrote.
        moved: Bytes that it reads and writes.
        macs: Multiply-accumulates; 0 where it has no weights.
    """

    proto: NodeProto
    milliseconds: float
    weight: Shape | None
    outputs: tuple[Shape, ...]
    moved: int
    macs: int

    @property
    def name(self) -> str:
        """Operator and name, as messages have it."""
        return f"{self.proto.op_type} ({self.proto.name})"


@dataclass(frozen=True)
class Costs:
    """A file and what its calls cost.

    Args:
        path: The file.
        model: As written.
        graph: As ONNX Runtime runs it, all optimisations applied.
        nodes: Of that graph, in order, those that ran.
        call_milliseconds: Median of a whole call, from outside.
        producers: Of each value of the graph, the node that makes it.
        readers: Of each value, the nodes that read it.
    """

    path: Path
    model: onnx.ModelProto
    graph: onnx.GraphProto
    nodes: tuple[Node, ...]
    call_milliseconds: float
    producers: dict[str, Node] = field(default_factory=dict)
    readers: dict[str, list[Node]] = field(default_factory=dict)

    @property
    def initializers(self) -> dict[str, TensorProto]:
        """Stored tensors of the optimized graph."""
        return {tensor.name: tensor for tensor in self.graph.initializer}

    @property
    def is_integer(self) -> bool:
        """Whether anything of it is computed in integers."""
        return any("QLinear" in n.proto.op_type or "Integer" in n.proto.op_type or n.proto.op_type == "QGemm"
                   for n in self.nodes)  # fmt: skip


def costs_of(path: Path, inputs: Sequence[Arrays], threads: int = 1) -> Costs:
    """Run a file and read ONNX Runtime's own profile of it.

    Raises:
        ModelFileError: ONNX Runtime can't load or run the file.
    """
    model = read_graph(path)
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        try:
            events = kernel_events(path, inputs, threads, CALLS, seconds=SECONDS, optimized=optimized)
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelFileError(f"ONNX Runtime can't run {path}: {reason}", "compress measure the file") from error
        graph = onnx.load(optimized).graph
    nodes = tuple(_nodes(graph, events))
    readers: dict[str, list[Node]] = defaultdict(list)
    producers = {}
    for node in nodes:
        for name in node.proto.input:
            readers[name].append(node)
        producers.update(dict.fromkeys(node.proto.output, node))
    whole = _call(path, inputs, threads)
    return Costs(path, model, graph, nodes, whole, producers, dict(readers))


def example_inputs(path: Path, batch: int = 1, tokens: int = 32) -> Arrays:
    """Inputs of the shapes that a graph declares: noise for floats, small integers for ids.

    Args:
        path: The file.
        batch: What a free first axis becomes.
        tokens: What any other free axis becomes.
    """
    chance = np.random.default_rng(0)
    model = onnx.load(path, load_external_data=False)
    stored = {tensor.name for tensor in model.graph.initializer}
    made = []
    for value in model.graph.input:
        if value.name in stored:
            continue
        kind = value.type.tensor_type
        shape = tuple(axis.dim_value or (tokens if place else batch) for place, axis in enumerate(kind.shape.dim))
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        is_float = np.issubdtype(dtype, np.floating)
        made.append((chance.normal(size=shape) if is_float else np.ones(shape)).astype(dtype))
    return tuple(made)


def _call(path: Path, inputs: Sequence[Arrays], threads: int) -> float:
    session = onnxruntime.InferenceSession(str(path), session_options(threads), providers=[PROVIDER])
    names = [given.name for given in session.get_inputs()]
    spent: list[float] = []
    deadline = time.monotonic() + SECONDS
    while len(spent) < 3 * CALLS and (len(spent) < CALLS or time.monotonic() < deadline):
        feeds = dict(zip(names, inputs[len(spent) % len(inputs)], strict=True))
        start = time.perf_counter()
        session.run(None, feeds)
        spent.append((time.perf_counter() - start) * 1000)
    return statistics.median(spent[len(spent) // 3 :])


def _nodes(graph: onnx.GraphProto, spent: Events) -> list[Node]:
    """The optimized graph's nodes with what the profile says of each, by name and operator."""
    # Nodes without a name: the profile makes names up, in the order in which they run.
    named = {(proto.name, proto.op_type) for proto in graph.node}
    unnamed: dict[str, list[list[dict[str, Any]]]] = defaultdict(list)
    for key, ran in spent.items():
        if key not in named:
            unnamed[key[1]].append(ran)
    stored = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    nodes = []
    for proto in graph.node:
        ran = spent.get((proto.name, proto.op_type), [])
        if not ran and unnamed[proto.op_type]:
            ran = unnamed[proto.op_type].pop(0)
        if not ran:
            continue
        args = ran[-1]["args"]
        reads, writes = (_typed(args.get(f"{side}_type_shape", [])) for side in ("input", "output"))
        shapes = tuple(shape for _, shape in reads)
        # A kernel that packed its weights anew no longer lists them.
        place = weight_place(proto)
        weight = stored.get(proto.input[place]) if place is not None else None
        weight = weight or (shapes[place] if place is not None and place < len(shapes) else None)
        outputs = tuple(shape for _, shape in writes)
        moved = sum(BYTES.get(kind, 4) * math.prod(shape) for kind, shape in (*reads, *writes))
        macs = _macs(proto, shapes, weight, outputs)
        nodes.append(Node(proto, milliseconds_of(ran), weight, outputs, moved, macs))
    return nodes


def _typed(listed: list[dict[str, list[int]]]) -> list[tuple[str, Shape]]:
    return [(kind, tuple(shape)) for entry in listed for kind, shape in entry.items()]


def _macs(proto: NodeProto, inputs: tuple[Shape, ...], weight: Shape | None, outputs: tuple[Shape, ...]) -> int:
    """Of convolutions and matrix products, by the shapes that they ran with."""
    if not weight or not outputs:
        return 0
    if proto.op_type in CONVOLUTIONS:
        return math.prod(outputs[0]) * math.prod(weight[1:])
    return math.prod(outputs[0]) * (inputs[0][-1] if inputs[0] else 1)


def weight_place(proto: NodeProto) -> int | None:
    """Which input of a convolution or matrix product is its weight; None for other nodes."""
    if proto.op_type not in CONVOLUTIONS | PRODUCTS:
        return None
    return 3 if proto.op_type in ("QLinearConv", "QLinearMatMul", "QGemm") else 1
