"""Eight pathologies: each is found with cause and fix, and the fix ends finding and cost."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_graphs as graphs
from click.testing import CliRunner
from small_graphs import S8, Graph

from compressor.cli.main import main
from compressor.errors import CompressError
from compressor.explain import Explanation, explain_onnx, explain_path
from compressor.target import Target

CPU = Target(runtime="onnxruntime")


def two_convolutions(between: Callable[[Graph, str], str]) -> Graph:
    """Input, an integer convolution, what is between, another, output."""
    graph = Graph()
    first = graph.qconv(graph.qdq("input"), 32, 32, name="first")
    second = graph.qconv(between(graph, first), 32, 32, name="second")
    graph.qdq(second)
    return graph


def plain(graph: Graph, value: str) -> str:
    return graph.qdq(graph.add("Relu", value), name="joint")


def other_scale(graph: Graph, value: str) -> str:
    return graph.qdq(pooled(graph, plain(graph, value)), scale=0.07)


def same_scale(graph: Graph, value: str) -> str:
    return graph.qdq(pooled(graph, plain(graph, value)))


def pooled(graph: Graph, value: str) -> str:
    return graph.add("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2], name="pool")


def hard_swish(graph: Graph, value: str) -> str:
    return graph.qdq(graph.add("HardSwish", graph.qdq(value), name="act"))


def float_between(graph: Graph, value: str) -> str:
    return graph.qdq(graph.conv(graph.add("Erf", graph.qdq(value)), 32, 32, name="wide"))


def int_between(graph: Graph, value: str) -> str:
    return graph.qdq(graph.qconv(graph.qdq(graph.add("Erf", graph.qdq(value))), 32, 32, name="wide"))


def residual(kind: type) -> Graph:
    """A convolution, and the sum of what it reads and makes."""
    graph = Graph()
    read = graph.qdq("input", kind=kind)
    made = graph.qdq(graph.qconv(read, 32, 32, name="first"), kind=kind)
    graph.qdq(graph.qconv(graph.qdq(graph.add("Add", read, made), kind=kind), 32, 32, name="second"), kind=kind)
    return graph


def norm_behind(shared: bool) -> Graph:
    """A convolution with a norm; read by another one, too, where it is shared."""
    graph = Graph()
    value = graph.conv("input", 32, 32, name="head")
    scale, shift, mean, variance = (graph.store(np.full(32, v, np.float32)) for v in (1.1, 0.1, 0.2, 0.9))
    made = [graph.add("BatchNormalization", value, scale, shift, mean, variance, name="level1")]
    if shared:
        made.append(graph.add("BatchNormalization", value, scale, mean, shift, variance, name="level2"))
    else:
        made.append(made[0])
    graph.add("Add", *made)
    return graph


def odd(channels: int) -> Graph:
    graph = Graph(channels, pixels=24)
    value = "input"
    for name in ("one", "two", "three"):
        value = graph.add("Relu", graph.conv(value, channels, channels, name=name))
    return graph


def repeated(shared: bool) -> Graph:
    graph = Graph()
    weight = graph.chance.normal(size=(32, 32, 3, 3)).astype(np.float32)
    first = graph.store(weight, "first")
    second = first if shared else graph.store(weight, "second")
    value = graph.add("Conv", "input", first, pads=[1] * 4)
    graph.add("Conv", value, second, pads=[1] * 4)
    return graph


def rounded_at_load(stored_as_integers: bool) -> Graph:
    graph = Graph()
    if stored_as_integers:
        return two_convolutions(plain)
    weight = graph.store(graph.chance.normal(size=(32, 32, 3, 3)).astype(np.float32) * 0.05, "weight")
    given = [graph.store(np.full(32, 0.002, np.float32)), graph.store(np.zeros(32, S8))]
    wide = graph.add("DequantizeLinear", graph.add("QuantizeLinear", weight, *given, axis=0), *given, axis=0)
    graph.qdq(graph.add("Conv", graph.qdq("input"), wide, pads=[1] * 4, name="conv"))
    return graph


def dynamic(measured_before: bool) -> Graph:
    if measured_before:
        return two_convolutions(plain)
    graph = Graph()
    value, scale, zero = "quantized", "scale", "zero"
    graph.nodes.append(graphs.helper.make_node("DynamicQuantizeLinear", ["input"], [value, scale, zero], name="range"))
    weight = graph.store(graph.chance.integers(-60, 60, size=(32, 32, 3, 3)).astype(S8))
    whole = graph.add("ConvInteger", value, weight, zero, name="conv", pads=[1] * 4)
    graph.add("Mul", graph.add("Cast", whole, to=graphs.TensorProto.FLOAT), scale)
    return graph


def many_calls(few: bool) -> Graph:
    graph = Graph(8, pixels=2)
    value = "input"
    for number in range(2 if few else 40):
        value = graph.add("Sigmoid", graph.add("Sin", value, name=f"sin{number}"), name=f"gate{number}")
    return graph


def notes(stripped: bool) -> Graph:
    graph = norm_behind(shared=False)
    if not stripped:
        graph.metadata["stack_trace"] = "File model.py, line 1\n" * 2000
    return graph


PATHOLOGIES: dict[str, tuple[Graph, Graph, str, str]] = {
    "stray-qdq": (two_convolutions(other_scale), two_convolutions(same_scale), "two scales", "shares the scale"),
    "no-integer-kernel": (two_convolutions(hard_swish), two_convolutions(plain), "HardSigmoid", "ReLU"),
    "float-layer": (two_convolutions(float_between), two_convolutions(int_between), "wide", "quantize.skip"),
    "unfolded-norm": (norm_behind(True), norm_behind(False), "shared over levels", "a copy of the convolution"),
    "odd-channels": (odd(33), odd(32), "33 channels", "channel_multiple=8"),
    "repeated-tensor": (repeated(False), repeated(True), "first, second", "one initializer"),
    "float-storage": (rounded_at_load(False), rounded_at_load(True), "rounded when the file is loaded", "integers"),
    "dynamic-convolution": (dynamic(False), dynamic(True), "at every call", "quantize stage"),
    "call-overhead": (many_calls(False), many_calls(True), "do next to nothing", "fewer layers"),
    "notes": (notes(False), notes(True), "notes on nodes and metadata", "export"),
    "signed-activations": (residual(np.int8), residual(np.uint8), "int8 activations", "uint8"),
}


def explained(graph: Graph, folder: Path, name: str) -> Explanation:
    return explain_onnx(graph.write(folder / f"{name}.onnx"), CPU)


@pytest.mark.parametrize("kind", PATHOLOGIES)
def test_a_pathology_is_found_and_its_fix_ends_it(kind: str, tmp_path: Path) -> None:
    ill, well, cause, fix = PATHOLOGIES[kind]
    before, after = explained(ill, tmp_path, "ill"), explained(well, tmp_path, "well")
    found = [finding for finding in before.findings if finding.kind == kind]
    assert found, [finding.kind for finding in before.findings]
    assert any(cause in finding.cause for finding in found)
    assert all(fix in finding.fix for finding in found)
    assert all((finding.milliseconds or 0) + (finding.size_bytes or 0) > 0 for finding in found)
    assert kind not in {finding.kind for finding in after.findings}


def test_bytes_are_those_that_go(tmp_path: Path) -> None:
    """The fix makes the file smaller by what was promised, to a node's name."""
    for kind in ("repeated-tensor", "notes"):
        ill, well, _, _ = PATHOLOGIES[kind]
        before, after = explained(ill, tmp_path, "ill"), explained(well, tmp_path, "well")
        (promised,) = [finding.size_bytes for finding in before.findings if finding.kind == kind]
        assert promised is not None
        assert before.size_bytes - after.size_bytes == pytest.approx(promised, rel=0.02)


def test_operators_add_up(tmp_path: Path) -> None:
    found = explained(odd(32), tmp_path, "plain")
    # Three convolutions of 24 x 24 x 32 outputs with 32 x 3 x 3 products each.
    assert sum(one.macs for one in found.operators) == 3 * 24 * 24 * 32 * 32 * 9
    assert found.call_milliseconds and sum(one.milliseconds for one in found.operators) > 0


def test_the_command_prints_and_refuses(tmp_path: Path) -> None:
    path = two_convolutions(hard_swish).write(tmp_path / "model.onnx")
    said = CliRunner().invoke(main, ["explain", str(path)])
    assert said.exit_code == 0, said.output
    assert "no-integer-kernel" in said.stdout and "fix: " in said.stdout and "where the time goes" in said.stdout
    found = json.loads(CliRunner().invoke(main, ["explain", str(path), "--json"]).stdout)
    assert found["findings"][0]["milliseconds"] > 0
    for wrong in (tmp_path / "none.onnx", tmp_path.parent, tmp_path / "model.pt"):
        refused = CliRunner().invoke(main, ["explain", str(wrong)])
        assert refused.exit_code == 2 and "error: " in refused.stderr and "Traceback" not in refused.stderr
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:200])
    with pytest.raises(CompressError, match=r"cut\.onnx"):
        explain_path(tmp_path / "cut.onnx", {})
