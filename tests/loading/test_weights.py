from pathlib import Path

import pytest
import torch
from torch import nn

from compressor.errors import ModelFileError
from compressor.loading.weights import find_state_dict, load_tensors, state_of, untied, without_prefixes

W, B = torch.ones(2, 3), torch.zeros(2)
PLAIN = {"0.weight": W, "0.bias": B}


def net(outputs: int = 2, inputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs))


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        {"state_dict": PLAIN, "epoch": 3},
        {"model": PLAIN},
        {"model_state_dict": PLAIN, "optimizer": {"lr": 1}},
        {f"module.{key}": value for key, value in PLAIN.items()},
        {"state_dict": {f"_orig_mod.module.{key}": value for key, value in PLAIN.items()}},
        {f"module._orig_mod.{key}": value for key, value in PLAIN.items()},
    ],
)
def test_wrappings(content: object) -> None:
    found = find_state_dict(content, Path("x.pt"))
    assert list(found) == list(PLAIN)
    assert found["0.weight"] is W


def test_a_prefix_of_some_names_stays() -> None:
    mixed = {"module.a": W, "b": B}
    assert list(without_prefixes(mixed)) == ["module.a", "b"]


@pytest.mark.parametrize("content", [3, [W], {}, {"epoch": 3}, {"state_dict": {"a": 1}}, W])
def test_no_tensors(content: object) -> None:
    with pytest.raises(ModelFileError, match="neither a checkpoint of ours nor a state_dict"):
        find_state_dict(content, Path("x.pt"))


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
