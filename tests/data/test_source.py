from typing import Any

import pytest
import torch

from compressor.data.source import PREPROCESSING, Arguments, resized
from compressor.errors import DataError


def arguments(**given: Any) -> Arguments:
    return Arguments(given, (*PREPROCESSING, "flip"), "some")


def test_an_unknown_argument_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(DataError, match="no --data-arg 'siez'; did you mean 'size'"):
        arguments(siez=3)


@pytest.mark.parametrize("size", [0, -4, "32", [1, 2, 3], True, 2.5])
def test_sizes_that_are_none(size: object) -> None:
    with pytest.raises(DataError, match="--data-arg size: got"):
        arguments(size=size).size()


def test_size_is_one_number_or_two() -> None:
    assert arguments(size=32).size() == (32, 32)
    assert arguments(size=[8, 16]).size() == (8, 16)
    assert arguments().size() is None


def test_numbers() -> None:
    assert arguments(mean=0.5).numbers("mean") == (0.5,)
    assert arguments(mean=[0, 1]).numbers("mean") == (0.0, 1.0)
    for wrong in (float("nan"), ["a"], True, "0.5"):
        with pytest.raises(DataError, match="--data-arg mean"):
            arguments(mean=wrong).numbers("mean")


def test_grey_becomes_colour_and_not_the_other_way() -> None:
    grey = torch.randint(0, 256, (2, 1, 3, 3), dtype=torch.uint8)
    colour = resized(grey, arguments(channels=3), "some")
    assert all(torch.equal(colour[:, c], grey[:, 0]) for c in range(3))
    with pytest.raises(DataError, match="has 3 channels; 1 can't be made"):
        resized(colour, arguments(channels=1), "some")


def test_resizing_keeps_a_flat_image_flat() -> None:
    flat = torch.full((2, 1, 8, 8), 77, dtype=torch.uint8)
    large = resized(flat, arguments(size=[32, 16]), "some")
    assert large.shape == (2, 1, 32, 16)
    assert large.unique().tolist() == [77]
