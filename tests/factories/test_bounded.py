import pytest
import torch
from torch import nn

from compressor.errors import ModelFileError
from compressor.factories.bounded import SMALL, at_most


def test_what_fits_is_built() -> None:
    with at_most(10, 2):
        assert nn.Linear(300, 300).weight.numel() == 90_000


def test_far_more_numbers_than_the_file_has() -> None:
    with pytest.raises(ModelFileError, match="the file has 10 in 2 tensors"), at_most(10, 2):
        # Never touched: the hook comes before the first value is written.
        nn.Linear(SMALL, 2)
    assert torch.nn.Linear(2, 2).weight.numel() == 4


def test_parts_without_end() -> None:
    with pytest.raises(ModelFileError, match="parts"), at_most(10, 2):
        nn.ModuleList(nn.Identity() for _ in iter(int, 1))


def test_nothing_is_counted_afterwards() -> None:
    with pytest.raises(ModelFileError), at_most(1, 1):
        nn.Linear(SMALL, 2)
    nn.Linear(SMALL + 1, 1, device="meta")
