"""What is read off graph nodes."""

import torch
from nets import SIZE, Gated, resnet18, settled
from torch import fx

from compressor.quantize import capture
from compressor.quantize.operators import is_clipped_at_zero, layer_name, sources, spatial_size

EXAMPLE = (torch.randn(2, 3, SIZE, SIZE),)


def test_layers_are_named_after_modules() -> None:
    graph = capture(settled(resnet18), EXAMPLE)
    names = [layer_name(node) for node in graph.graph.nodes if "conv2d" in str(node.target)]
    assert names[0] == "conv1"
    assert "layer2.0.downsample.0" in names


def test_maps_have_a_size() -> None:
    graph = capture(settled(Gated), EXAMPLE)
    convolutions = [node for node in graph.graph.nodes if "conv2d" in str(node.target)]
    assert [spatial_size(node) for node in convolutions] == [30 * 30, 1, 1, 28 * 28]
    assert [len(sources(node)) for node in convolutions] == [1, 1, 1, 1]


def test_clipping_at_zero() -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    aten = torch.ops.aten
    assert is_clipped_at_zero(graph.call_function(aten.relu.default, (x,)))
    assert is_clipped_at_zero(graph.call_function(aten.hardtanh.default, (x, 0.0, 6.0)))
    assert is_clipped_at_zero(graph.call_function(aten.clamp.default, (x, 0)))
    assert not is_clipped_at_zero(graph.call_function(aten.hardtanh.default, (x, -1.0, 1.0)))
    assert not is_clipped_at_zero(graph.call_function(aten.hardtanh.default, (x,)))
    assert not is_clipped_at_zero(graph.call_function(aten.clamp.default, (x, None, 6)))
    assert not is_clipped_at_zero(graph.call_function(aten.silu.default, (x,)))
