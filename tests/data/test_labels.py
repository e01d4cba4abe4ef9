"""Which samples have a label, of classes and of numbers."""

import torch

from compressor.data.labels import UNLABELED, joined, labelled, listed, unnamed


def test_minus_one_is_no_class_but_a_number() -> None:
    assert labelled(torch.tensor([0, UNLABELED, 2])).tolist() == [True, False, True]
    assert labelled(torch.tensor([0.5, -1.0, torch.nan])).tolist() == [True, True, False]


def test_joined_to_numbers_none_is_nan() -> None:
    none = torch.full((2,), UNLABELED)
    assert joined(torch.tensor([1, 0]), none).tolist() == [1, 0, -1, -1]
    numbers = joined(torch.tensor([1.0, -1.0]), none)
    assert numbers.dtype == torch.float32 and labelled(numbers).tolist() == [True, True, False, False]


def test_names_for_messages_and_names_that_are_none() -> None:
    assert listed(("a", "b")) == "a, b" and listed(tuple("abcdef")) == "a, b, c, d, e, ..."
    assert unnamed(2) == ("LABEL_0", "LABEL_1")
