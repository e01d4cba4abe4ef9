"""Every spelling of an activation that integers gain nothing by becomes ReLU."""

import torch
from torch import Tensor, nn

from compressor.graphs import capture, to_relu


class Spelt(nn.Module):
    """A sigmoid beside its own argument, and one that gates something else."""

    def forward(self, x: Tensor) -> Tensor:
        swish = torch.sigmoid(x) * x
        return swish * torch.sigmoid(x.mean(1, keepdim=True))


def test_each_is_relu_and_gates_stay() -> None:
    x = torch.randn(2, 4)
    for module in (nn.Hardswish(), nn.SiLU(inplace=True), nn.Mish()):
        graph = capture(nn.Sequential(nn.Tanh(), module), (x,))
        assert to_relu(graph) == 1
        assert torch.equal(graph(x), x.tanh().relu())
    graph = capture(Spelt(), (x,))
    assert to_relu(graph) == 1
    assert torch.equal(graph(x), x.relu() * torch.sigmoid(x.mean(1, keepdim=True)))
    assert to_relu(capture(nn.Sequential(nn.ReLU6(), nn.GELU()), (x,))) == 0
