import pytest
import torch
from torch import nn

from compressor.export.onnx import graph_of
from compressor.measure.node_times import NodeTime
from compressor.models import ModelInfo, QuantizedModel
from compressor.quantize import calibrate, capture, insert_quantizers, place
from compressor.quantize.regions import Regions
from compressor.target import Target


@pytest.fixture(scope="module")
def regions() -> Regions:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Hardswish(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 4))
    inputs = (torch.randn(2, 3, 8, 8),)
    graph = capture(module.eval(), inputs)
    spec = place(graph, Target(runtime="onnxruntime"))
    insert_quantizers(graph, spec)
    calibrate(graph, [inputs])
    model = QuantizedModel(graph.eval(), ModelInfo(), spec, {})
    return Regions(graph_of(model, inputs).graph, spec)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("node_conv2d_token_80", "conv2d"),
        ("conv2d_1_nchwc", "conv2d_1"),
        # Rounded for the sake of the second convolution, made float again because of the first.
        ("quantize_hardswish", "conv2d_1"),
        ("quantize_conv2d_dequantize/duplicated", "conv2d"),
        ("hardswish", "conv2d"),
        ("quantize_input_1", "conv2d"),
    ],
)
def test_a_node_belongs_to_a_layer(name: str, layer: str, regions: Regions) -> None:
    assert regions.times([NodeTime(name, "", 2.0)]) == {layer: 2.0}


def test_what_has_no_name_belongs_to_what_ran_before(regions: Regions) -> None:
    names = ("ReorderInput", "conv2d_nchwc", "ReorderOutput_token_7", "node_conv2d_1")
    spent = regions.times(NodeTime(name, "", float(2**place)) for place, name in enumerate(names))
    assert spent == {"conv2d": 1.0 + 2 + 4, "conv2d_1": 8.0}
