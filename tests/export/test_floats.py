"""What a quantized file leaves in float ONNX Runtime computes in float."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn

from compressor.export.onnx import graph_of, write_graph
from compressor.models import ModelInfo, QuantizedModel
from compressor.onnx_files.session import session_options
from compressor.quantize import calibrate, capture, insert_quantizers, place
from compressor.target import Target


class Mixed(nn.Module):
    """Layers that are left in float beside integer ones; the weights of some differ a thousandfold."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.beside, self.after, self.third = (nn.Conv2d(8, 8, 1) for _ in range(3))
        self.up = nn.ConvTranspose2d(8, 8, 1, bias=False)
        self.last = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)
        self.bare = nn.Linear(8, 4, bias=False)
        self.rounded, self.second = nn.Linear(8, 4), nn.Linear(4, 4)
        with torch.no_grad():
            self.depthwise.weight.mul_(torch.logspace(-3, 0, 8).view(8, 1, 1, 1))
            self.up.weight.mul_(torch.logspace(-3, 0, 8).view(8, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = (self.after(self.depthwise(x).relu()) + self.beside(x)).relu()
        x = (self.last(self.up(x).relu()) + self.third(x)).relu().mean((2, 3))
        return self.rounded(x) + self.second(self.head(x).relu()) + self.second(self.bare(x).relu())


@pytest.fixture(scope="module")
def mixed() -> tuple[QuantizedModel, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    inputs = (torch.randn(4, 3, 8, 8),)
    graph = capture(Mixed().eval(), inputs)
    spec = place(graph, Target(runtime="onnxruntime"), skip=("depthwise", "up", "head", "bare"))
    insert_quantizers(graph, spec)
    calibrate(graph, [inputs], "minmax")
    return QuantizedModel(graph.eval(), ModelInfo(), spec, {}), inputs


def test_no_weight_is_rounded_on_loading(mixed: tuple[QuantizedModel, tuple[Tensor, ...]], tmp_path: Path) -> None:
    model, inputs = mixed
    path = write_graph(graph_of(model, inputs), model, tmp_path / "m.onnx").path
    options = session_options(1)
    options.optimized_model_filepath = str(tmp_path / "runs.onnx")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    ran = onnx.load(tmp_path / "runs.onnx").graph
    stored = {tensor.name: tensor for tensor in ran.initializer}
    integers = {
        name for name, tensor in stored.items() if tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1
    }
    rounded = {name for node in ran.node for name in node.input} & integers
    assert len(rounded) == 7 and not any("convolution" in name or "conv2d_1_" in name for name in rounded)
    with torch.no_grad():
        expected = model.module(*inputs).numpy()
    found = session.run(None, {"input": inputs[0].numpy()})[0]
    np.testing.assert_allclose(found, expected, atol=0.02 * expected.std())
