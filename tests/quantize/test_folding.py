"""Folded networks answer as before, under names of the layers."""

import torch
from torch import Tensor, nn

from compressor.quantize.capture import capture


class SharedConvolution(nn.Module):
    """One convolution read by BatchNorm and by another user: it can't take the BatchNorm in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.norm(x) + x


def stirred(module: nn.Module) -> nn.Module:
    """Statistics and factors away from 0 and 1."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            assert child.running_mean is not None and child.running_var is not None
            child.running_mean.normal_()
            child.running_var.uniform_(0.5, 2)
            if child.affine:
                nn.init.normal_(child.weight)
                nn.init.normal_(child.bias)
    return module.eval()


def test_folding_changes_no_answer() -> None:
    module = stirred(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 6, 3, groups=2),
            nn.BatchNorm2d(6, affine=False),
            nn.Flatten(),
            nn.Linear(6 * 16, 5),
            nn.BatchNorm1d(5),
        )
    )
    x = torch.randn(7, 3, 8, 8)
    graph = capture(module, (x,))
    assert not [node for node in graph.graph.nodes if "batch_norm" in str(node.target)]
    assert torch.allclose(graph(x), module(x), atol=1e-5)
    assert sorted(graph.state_dict()) == ["0.bias", "0.weight", "2.bias", "2.weight", "5.bias", "5.weight"]


def test_one_weight_by_hand() -> None:
    module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0)).eval()
    convolution, norm = module[0], module[1]
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    nn.init.constant_(convolution.weight, 3.0)
    nn.init.constant_(convolution.bias, 5.0)
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    nn.init.constant_(norm.weight, 10.0)
    nn.init.constant_(norm.bias, 7.0)
    folded = capture(module, (torch.randn(2, 1, 2, 2),)).state_dict()
    assert folded["0.weight"].item() == 3.0 * 10.0 / 2.0
    assert folded["0.bias"].item() == (5.0 - 1.0) * 10.0 / 2.0 + 7.0


def test_what_has_two_readers_stays() -> None:
    module = stirred(SharedConvolution())
    x = torch.randn(2, 3, 8, 8)
    graph = capture(module, (x,))
    assert [node for node in graph.graph.nodes if "batch_norm" in str(node.target)]
    assert torch.allclose(graph(x), module(x), atol=1e-6)
