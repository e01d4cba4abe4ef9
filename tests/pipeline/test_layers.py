"""What is said of each layer, by what really stands in networks, graphs and files."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from small import small_context, small_model
from torch import nn

from compressor.export.dynamic import write_dynamic
from compressor.export.onnx import graph_of, write_graph
from compressor.models import ModelInfo, OnnxModel, QuantizedModel, TorchModel
from compressor.pipeline.layers import FLOAT_FILE, layers_of
from compressor.prune.stage import Prune
from compressor.quantize import calibrate, insert_quantizers, place
from compressor.quantize.insertion import captured
from compressor.quantize.placement import SKIPPED
from compressor.report import Layer
from compressor.target import Target
from compressor.training import TrainSettings

IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TARGET = Target(runtime="onnxruntime", opset=21)


class Odd(nn.Module):
    """A table that is tied to the last layer, a transposed convolution, and a parameter that no module owns."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 16)
        self.places = nn.Parameter(torch.randn(1, 8, 16))
        self.norm = nn.LayerNorm(16)
        self.wider = nn.ConvTranspose1d(16, 12, 2, groups=2)
        self.back = nn.Linear(9, 16)
        self.last = nn.Linear(16, 100, bias=False)
        self.last.weight = self.table.weight

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.table(numbers.long()) + self.places)
        return self.last(self.back(self.wider(x.transpose(1, 2))).mean(1))


def quantized(module: nn.Module, *inputs: torch.Tensor, **chosen: tuple[str, ...]) -> QuantizedModel:
    graph = captured(module.eval(), inputs, None, "keep")
    spec = place(graph, TARGET, **chosen)  # type: ignore[arg-type]
    calibrate(insert_quantizers(graph, spec), [inputs])
    return QuantizedModel(graph, ModelInfo(task="image-classification"), spec, {})


def by_name(layers: list[Layer]) -> dict[str, Layer]:
    assert len({layer.name for layer in layers}) == len(layers)
    return {layer.name: layer for layer in layers}


def convolutions() -> nn.Module:
    names = (
        ("first", nn.Conv2d(1, 16, 3)),
        ("norm", nn.BatchNorm2d(16)),
        ("act", nn.ReLU()),
        ("second", nn.Conv2d(16, 32, 3)),
    )
    return nn.Sequential(
        OrderedDict([*names, ("pool", nn.AdaptiveAvgPool2d(1)), ("flat", nn.Flatten()), ("fc", nn.Linear(32, 10))])
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_kinds_of_scripts_and_programs() -> None:
    scripted = torch.jit.script(convolutions())
    program = torch.export.export(convolutions().eval(), (IMAGES,)).module()
    for module, kind in ((scripted, "Conv2d"), (program, "")):
        found = by_name(layers_of(TorchModel(module, ModelInfo()), None, {}))
        assert (found["second"].kind, found["second"].channels, found["second"].weights) == (kind, 32, 4608)


def test_tables_turned_convolutions_and_bare_parameters() -> None:
    module = Odd()
    plain = by_name(layers_of(TorchModel(module, ModelInfo()), None, {}))
    expected = {"last": (100, 1600), "wider": (12, 192), "back": (16, 144), "places": (None, 128)}
    assert {name: (one.channels, one.weights) for name, one in plain.items()} == expected
    graph = by_name(layers_of(quantized(module, torch.rand(2, 8) * 99), None, {}))
    assert {name: (one.channels, one.weights) for name, one in graph.items()} == expected
    assert graph["back"].precision == "int8" and graph["places"].precision == "float32"


def test_a_network_its_graph_and_its_file_name_layers_alike(tmp_path: Path) -> None:
    module = convolutions()
    model = quantized(module, IMAGES, skip=("first",), four_bits=("second",))
    plain, graph = (by_name(layers_of(form, None, {})) for form in (TorchModel(module, ModelInfo()), model))
    assert list(plain) == ["first", "second", "fc"] and plain.keys() == graph.keys()
    for name, layer in plain.items():
        assert (layer.channels, layer.weights) == (graph[name].channels, graph[name].weights)
        assert layer.precision == "float32" and layer.kind in ("Conv2d", "Linear")
    assert [graph[name].precision for name in plain] == ["float32", "int4", "int8"]
    assert [graph[name].in_float for name in plain] == [SKIPPED, "", ""]
    exported = graph_of(model, (IMAGES,), opset=21)
    whole = write_graph(exported, model, tmp_path / "whole.onnx")
    assert by_name(layers_of(whole, model, {})) == graph
    # What the file hasn't, isn't told of it.
    twin = layers_of(write_graph(exported, model, tmp_path / "float.onnx", keep=()), model, {})
    assert {one.precision for one in twin} == {"float32"}
    assert {one.in_float for one in twin} == {SKIPPED, FLOAT_FILE}
    assert layers_of(whole, TorchModel(module, ModelInfo()), {}) == list(plain.values())
    assert layers_of(whole, whole, {}) == []


def test_ranges_measured_at_every_call(tmp_path: Path) -> None:
    inputs = (torch.randn(4, 24),)
    model = quantized(nn.Sequential(nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 4)), *inputs)
    source = write_graph(graph_of(model, inputs), model, tmp_path / "float.onnx", keep=())
    made = OnnxModel(write_dynamic(source.path, tmp_path / "dynamic.onnx"), model.info, "int8")
    assert [(one.precision, one.in_float) for one in layers_of(made, model, {})] == 2 * [("int8", "")]


def test_the_reason_is_that_of_the_layer_or_else_of_its_block() -> None:
    model = small_model()
    kept = {"stages.0": "of a block", "stages.0.0.conv1": "of itself", "stage": "of no layer"}
    found = by_name(layers_of(model, None, kept))
    assert found["stages.0.0.conv1"].kept == "of itself" and found["stages.0.0.conv2"].kept == "of a block"
    assert found["stages.1.0.conv1"].kept == "" and found["fc"].kept == ""


@pytest.mark.parametrize("skip", [(), ("stages.0.0.conv1",)])
def test_pruning_says_what_it_left_alone(tmp_path: Path, skip: tuple[str, ...]) -> None:
    stage = Prune(ratio=0.5, skip=skip, train=TrainSettings(epochs=1, precision="fp32", crop=0))
    before = by_name(layers_of(small_model(), None, {}))
    done = stage.run(small_model(), small_context(tmp_path, Target(runtime="onnxruntime")))
    after = by_name(layers_of(done.model, None, done.kept))
    assert before.keys() == after.keys()
    alone = {name for name, one in after.items() if one.channels == before[name].channels}
    assert alone == {"fc", *skip} == {name for name, one in after.items() if one.kept}
