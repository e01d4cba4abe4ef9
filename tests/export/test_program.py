"""A program that torch's exporter needn't take apart."""

import torch
from torch import fx, nn

from compressor.axes import dynamic_axes
from compressor.export.program import program_of
from compressor.graphs import simplified


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
