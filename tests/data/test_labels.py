"""Which samples have a label, of classes and of numbers."""

import torch

from compressor.data.labels import (
    UNLABELED,
    Places,
    class_names,
    joined,
    labelled,
    listed,
    number_in,
    unnamed,
)


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


def test_names_that_are_numbers_are_one_class_however_written() -> None:
    assert class_names({"2", "10", "1"}, ()) == ("1", "2", "10")
    assert class_names({"2.0", "10", "2"}, ()) == ("2", "10")
    assert class_names({"1.0", "1.1"}, ()) == ("1.0", "1.1")
    assert class_names({"0.0", "1.0"}, ("LABEL_0", "LABEL_1")) == ("LABEL_0", "LABEL_1")
    assert Places(("LABEL_0", "LABEL_1")).get("1.0") == 1


def test_what_only_looks_like_a_number_is_a_name() -> None:
    odd = ("--1", "²", "١", "9" * 5000, "1e3", "0x1")
    assert all(number_in(name) is None for name in odd)
    assert class_names(set(odd), ("0", "1")) == tuple(sorted(odd))
    assert Places(("a", "b")).get("²") is None


def test_stars_from_one_are_not_the_outputs_from_nought() -> None:
    assert Places(("1", "2", "3")).get("0") is None
    assert class_names({"0", "1"}, ("1", "2", "3")) == ("0", "1")
