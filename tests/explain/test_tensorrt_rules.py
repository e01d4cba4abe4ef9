"""TensorRT's rules, held against the builder that has them: what is refused is found, what is mended builds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_graphs import S8, Graph

from compressor.explain import explain_onnx
from compressor.export.tensorrt import validate_for_tensorrt
from compressor.target import Target

JETSON = Target(runtime="tensorrt", channel_multiple=16, max_batch_size=1)


def network(kind: type = S8, zero: int = 0, bias: str = "", channels: int = 32, rounded_output: bool = False) -> Graph:
    """Two convolutions by TensorRT's rules, but for what is asked."""
    graph = Graph()
    graph.zero = zero
    first = graph.qconv(graph.qdq("input", kind=kind), 32, channels, name="first")
    if bias:
        values = graph.chance.integers(-9, 9, size=channels)
        given = graph.store(values.astype(np.int32 if bias == "int32" else np.float32), "bias")
        if bias == "int32":
            given = graph.add("DequantizeLinear", given, graph.store(np.float32(0.01)), name="bias_dq")
        graph.nodes[[node.name for node in graph.nodes].index("first")].input.append(given)
        # The bias is made before the layer that reads it.
        graph.nodes.sort(key=lambda node: node.name == "first")
        graph.last = first
    if rounded_output:
        first = graph.add("Sigmoid", graph.qdq(first, kind=kind))
    graph.qconv(graph.qdq(graph.add("Relu", first), kind=kind), channels, 32, name="second")
    return graph


FAULTS: dict[str, tuple[Callable[[], Graph], bool]] = {
    "zero-point": (lambda: network(zero=3), True),
    "integer-bias": (lambda: network(bias="int32"), True),
    "odd-channels": (lambda: network(channels=20), False),
    "rounded-output": (lambda: network(rounded_output=True), False),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_found_and_the_builder_says_so_too(kind: str, tmp_path: Path) -> None:
    make, refused = FAULTS[kind]
    path = make().write(tmp_path / "ill.onnx")
    found = {finding.kind: finding for finding in explain_onnx(path, JETSON).findings}
    assert kind in found, found
    assert found[kind].milliseconds is None and found[kind].fix
    assert bool(validate_for_tensorrt(path, JETSON)) == refused


@pytest.mark.parametrize("bias", ["", "float32"])
def test_a_graph_by_the_rules_builds_and_has_no_finding(bias: str, tmp_path: Path) -> None:
    path = network(bias=bias).write(tmp_path / "well.onnx")
    assert explain_onnx(path, JETSON).findings == ()
    assert validate_for_tensorrt(path, JETSON) == []
