"""What takes bytes in an ONNX file beside its weights at their own precision."""

import hashlib
import math
from collections import defaultdict

from onnx import TensorProto

from compressor.explain.costs import Costs
from compressor.explain.finding import Finding, listed
from compressor.onnx_files import file_size

# Smaller tensors and shares aren't worth a line.
TENSOR_BYTES = 1024
SHARE = 0.02
WIDTHS: dict[int, float] = {
    TensorProto.FLOAT: 4, TensorProto.DOUBLE: 8, TensorProto.FLOAT16: 2, TensorProto.BFLOAT16: 2,
    TensorProto.INT8: 1, TensorProto.UINT8: 1, TensorProto.INT16: 2, TensorProto.UINT16: 2,
    TensorProto.INT32: 4, TensorProto.INT64: 8, TensorProto.BOOL: 1, TensorProto.INT4: 0.5, TensorProto.UINT4: 0.5,
}  # fmt: skip


def tensor_bytes(tensor: TensorProto) -> int:
    """What a tensor's values take."""
    count: int = math.prod(tensor.dims)
    return math.ceil(count * WIDTHS.get(tensor.data_type, 4))


def repeated_tensors(costs: Costs) -> list[Finding]:
    """Tensors that the file holds twice."""
    places: dict[str, list[TensorProto]] = defaultdict(list)
    for tensor in costs.model.graph.initializer:
        if tensor_bytes(tensor) >= TENSOR_BYTES and tensor.data_location != TensorProto.EXTERNAL:
            content = f"{tensor.data_type} {list(tensor.dims)}".encode() + _content(tensor)
            places[hashlib.sha256(content).hexdigest()].append(tensor)
    found = []
    for same in places.values():
        if len(same) > 1:
            names = [tensor.name for tensor in same]
            found.append(
                Finding(
                    kind="repeated-tensor",
                    where=tuple(names),
                    cause=f"{listed(names)} hold the same values: tied weights that were written once for each use",
                    fix="one initializer that all of them read",
                    size_bytes=tensor_bytes(same[0]) * (len(same) - 1),
                )
            )
    return found


def float_storage(costs: Costs) -> list[Finding]:
    """Float weights that a QuantizeLinear rounds at load: four bytes kept for one that is used."""
    stored = {tensor.name: tensor for tensor in costs.model.graph.initializer}
    wide = [
        node.input[0]
        for node in costs.model.graph.node
        if node.op_type == "QuantizeLinear"
        and node.input[0] in stored
        and stored[node.input[0]].data_type == TensorProto.FLOAT
    ]
    saved = sum(tensor_bytes(stored[name]) for name in wide) * 3 // 4
    if saved < TENSOR_BYTES:
        return []
    return [
        Finding(
            kind="float-storage",
            where=tuple(wide),
            cause=f"{len(wide)} weights are stored in float and rounded when the file is loaded",
            fix="store the integers, with a DequantizeLinear alone: compress writes files so",
            size_bytes=saved,
        )
    ]


def unused_tensors(costs: Costs) -> list[Finding]:
    """Tensors that no node reads."""
    graph = costs.model.graph
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    read |= {name for node in graph.node for attribute in node.attribute for name in _captured(attribute)}
    idle = [tensor for tensor in graph.initializer if tensor.name not in read]
    lost = sum(map(tensor_bytes, idle))
    if lost < TENSOR_BYTES:
        return []
    return [
        Finding(
            kind="unused-tensor",
            where=tuple(tensor.name for tensor in idle),
            cause=f"no node reads {listed([tensor.name for tensor in idle])}",
            fix="export again; weights that the forward doesn't use need no place in the file",
            size_bytes=lost,
        )
    ]


def _captured(attribute: object) -> list[str]:
    """Names that a subgraph reads from outside of it."""
    graph = getattr(attribute, "g", None)
    return [name for node in graph.node for name in node.input] if graph is not None else []


def beside_weights(costs: Costs) -> list[Finding]:
    """Names, notes and metadata."""
    size = file_size(costs.path)
    weights = sum(map(tensor_bytes, costs.model.graph.initializer))
    parts = (costs.model, costs.model.graph, *costs.model.graph.node)
    noted = sum(len(p.key) + len(p.value) for part in parts for p in part.metadata_props)
    noted += sum(len(node.doc_string) for node in costs.model.graph.node)
    if noted < max(TENSOR_BYTES, SHARE * size):
        return []
    return [
        Finding(
            kind="notes",
            where=(costs.path.name,),
            cause=f"{noted / 1e3:.1f} kB of {size / 1e3:.1f} kB are notes on nodes and metadata; weights take "
            f"{weights / 1e3:.1f} kB",
            fix="export with compress, which leaves out what the exporter notes on every node; a tokenizer or class "
            "names in the metadata can lie beside the file",
            size_bytes=noted,
        )
    ]


def _content(tensor: TensorProto) -> bytes:
    return tensor.raw_data or tensor.SerializeToString()
