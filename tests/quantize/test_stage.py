"""The stage on trained networks: what it keeps, refuses, repeats; and its file against ONNX Runtime's own PTQ."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from digits import network, trained_model
from pydantic import ValidationError
from static_ptq import quantized_by_onnxruntime
from torch import nn

from compressor.context import RunContext
from compressor.data import Data
from compressor.errors import PlanError
from compressor.export.onnx import export_onnx
from compressor.loading import load_form, save_form
from compressor.models import OnnxModel, QuantizedModel, TorchModel
from compressor.quantize import stage as quantize_stage
from compressor.quantize.stage import Quantize as Timed
from compressor.runners import OnnxRunner
from compressor.target import Target
from compressor.training import TrainSettings, evaluate

SHORT = TrainSettings(epochs=2, lr=2e-4, schedule="cosine", precision="fp32")
Context = Callable[..., RunContext]


def Quantize(**settings: Any) -> Timed:  # noqa: N802
    """As the rules place it: what a clock says is in test_measured.py."""
    return Timed(measure=False, **settings)


def answers(path: Path, data: Data) -> np.ndarray:
    batch = data.batch("test", torch.arange(len(data.test)))
    with OnnxRunner(path) as runner:
        return runner.infer((batch.inputs[0].numpy(),))


def score(logits: np.ndarray, data: Data) -> float:
    return float((logits.argmax(1) == data.test.labels.numpy()).mean())


@pytest.mark.parametrize("runtime", ["onnxruntime", "tensorrt"])
def test_the_better_is_kept_and_the_file_agrees(
    runtime: Any, trained: TorchModel, data: Data, context: Context
) -> None:
    ctx = context(Target(runtime=runtime))
    result = Quantize(train=SHORT).run(trained, ctx)
    metrics, model = result.metrics, result.model
    assert isinstance(model, QuantizedModel)
    assert metrics["kept"] == ("qat" if metrics["qat_score"] > metrics["ptq_score"] else "ptq")
    assert evaluate(model.module, ctx).value == max(metrics["qat_score"], metrics["ptq_score"])
    assert any(metrics["kept"].upper() in note for note in result.notes)
    with torch.no_grad():
        expected = model.module(*data.batch("test", torch.arange(len(data.test))).inputs).numpy()
    path = export_onnx(model, ctx.workdir / "model.onnx", data.batch("train", torch.arange(2)).inputs).path
    found = answers(path, data)
    assert (found.argmax(1) != expected.argmax(1)).sum() <= 2
    assert np.abs(found - expected).mean() <= 0.05 * expected.std()
    assert abs(score(found, data) - score(expected, data)) <= 0.003
    assert score(found, data) >= 0.9


def test_weights_of_four_bits(trained: TorchModel, data: Data, context: Context, tmp_path: Path) -> None:
    target = Target(runtime="onnxruntime", opset=21)
    inputs = data.batch("train", torch.arange(2)).inputs
    paths = {}
    for bits in (8, 4):
        result = Quantize(train=SHORT, weight_bits=bits).run(trained, context(target, name=f"bits-{bits}"))
        model = result.model
        assert (bits == 4) == ("weights have 4 bits in the file, and are int8 when it is loaded" in result.notes)
        paths[bits] = export_onnx(model, tmp_path / f"{bits}.onnx", inputs, opset=target.opset).path
    graph = onnx.load(paths[4]).graph
    packed = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT4]
    weights = [parameter.numel() for parameter in trained.module.parameters() if parameter.dim() > 1]
    assert sum(len(tensor.raw_data) for tensor in packed) == sum(weights) / 2
    assert paths[4].stat().st_size < paths[8].stat().st_size - 0.4 * sum(weights)
    with torch.no_grad():
        expected = model.module(*data.batch("test", torch.arange(len(data.test))).inputs).numpy()
    found = answers(paths[4], data)
    assert np.abs(found - expected).mean() <= 0.05 * expected.std()
    assert score(found, data) >= 0.9
    kernels = []
    for path in paths.values():
        with OnnxRunner(path, optimized_path=path.with_suffix(".run")):
            kernels.append([node.op_type for node in onnx.load(path.with_suffix(".run")).graph.node])
    # The same kernels: what is packed in the file is int8 when it runs.
    assert kernels[0] == kernels[1]


@pytest.mark.parametrize(("saturates", "largest"), [(True, 63), (False, 127)])
def test_weights_leave_a_bit_where_products_overflow(
    saturates: bool, largest: int, trained: TorchModel, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize_stage, "int8_saturates", lambda: saturates)
    ctx = context()
    result = Quantize(train=SHORT.model_copy(update={"epochs": 1})).run(trained, ctx)
    assert saturates == any("7 bits, for CPUs without VNNI" in note for note in result.notes)
    model = result.model
    proto = onnx.load(export_onnx(model, ctx.workdir / "model.onnx", ctx.task.example_inputs(ctx.data, 2)).path)
    stored = [onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer]
    assert max(np.abs(tensor).max() for tensor in stored if tensor.dtype == np.int8) == largest
    assert ctx.decisions.read()["weight_bits"] == {"value": 7 if saturates else 8, "setting": "quantize.weight_bits"}


def test_eight_bits_asked_for_where_they_overflow_are_said(
    trained: TorchModel, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize_stage, "int8_saturates", lambda: True)
    assert any(
        "products overflow on this CPU" in note for note in Quantize(weight_bits=8).rehearse(trained, context()).notes
    )
    assert not any("overflow on this CPU" in note for note in Quantize().rehearse(trained, context()).notes)


def test_it_repeats_to_the_bit(trained: TorchModel, context: Context) -> None:
    states = [
        Quantize(train=SHORT, calibration="percentile").run(trained, context(name=name)).model.module.state_dict()
        for name in ("first", "second")
    ]
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())


def test_control_tells_rounding_from_more_epochs(trained: TorchModel, context: Context) -> None:
    ctx = replace(context(), control=True)
    metrics = Quantize(train=SHORT.model_copy(update={"epochs": 1})).run(trained, ctx).metrics
    assert {"ptq_score", "qat_score", "ptq_after_same_epochs"} <= set(metrics)
    assert 0.9 < metrics["ptq_after_same_epochs"] <= 1
    assert {path.name for path in ctx.workdir.glob("*.ckpt")} == {"qat.ckpt", "float_same_epochs.ckpt"}


def test_without_training(trained: TorchModel, context: Context) -> None:
    result = Quantize(qat=False).run(trained, context())
    assert result.metrics["kept"] == "ptq"
    assert "qat_score" not in result.metrics


def test_ranges_follow_in_the_first_epochs_then_freeze(trained: TorchModel, context: Context) -> None:
    scales = {}
    for epochs in (0, 1):
        ctx = context(name=f"observe-{epochs}")
        fast = SHORT.model_copy(update={"lr": 0.02})
        Quantize(train=fast, observer_epochs=epochs).run(trained, ctx)
        state = torch.load(ctx.workdir / "qat.ckpt", weights_only=True)
        scales[epochs] = {key: value for key, value in state["module"].items() if key.startswith("quantize_conv")}
    calibrated = Quantize(qat=False).run(trained, context(name="ptq")).model.module.state_dict()
    assert all(torch.equal(calibrated[key], value) for key, value in scales[0].items())
    assert not all(torch.equal(calibrated[key], value) for key, value in scales[1].items())


def test_plan_says_what_it_will_do(trained: TorchModel, context: Context) -> None:
    notes = Quantize(skip=("0",)).rehearse(trained, context()).notes
    assert notes[0] == "3 layers in int8 by the rules for onnxruntime-cpu"
    assert notes[1] == "in float: 0 (left out by the setting 'skip')"


def test_plan_refuses_what_cannot_work(trained: TorchModel, context: Context) -> None:
    with pytest.raises(PlanError, match="no layer can be computed in integers: in float: 0, 3, 4, 8"):
        Quantize(skip=("*",)).rehearse(trained, context())
    with pytest.raises(PlanError, match="precision is fp32"):
        Quantize().rehearse(trained, context(Target(runtime="onnxruntime", precision="fp32")))


def test_the_card_lists_the_settings() -> None:
    card = Path(inspect.getfile(Timed)).with_name("README.md").read_text()
    for name, field in Timed.model_fields.items():
        row = next(line for line in card.splitlines() if line.startswith(f"| `{name}` |"))
        assert str(field.description) in row


@pytest.fixture(scope="session")
def static(trained_onnx: OnnxModel, data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network by ONNX Runtime's own post-training quantization."""
    return quantized_by_onnxruntime(trained_onnx.path, data, tmp_path_factory.mktemp("static"))


def test_ptq_scores_as_quantize_static_does(
    static: Path, trained: TorchModel, data: Data, context: Context, tmp_path: Path
) -> None:
    model = Quantize(qat=False).run(trained, context()).model
    own = export_onnx(model, tmp_path / "own.onnx", data.batch("train", torch.arange(2)).inputs).path
    assert abs(score(answers(own, data), data) - score(answers(static, data), data)) <= 0.003


@pytest.mark.latency
def test_ptq_is_as_fast_as_quantize_static(
    static: Path, trained: TorchModel, data: Data, context: Context, tmp_path: Path
) -> None:
    from compressor.measure import interleaved_latency

    inputs = data.batch("train", torch.arange(2)).inputs
    model = Quantize(qat=False).run(trained, context()).model
    own = export_onnx(model, tmp_path / "own.onnx", inputs).path
    one = (inputs[0][:1].numpy(),)
    with OnnxRunner(static) as theirs, OnnxRunner(own) as ours:
        timed = [latency.p50 for latency in interleaved_latency([theirs, ours], [[one], [one]], threads=1)]
    assert timed[0] is not None and timed[1] is not None
    assert timed[1] <= 1.1 * timed[0]


def test_activations_that_integers_gain_nothing_by_become_relu(data: Data, context: Context) -> None:
    """They are gone from the file, training wins back what that costs, and a fresh network takes the weights."""
    ctx = context(Target(runtime="onnxruntime"))
    smooth = trained_model(data, nn.SiLU)
    swapped = TrainSettings(epochs=6, lr=2e-3, schedule="cosine", precision="fp32")
    result = Quantize(train=swapped, activations="relu").run(smooth, ctx)
    assert "2 activations (HardSwish, SiLU, Mish) became ReLU" in result.notes
    assert result.metrics["ptq_score"] < result.metrics["validation_before"] - 0.01
    assert result.metrics["kept"] == "qat" and result.metrics["qat_score"] > result.metrics["validation_before"] - 0.01
    model = result.model
    assert isinstance(model, QuantizedModel)
    inputs = ctx.task.example_inputs(ctx.data, 4)
    path = export_onnx(model, ctx.workdir / "model.onnx", inputs).path
    assert not {"Sigmoid", "HardSwish", "Mul"} & {node.op_type for node in onnx.load(path).graph.node}
    save_form(model, ctx.workdir / "saved", inputs)
    back = load_form(ctx.workdir / "saved", factory=lambda: network(nn.SiLU))
    assert torch.equal(back.module(*inputs), model.module(*inputs))  # type: ignore[union-attr]


def test_new_activations_are_trained() -> None:
    with pytest.raises(ValidationError, match="they must be trained, qat = true"):
        Quantize(activations="relu", qat=False)
