import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, fx, nn

from compressor.context import RunContext
from compressor.data import Data
from compressor.errors import PlanError, StageError
from compressor.export import candidates
from compressor.export import stage as export_stage
from compressor.export.onnx import read_metadata
from compressor.export.stage import Export
from compressor.measure import collect_outputs, count_macs, parity
from compressor.models import OnnxModel, QuantizationSpec, QuantizedModel, Quantizer, TorchModel
from compressor.quantize import calibrate, capture, insert_quantizers, place
from compressor.quantize.stage import bits_here
from compressor.runners import OnnxRunner, TorchRunner
from compressor.target import Budget, Target

TENSORRT = Target(runtime="tensorrt", batch_size=2)


class Rounding(nn.Module):
    """int8, symmetric, one scale: in torch by arithmetic, in the file as a Q/DQ pair."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("zero_point", torch.tensor(0, dtype=torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        if not torch.onnx.is_in_onnx_export():
            return (x / self.scale).round().clamp(-128, 127) * self.scale
        ends = (self.scale, self.zero_point)
        whole = torch.onnx.ops.symbolic("QuantizeLinear", (x, *ends), dtype=torch.int8, shape=x.shape, version=19)
        real: Tensor = torch.onnx.ops.symbolic(
            "DequantizeLinear", (whole, *ends), dtype=torch.float32, shape=x.shape, version=19
        )
        return real


def quantized(model: TorchModel, scheme: Any, scale: float = 0.03) -> QuantizedModel:
    """The network as a graph with its input rounded."""
    graph = fx.symbolic_trace(copy.deepcopy(model.module))
    start = next(node for node in graph.graph.nodes if node.op == "placeholder")
    graph.add_submodule("rounding", Rounding(scale))
    with graph.graph.inserting_after(start):
        node = graph.graph.call_module("rounding", (start,))
    start.replace_all_uses_with(node, delete_user_cb=lambda user: user is not node)
    graph.recompile()
    spec = QuantizationSpec(
        scheme=scheme,
        quantizers=(Quantizer(name="rounding", node=start.name, role="activation", dtype="int8"),),
        torch_version=torch.__version__,
    )
    return QuantizedModel(graph.eval(), model.info, spec, {})


def _kinds(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def test_onnx_with_its_script_and_proof(trained: TorchModel, context: Callable[..., RunContext]) -> None:
    ctx = context()
    result = Export().run(trained, ctx)
    assert result.model == OnnxModel(ctx.workdir / "model.onnx", trained.info, "fp32")
    assert {path.name for path in ctx.workdir.iterdir()} == {"model.onnx", "infer.py"}
    with TorchRunner(trained.module) as torch_runner, OnnxRunner(result.model.path) as onnx_runner:
        expected = parity(collect_outputs(torch_runner, ctx), collect_outputs(onnx_runner, ctx))
    assert result.metrics["parity"]["agreement"] == expected.agreement == 1.0
    assert result.metrics["parity"]["samples"] == 360
    assert result.metrics["parity"]["mean_abs_error"] < 1e-4 * expected.logit_std
    assert result.metrics["size_bytes"] == result.model.path.stat().st_size


def test_another_network_in_the_file_is_caught(
    trained: TorchModel, context: Callable[..., RunContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = export_stage.graph_of

    def sabotaged(form: TorchModel, *args: Any, **kwargs: Any) -> onnx.ModelProto:
        module = copy.deepcopy(form.module)
        with torch.no_grad():
            module[-1].bias.copy_(torch.arange(10.0) * 3)
        return real(TorchModel(module, form.info), *args, **kwargs)

    monkeypatch.setattr(export_stage, "graph_of", sabotaged)
    with pytest.raises(StageError, match=r"not the network it was made of.*of 360 inputs, wanted 98\.0%"):
        Export().run(trained, context())
    assert Export(min_agreement=0.0).run(trained, context(name="accepted")).metrics["parity"]["agreement"] < 0.98


def test_values_that_are_not_finite_are_caught(trained: TorchModel, context: Callable[..., RunContext]) -> None:
    module = copy.deepcopy(trained.module)
    with torch.no_grad():
        module[-1].weight[0] = float("nan")
    with pytest.raises(StageError, match="not finite"):
        Export().run(TorchModel(module, trained.info), context())


def test_the_kit_for_tensorrt(trained: TorchModel, context: Callable[..., RunContext]) -> None:
    ctx = context(TENSORRT)
    result = Export(formats=("onnx", "tensorrt")).run(trained, ctx)
    assert {"model.onnx", "infer.py", "build_engine.py", "TENSORRT.md"} <= {path.name for path in ctx.workdir.iterdir()}
    pytest.importorskip("tensorrt_rtx")
    assert result.metrics["builds_in_tensorrt_rtx"] is True
    assert any("builds the graph" in note for note in result.notes)


def test_a_graph_that_tensorrt_refuses_is_in_the_notes(trained: TorchModel, context: Callable[..., RunContext]) -> None:
    pytest.importorskip("tensorrt_rtx")
    model = quantized(trained, "tensorrt")
    model.module.rounding.zero_point.fill_(3)
    result = Export(formats=("onnx", "tensorrt"), min_agreement=0.0).run(model, context(TENSORRT))
    assert result.metrics["builds_in_tensorrt_rtx"] is False
    assert any("refuses the graph" in note for note in result.notes)


def test_formats_must_fit_the_runtime(trained: TorchModel, context: Callable[..., RunContext]) -> None:
    with pytest.raises(PlanError, match="runtime is onnxruntime"):
        Export(formats=("onnx", "tensorrt")).rehearse(trained, context())
    assert "kit" in Export().rehearse(trained, context(TENSORRT)).notes[0]
    with pytest.raises(PlanError, match="quantized by the rules for tensorrt"):
        Export().rehearse(quantized(trained, "tensorrt"), context())


def timed(monkeypatch: pytest.MonkeyPatch, fp32_ms: float, int8_ms: float) -> list[set[str]]:
    """Let both graphs take so long; gives what was timed."""
    seen: list[set[str]] = []

    def timing(paths: list[Path], *rest: Any) -> list[float]:
        seen.extend(_kinds(path) for path in paths)
        return [fp32_ms, int8_ms]

    monkeypatch.setattr(candidates, "p50s", timing)
    return seen


def test_int8_is_timed_against_its_own_fp32_graph(
    trained: TorchModel, context: Callable[..., RunContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = timed(monkeypatch, 0.4, 0.2)
    ctx = context()
    result = Export().run(quantized(trained, "onnxruntime-cpu"), ctx)
    assert "QuantizeLinear" not in seen[0] and "QuantizeLinear" in seen[1]
    assert (result.metrics["fp32_latency_ms"], result.metrics["int8_latency_ms"]) == (0.4, 0.2)
    assert "2.00 times faster" in result.notes[0]
    assert result.model.precision == "int8"
    assert {path.name for path in ctx.workdir.iterdir()} == {"model.onnx", "infer.py", "decisions.json"}


@pytest.mark.parametrize("int8_ms", [0.4, 0.2, 0.199])
def test_int8_that_is_not_faster_is_not_shipped(
    int8_ms: float, trained: TorchModel, context: Callable[..., RunContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = context()
    ctx.decisions.settle("latency_of_fp32_and_int8_ms", lambda: [0.2, int8_ms], "as an interrupted run left it")
    monkeypatch.setattr(candidates, "p50s", lambda *_: pytest.fail("timed again on resume"))
    result = Export().run(quantized(trained, "onnxruntime-cpu"), ctx)
    assert result.model.precision == "fp32"
    assert "QuantizeLinear" not in _kinds(result.model.path)
    assert result.metrics["parity"]["max_abs_error"] < 1e-3
    saved = result.metrics["fp32_size_bytes"] - result.metrics["int8_size_bytes"]
    assert any(f"int8 would have saved {saved:,} bytes" in note for note in result.notes)
    assert read_metadata(result.model.path).get("scheme") is None
    assert {path.name for path in ctx.workdir.iterdir()} == {"model.onnx", "infer.py", "decisions.json"}


def test_int8_ships_for_its_size_where_asked_or_needed(
    as_the_quantize_stage_gives_it: Callable[[Target], QuantizedModel],
    context: Callable[..., RunContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed(monkeypatch, 0.2, 0.4)
    ctx = context()
    model = as_the_quantize_stage_gives_it(ctx.target)
    result = Export(prefer="size").run(model, ctx)
    assert result.model.precision == "int8"
    assert "int8 ships for its size (export.prefer is size)" in result.notes
    between = (result.metrics["fp32_size_bytes"] + result.metrics["int8_size_bytes"]) / 2e6
    needy = replace(context(name="needy"), budget=Budget(size_mb=between))
    result = Export().run(model, needy)
    assert result.model.precision == "int8"
    assert any("budget.size_mb: the float file has" in note for note in result.notes)


@pytest.mark.latency
def test_both_graphs_are_really_timed(trained: TorchModel, context: Callable[..., RunContext]) -> None:
    result = Export().run(quantized(trained, "onnxruntime-cpu"), context())
    assert result.metrics["fp32_latency_ms"] > 0
    assert np.isfinite(result.metrics["int8_latency_ms"])


@pytest.fixture(scope="module")
def as_the_quantize_stage_gives_it(trained: TorchModel, data: Data) -> Callable[[Target], QuantizedModel]:
    """Calibrated by the placement rules of a target."""

    def make(target: Target) -> QuantizedModel:
        graph = capture(trained.module, data.batch("train", torch.arange(2)).inputs)
        spec = place(graph, target, weight_bits=bits_here(target))
        insert_quantizers(graph, spec)
        calibrate(graph, [batch.inputs for batch in data.batches("train", 200)])
        return QuantizedModel(graph.eval(), trained.info, spec, {})

    return make


def test_a_quantized_network_for_tensorrt(
    as_the_quantize_stage_gives_it: Callable[[Target], QuantizedModel], context: Callable[..., RunContext]
) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = Export(formats=("onnx", "tensorrt")).run(as_the_quantize_stage_gives_it(TENSORRT), context(TENSORRT))
    assert result.metrics["builds_in_tensorrt_rtx"] is True, result.notes
    assert result.metrics["parity"]["agreement"] >= 0.99
    assert result.model.precision == "int8"


def test_a_quantized_network_for_the_cpu(
    as_the_quantize_stage_gives_it: Callable[[Target], QuantizedModel],
    context: Callable[..., RunContext],
    trained: TorchModel,
) -> None:
    ctx = context()
    model = as_the_quantize_stage_gives_it(ctx.target)
    inputs = ctx.data.batch("test", torch.arange(4)).inputs
    with torch.no_grad():
        twin = candidates.without_quantizers(model).module(*inputs)
        torch.testing.assert_close(twin, trained.module(*inputs), atol=1e-4, rtol=1e-4)
        assert not torch.allclose(model.module(*inputs), twin, atol=1e-4)
    assert count_macs(model.module, inputs) == count_macs(trained.module, inputs)
    result = Export(prefer="size").run(model, ctx)
    assert count_macs(result.model.path, inputs) == count_macs(trained.module, inputs)
    assert result.metrics["parity"]["agreement"] >= 1 - 2 / 360
    assert any("the same network in fp32" in note for note in result.notes)
