"""A program that torch's exporter needn't take apart."""

from pathlib import Path

import small
import torch
from torch import fx, nn

from compressor.axes import dynamic_axes
from compressor.export.program import program_of
from compressor.graphs import simplified
from compressor.models import QuantizedModel
from compressor.quantize.stage import Quantize


def test_a_program_of_known_operators_is_not_taken_apart() -> None:
    x = torch.randn(2, 3, 8, 8)
    axes = dynamic_axes((x,), None)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Hardswish(), nn.AdaptiveAvgPool2d(1)).eval()
    graph = simplified(plain, (x,), axes)
    assert isinstance(graph, fx.GraphModule)
    program = program_of(graph, (x,), axes)
    assert isinstance(program, torch.export.ExportedProgram)
    assert program.run_decompositions() is program
    assert torch.allclose(program.module()(x), plain(x), atol=1e-6)
    # A BatchNorm that nothing beside it takes in has no function of its own.
    alone = simplified(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()).eval(), (x,), axes)
    assert isinstance(alone, fx.GraphModule)
    program = program_of(alone, (x,), axes)
    assert isinstance(program, torch.export.ExportedProgram)
    assert program.run_decompositions() is not program


def test_nor_is_one_with_quantizers(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    made = Quantize().rehearse(small.small_model(), ctx).model
    assert isinstance(made, QuantizedModel) and isinstance(made.module, fx.GraphModule)
    inputs = ctx.task.example_inputs(ctx.data, 2)
    axes = dynamic_axes(inputs, None)
    program = program_of(made.module, inputs, axes)
    assert isinstance(program, torch.export.ExportedProgram)
    assert program.run_decompositions() is program
    # Outside an export a quantizer rounds; what was captured says Q/DQ.
    assert not torch.onnx.is_in_onnx_export()
    symbols = [node for node in program.graph.nodes if "symbolic" in str(node.target)]
    assert len(symbols) >= 2 * len(made.spec.quantizers)
