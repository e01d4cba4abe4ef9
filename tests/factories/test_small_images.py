import pytest
import torch

from compressor.factories import build
from compressor.factories.small_images import DIGITS_NET, digits_net, resnet


def test_the_default_is_resnet18_for_grey_images() -> None:
    # Torchvision's ResNet-18 of 11,689,512 parameters, with 10 classes and a 3x3 stem on one channel.
    wanted = 11_689_512 - (512 * 1000 + 1000) + (512 * 10 + 10) - 64 * 3 * 49 + 64 * 9
    assert sum(p.numel() for p in resnet().parameters()) == wanted


@pytest.mark.parametrize(("stem_stride", "side"), [(1, 7), (2, 4)])
def test_each_stage_halves_the_size(stem_stride: int, side: int) -> None:
    net = resnet(width=8, layers=(1, 1, 1), in_channels=3, stem_stride=stem_stride, num_classes=5)
    sizes = []
    net.get_submodule("stages").register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape)))
    assert net(torch.zeros(2, 3, 28, 28)).shape == (2, 5)
    assert sizes == [(2, 32, side, side)]


def test_the_example_s_network_is_what_its_name_builds() -> None:
    by_name, by_call = build(DIGITS_NET), digits_net()
    assert {k: v.shape for k, v in by_name.state_dict().items()} == {
        k: v.shape for k, v in by_call.state_dict().items()
    }
    assert by_call(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
