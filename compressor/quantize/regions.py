"""Which layer the time of a node in ONNX Runtime's optimized graph belongs to."""

import re
from collections.abc import Callable, Iterable

import onnx

from compressor.export.pairs import DEQUANTIZE
from compressor.measure.node_times import NodeTime
from compressor.models import QuantizationSpec

# What ONNX Runtime's optimizer adds to the names of nodes and values that it rewrites.
ADDED = re.compile(r"(_nchwc|_token_\d+|/duplicated)+$")
WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


class Regions:
    """A layer with weights, what is computed from it up to the next ones, and the Q before and the DQ after it.

    Args:
        graph: As exported, from ``graph_of``: the float file and all mixtures have its names.
        spec: Its quantizers.
    """

    def __init__(self, graph: onnx.GraphProto, spec: QuantizationSpec) -> None:
        self._named = {node.name: node for node in graph.node}
        self._producers = {name: node for node in graph.node for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._layers = {one.name + DEQUANTIZE: one.node for one in spec.quantizers if one.role == "weight"}

    def times(self, measured: Iterable[NodeTime]) -> dict[str, float]:
        """Milliseconds a layer; layers that can be integers are named as the specification names them."""
        spent: dict[str, float] = {}
        unclaimed, last = 0.0, ""
        for one in measured:
            # What has no name of ours (a change of memory layout) belongs to what ran before it.
            last = self._layer(one.name) or last
            if last:
                spent[last] = spent.get(last, 0.0) + one.milliseconds + unclaimed
                unclaimed = 0.0
            else:
                unclaimed += one.milliseconds
        return spent

    def _layer(self, name: str) -> str:
        known = ADDED.sub("", name)
        node = self._named.get(known) or self._producers.get(known)
        if node is None:
            return ""
        before = lambda one: [self._producers[name] for name in one.input if name in self._producers]  # noqa: E731
        after = lambda one: [reader for name in one.output for reader in self._readers.get(name, [])]  # noqa: E731
        # A tensor is rounded for the sake of who reads it, and made float again since its producer was an integer one.
        ways = (after, before) if node.op_type == "QuantizeLinear" else (before, after)
        return self._nearest(node, ways[0]) or self._nearest(node, ways[1])

    def _nearest(self, node: onnx.NodeProto, neighbours: Callable[[onnx.NodeProto], list[onnx.NodeProto]]) -> str:
        seen, waiting = {node.name}, [node]
        while waiting:
            one = waiting.pop(0)
            if one.op_type in WEIGHTED:
                return self._name_of(one)
            for other in neighbours(one):
                if other.name not in seen:
                    seen.add(other.name)
                    waiting.append(other)
        return ""

    def _name_of(self, layer: onnx.NodeProto) -> str:
        weight = self._producers.get(layer.input[1])
        while weight is not None and weight.name not in self._layers:
            weight = self._producers.get(weight.input[0]) if weight.op_type in ("Transpose", "Reshape") else None
        return self._layers[weight.name] if weight is not None else layer.name
