"""What is done with times, which are given here; whether they are true is for the tests of measure."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from compressor.context import RunContext
from compressor.measure.node_times import NodeTime
from compressor.models import TorchModel
from compressor.quantize import measured
from compressor.quantize.stage import Quantize
from compressor.target import Budget, Target

Context = Callable[..., RunContext]


def integer_layers(path: Path) -> int:
    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    return sum(node.op_type == "DequantizeLinear" and node.input[0] in weights for node in graph.node)


def clock_of(
    monkeypatch: pytest.MonkeyPatch, file_ms: Mapping[int, float], slow: Mapping[str, float], timed: list[list[int]]
) -> None:
    """Files take what their number of integer layers says; the named layers are slower than float by so much."""

    def p50s(paths: list[Path], ctx: Any, **_: Any) -> list[float]:
        timed.append([integer_layers(path) for path in paths])
        return [file_ms[count] for count in timed[-1]]

    def node_times(path: Path, *_: Any) -> list[NodeTime]:
        names = ("conv2d", "conv2d_1", "conv2d_2", "linear")
        is_integer = integer_layers(path) > 0
        return [NodeTime(f"node_{name}", "", 1.0 + is_integer * slow.get(name, -0.5)) for name in names]

    monkeypatch.setattr(measured, "p50s", p50s)
    monkeypatch.setattr(measured, "node_times", node_times)


def test_what_int8_makes_slower_goes_back_to_float(
    trained: TorchModel, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[list[int]] = []
    clock_of(monkeypatch, {0: 4.0, 4: 3.8, 3: 2.0}, {"conv2d_1": 0.25}, timed)
    ctx = context()
    result = Quantize(qat=False).run(trained, ctx)
    assert timed == [[0, 4], [0, 4, 3]]
    assert result.model.spec.float_layers == {"3": "slower in int8 here: 1.250 ms with its conversions, 1.000 in float"}
    assert (result.metrics["int8_layers"], result.model.spec.slower) == (3, "")
    assert [result.metrics[f"{name}_latency_ms"] for name in ("fp32", "rules", "kept")] == [4.0, 3.8, 2.0]
    assert any("in float: 3 (slower in int8 here" in note for note in result.notes)
    # A run that goes on takes what was found.
    monkeypatch.setattr(measured, "p50s", lambda *_, **__: pytest.fail("timed again"))
    assert Quantize(qat=False).run(trained, ctx).model.spec == result.model.spec


def test_half_of_them_are_tried_where_all_are_too_many(
    trained: TorchModel, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[list[int]] = []
    clock_of(monkeypatch, {0: 4.0, 4: 3.0, 2: 3.5, 3: 2.0}, {"conv2d_1": 0.25, "conv2d": 0.5}, timed)
    result = Quantize(qat=False).run(trained, context())
    assert timed[1:3] == [[0, 4, 2], [0, 4, 3]]
    assert list(result.model.spec.float_layers) == ["0"]


def test_a_network_that_int8_does_not_help_is_not_trained(
    trained: TorchModel, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_of(monkeypatch, {0: 1.0, 4: 0.99, 3: 0.98}, {"conv2d_1": 0.25}, [])
    result = Quantize().run(trained, context())
    assert "qat_score" not in result.metrics and result.metrics["kept"] == "ptq"
    # The whole by the rules, in case size is wanted after all.
    assert (result.metrics["int8_layers"], result.model.spec.float_layers) == (4, {})
    assert result.model.spec.slower == "p50 0.990 against 1.000 ms"
    assert any("export.prefer='size' trains and ships it" in note for note in result.notes)


def test_no_round_begins_after_the_time_is_up(
    trained: TorchModel, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_of(monkeypatch, {0: 4.0, 4: 3.0}, {"conv2d_1": 0.25}, [])
    monkeypatch.setattr(measured, "SECONDS", -1.0)
    notes = Quantize(qat=False).run(trained, context()).notes
    assert any("no more layers were tried in float after 0 rounds" in note for note in notes)


def test_the_stages_folder_need_not_be_there_yet(
    trained: TorchModel, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_of(monkeypatch, {0: 4.0, 4: 2.0}, {}, [])
    ctx = context()
    ctx = replace(ctx, workdir=ctx.workdir / "of-this-stage")
    assert Quantize(qat=False, weight_bits=8).run(trained, ctx).metrics["int8_layers"] == 4
    assert [path.name for path in ctx.workdir.iterdir()] == ["decisions.json"]


@pytest.mark.parametrize(
    "changed",
    [{"prefer": "size"}, {"target": Target(runtime="tensorrt")}, {"budget": Budget(size_mb=0.012)}],
)
def test_nothing_is_timed_where_size_counts_or_the_device_is_elsewhere(
    changed: dict[str, Any], trained: TorchModel, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "p50s", lambda *_, **__: pytest.fail("timed"))
    result = Quantize(qat=False).run(trained, replace(context(), **changed))
    assert result.metrics["int8_layers"] == 4 and not result.model.spec.slower
