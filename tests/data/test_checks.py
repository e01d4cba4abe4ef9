from collections.abc import Sequence

import pytest
import torch

from compressor.data import TensorSplit
from compressor.data.checks import check_finite, check_labels
from compressor.errors import DataError


def split(labels: Sequence[float]) -> TensorSplit:
    return TensorSplit(torch.zeros(len(labels), 1), torch.tensor(labels))


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ([1, 1, 1], [1], "one class only, '1'"),
        ([0, 1, 3], [0], "train has none of 2"),
        ([1, 2], [1], "train has none of 0"),
        ([0, 1, -1], [0], "row 2: label -1 is negative"),
        ([0.0, 1.5], [0], "row 1: label 1.5"),
        ([0, 1], [0, 1, 5], "test split, row 2: label 5 is not in train"),
        ([0, 1], [], "the test split is empty"),
    ],
)
def test_labels_that_cannot_be_learned(train: list[float], test: list[float], words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_labels({"train": split(train), "test": split(test)}, (), "some")


def test_a_class_that_does_not_occur_is_named() -> None:
    with pytest.raises(DataError, match="train has none of so-so") as caught:
        check_labels({"train": split([0, 2])}, ("bad", "so-so", "good"), "some")
    assert "compress train" in (caught.value.hint or "")


def test_more_labels_than_names() -> None:
    with pytest.raises(DataError, match="label 2 in train, but only 2 class names"):
        check_labels({"train": split([0, 1, 2])}, ("cat", "dog"), "some")


def test_good_labels_pass() -> None:
    check_labels({"train": split([1, 0, 2, 0]), "test": split([2])}, (), "some")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_row_of_a_broken_input_is_named(value: float) -> None:
    inputs = torch.zeros(5000, 1, 2)
    inputs[4321, 0, 1] = value
    with pytest.raises(DataError, match="x_train, row 4321: NaN or infinity"):
        check_finite(inputs, "x_train")
    check_finite(inputs[:4000], "x_train")
