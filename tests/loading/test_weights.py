import pytest
import torch
from torch import nn
from torchvision.models import mnasnet0_5

from compressor.errors import ModelFileError
from compressor.loading.weights import load_tensors, state_of, untied

W, B = torch.ones(2, 3), torch.zeros(2)
PLAIN = {"0.weight": W, "0.bias": B}


def net(outputs: int = 2, inputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs))


def test_mismatches_are_listed() -> None:
    tensors = {"0.weight": torch.ones(2, 5), "1.weight": W}
    with pytest.raises(ModelFileError) as caught:
        load_tensors(net(), tensors, "x.pt")
    lines = caught.value.message.splitlines()
    assert "x.pt doesn't fit Sequential" in lines[0]
    assert [line.strip() for line in lines[1:]] == [
        "0.weight: [2, 5] in the file, [2, 3] in the network",
        "0.bias [2] is missing in the file",
        "1.weight [2, 3] is not in the network",
    ]


def test_only_the_first_few_mismatches_are_listed() -> None:
    with pytest.raises(ModelFileError, match="and 6 more"):
        load_tensors(nn.Sequential(*(nn.Linear(1, 1) for _ in range(5))), {}, "x.pt")


def test_another_number_of_classes_is_recognised() -> None:
    with pytest.raises(ModelFileError) as caught:
        load_tensors(net(outputs=1000), PLAIN, "x.pt")
    assert caught.value.hint == "--factory-arg num_classes=2"


def test_loads() -> None:
    module = net()
    load_tensors(module, PLAIN, "x.pt")
    assert torch.equal(module.get_parameter("0.weight"), W)


def test_state_is_plain_and_without_wrappers() -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Sequential(nn.Conv2d(2, 4, 3)).to(memory_format=torch.channels_last)

    state = state_of(Wrapper())
    assert list(state) == ["0.weight", "0.bias"]
    assert state["0.weight"].is_contiguous()


def test_ties_are_written_once() -> None:
    shared = torch.rand(3, 2)
    kept, ties = untied({"a": shared, "b": torch.rand(1), "c": shared, "view": shared[1:], "empty": torch.zeros(0)})
    assert list(kept) == ["a", "b", "view", "empty"]
    assert ties == {"c": "a"}
    assert len({t.untyped_storage().data_ptr() for t in kept.values() if t.numel()}) == 3
    assert torch.equal(kept["view"], shared[1:])


def test_the_versions_of_modules_survive_and_are_those_of_this_release_where_a_file_has_none() -> None:
    network = mnasnet0_5(num_classes=2)
    state = state_of(nn.DataParallel(network))
    for tensors in (state, dict(state)):
        again = mnasnet0_5(num_classes=2)
        load_tensors(again, tensors, "x.pt")
        assert torch.equal(again.get_parameter("layers.0.weight"), network.get_parameter("layers.0.weight"))


def test_integers_are_not_taken_for_weights() -> None:
    with pytest.raises(ModelFileError, match=r"0\.weight: int8 \[2, 3\] in the file, \[2, 3\] in the network"):
        load_tensors(net(), {**PLAIN, "0.weight": W.to(torch.int8)}, "x.pt")


def test_a_layer_whose_shape_is_not_known_yet_takes_the_file_s() -> None:
    lazy = nn.Sequential(nn.LazyLinear(2))
    load_tensors(lazy, PLAIN, "x.pt")
    assert torch.equal(lazy.get_parameter("0.weight"), W)
