"""Batches prepared ahead or on the device are the ones that the CPU would give, and a thread ends with its reader."""

import itertools
import threading
from collections.abc import Iterator

import pytest
import torch

from compressor.data import Augment, Batch, Data
from compressor.data.batches import Subset, TensorSplit
from compressor.data.feeding import ahead, fed, resident
from compressor.data.images import Normalise

AUGMENT = Augment(2, flip=True, erase=0.5)


def made() -> Data:
    images = torch.randint(0, 256, (40, 6, 6, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    whole = TensorSplit(images, torch.arange(40) % 4)
    some = Subset(whole, torch.arange(30).flip(0))
    return Data("made", some, some, some, ("a", "b", "c", "d"), "", normalise=Normalise((0.5,) * 3, (0.5,) * 3))


def epoch(data: Data) -> Iterator[Batch]:
    return data.training_batches(8, 1, 2, AUGMENT)


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other) == 3
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left.inputs[0], right.inputs[0]) and torch.equal(left.labels, right.labels)
        assert torch.equal(left.indices, right.indices)


def test_the_same_batches_in_the_same_order() -> None:
    data = made()
    plain = list(epoch(data))
    assert_same(plain, list(fed(data, "cpu")(epoch)))
    assert_same(plain, list(ahead(epoch(data), lambda batch: batch)))
    assert_same(plain, list(epoch(resident(data, "cpu"))))


def test_what_preparing_raises_reaches_the_reader() -> None:
    def broken() -> Iterator[Batch]:
        yield from epoch(made())
        raise OSError("disk gone")

    batches = ahead(broken(), lambda batch: batch)
    assert len(list(itertools.islice(batches, 3))) == 3
    with pytest.raises(OSError, match="disk gone"):
        next(batches)


def test_the_thread_ends_when_nobody_reads_on() -> None:
    def endless() -> Iterator[Batch]:
        while True:
            yield from epoch(made())

    before = threading.active_count()
    batches = ahead(endless(), lambda batch: batch)
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_images_are_augmented_and_normalised_where_they_are() -> None:
    """Nothing is drawn or indexed on another device than the images': 'meta' refuses tensors of the CPU."""
    there = torch.device("meta")
    views = AUGMENT.draw(4, torch.Generator().manual_seed(0)).to(there)
    images = AUGMENT(torch.zeros(4, 3, 6, 6, dtype=torch.uint8, device=there), views)
    normalised = Normalise((0.5,) * 3, (0.5,) * 3)(images)
    assert normalised.device == there and normalised.shape == (4, 3, 6, 6)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_batches() -> None:
    data = made()
    for there in (list(fed(data, "cuda")(epoch)), [batch.to("cuda") for batch in ahead(epoch(data), lambda b: b)]):
        assert all(batch.inputs[0].is_cuda and not batch.indices.is_cuda for batch in there)
        assert_same(list(epoch(data)), [batch.to("cpu") for batch in there])
