"""A program that torch's exporter needn't take apart."""

from pathlib import Path

import numpy as np
import small
import torch
from torch import Tensor, fx, nn

from compressor.axes import dynamic_axes
from compressor.export.onnx import export_onnx
from compressor.export.program import program_of
from compressor.graphs import simplified
from compressor.models import InputSpec, ModelInfo, QuantizedModel, TorchModel
from compressor.quantize.stage import Quantize
from compressor.runners import OnnxRunner


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
    # The spread over an axis has no function of its own.
    spread = simplified(Spread(), (x,), axes)
    assert isinstance(spread, fx.GraphModule)
    program = program_of(spread, (x,), axes)
    assert isinstance(program, torch.export.ExportedProgram)
    assert program.run_decompositions() is not program


class Spread(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.std(dim=(2, 3))


class Composed(nn.Module):
    """Operators that the exporter has functions for under another name only."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.plain, self.last = nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False), nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.plain(self.norm(x).relu())
        turned = x.swapaxes(1, 2).swapdims(1, 2)
        return self.last(turned.reshape_as(x).mean((2, 3))) + torch.zeros_like(x).zero_().amax((2, 3))


def test_composed_operators_are_spelt_out(tmp_path: Path) -> None:
    module = Composed()
    module(torch.randn(16, 3, 8, 8) * 2 + 1)
    module.eval()
    x = torch.randn(2, 3, 8, 8)
    axes = dynamic_axes((x,), None)
    graph = simplified(module, (x,), axes)
    assert isinstance(graph, fx.GraphModule)
    program = program_of(graph, (x,), axes)
    assert isinstance(program, torch.export.ExportedProgram) and program.run_decompositions() is program
    assert torch.allclose(program.module()(x), module(x), atol=1e-6)
    exported = export_onnx(
        TorchModel(module, ModelInfo(inputs=(InputSpec(shape=(3, 8, 8)),))), tmp_path / "model.onnx", (x,)
    )
    more = torch.randn(5, 3, 8, 8)
    with OnnxRunner(exported.path) as runner:
        assert np.allclose(runner.infer((more.numpy(),)), module(more).detach(), atol=1e-6)


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
