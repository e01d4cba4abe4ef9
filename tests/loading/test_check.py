from pathlib import Path

import pytest
import torch
from torch import nn

from compressor.errors import ModelFileError
from compressor.loading.check import make_check, verify

FOLDER = Path("some/folder")
INPUTS = (torch.randn(20, 3, generator=torch.Generator().manual_seed(0)),)
ELSEWHERE = {"torch": "1.0", "machine": "another"}


@pytest.fixture
def net() -> nn.Module:
    return nn.Linear(3, 2).eval()


def test_sixteen_samples_in_plain_order(net: nn.Module) -> None:
    check, environment = make_check(net, INPUTS)
    assert check["input_0"].shape == (16, 3) and check["output"].shape == (16, 2)
    assert environment["torch"] == torch.__version__
    images = torch.rand(4, 1, 5, 5).to(memory_format=torch.channels_last)
    check, _ = make_check(nn.Conv2d(1, 2, 3), (images,))
    assert check["input_0"].stride() == (25, 25, 5, 1)


def test_the_same_network_passes_and_the_threads_stay(net: nn.Module) -> None:
    check, environment = make_check(net, INPUTS)
    threads = torch.get_num_threads()
    verify(net, check, environment, FOLDER)
    verify(net, check, ELSEWHERE, FOLDER)
    assert torch.get_num_threads() == threads


def test_one_bit_is_an_error_here_and_a_warning_elsewhere(net: nn.Module) -> None:
    check, environment = make_check(net, INPUTS)
    check["output"][0, 0] = torch.nextafter(check["output"][0, 0], torch.tensor(9.0))
    with pytest.raises(ModelFileError, match="answers otherwise"):
        verify(net, check, environment, FOLDER)
    with pytest.warns(UserWarning, match=r"saved with torch 1\.0, machine another"):
        verify(net, check, ELSEWHERE, FOLDER)


def test_rounding_may_fall_the_other_way_elsewhere(net: nn.Module) -> None:
    check, environment = make_check(net, INPUTS)
    check["output"][3, 1] += 0.2 * check["output"].abs().max()
    with pytest.warns(UserWarning, match="outputs differ"):
        verify(net, check, ELSEWHERE, FOLDER, rounds=True)
    with pytest.raises(ModelFileError):
        verify(net, check, environment, FOLDER, rounds=True)
    with pytest.raises(ModelFileError):
        verify(net, check, ELSEWHERE, FOLDER)
    check["output"] = check["output"].roll(1, 0)
    with pytest.raises(ModelFileError, match="mean difference"):
        verify(net, check, ELSEWHERE, FOLDER, rounds=True)


@pytest.mark.parametrize("change", ["far", "nan", "shape"])
def test_other_outputs_are_an_error_everywhere(net: nn.Module, change: str) -> None:
    check, _ = make_check(net, INPUTS)
    if change == "far":
        check["output"][3, 1] += 1e-2
    elif change == "nan":
        check["output"][3, 1] = float("nan")
    else:
        check["output"] = check["output"][:, :1]
    with pytest.raises(ModelFileError, match="answers otherwise"):
        verify(net, check, ELSEWHERE, FOLDER)


def test_a_check_without_outputs(net: nn.Module) -> None:
    with pytest.raises(ModelFileError, match="no inputs or no output"):
        verify(net, {"input_0": INPUTS[0]}, {}, FOLDER)
