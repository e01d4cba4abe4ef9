"""Samples of about one length share batches, and each sample is seen once."""

import small_texts
import torch

from compressor.data.batches import Subset, TensorSplit
from compressor.data.lengths import by_length, lengths_of, tokenized

LENGTHS = torch.tensor([9, 1, 7, 3, 5, 2, 8, 4, 6, 0, 11, 10])
IMAGES = TensorSplit(torch.zeros(4, 1, 2, 2), torch.arange(4))


def test_batches_hold_neighbours_in_length() -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    ordered = by_length(order, LENGTHS, 3, torch.Generator().manual_seed(0))
    batches = sorted(sorted(LENGTHS[batch].tolist()) for batch in ordered.split(3))
    assert batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def test_batches_come_in_an_order_of_chance() -> None:
    order = torch.arange(12)
    found = {tuple(by_length(order, LENGTHS, 3, torch.Generator().manual_seed(seed)).tolist()) for seed in range(8)}
    assert len(found) > 2
    again = by_length(order, LENGTHS, 3, torch.Generator().manual_seed(0))
    assert torch.equal(again, by_length(order, LENGTHS, 3, torch.Generator().manual_seed(0)))


def test_only_so_many_batches_are_sorted_together() -> None:
    # 40 batches of 2: the lengths of the second half never get into the first.
    lengths = torch.arange(80) % 40
    ordered = by_length(torch.arange(80), lengths, 2, torch.Generator().manual_seed(0)).view(-1, 2)
    assert {int(place) // 40 for place in ordered.flatten()} == {0, 1}
    assert all(int(first) // 40 == int(second) // 40 for first, second in ordered)
    assert all(int(lengths[first]) + 1 == int(lengths[second]) for first, second in ordered)


def test_what_fills_no_batch_stays_behind() -> None:
    order = torch.tensor([3, 1, 2, 0, 4])
    ordered = by_length(order, LENGTHS[:5], 2, torch.Generator().manual_seed(0))
    assert ordered[-1] == 4
    assert sorted(ordered.tolist()) == [0, 1, 2, 3, 4]
    assert torch.equal(by_length(order, LENGTHS[:5], 8, torch.Generator().manual_seed(0)), order)


def test_images_have_no_lengths_and_stay_as_they_are() -> None:
    spec = small_texts.encoder().info.tokenizer
    assert spec is not None
    assert lengths_of(IMAGES) is None
    assert tokenized(IMAGES, spec) is IMAGES
    part = Subset(IMAGES, torch.tensor([2]))
    assert lengths_of(part) is None
    assert tokenized(part, spec).parent is IMAGES
