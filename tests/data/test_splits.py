from typing import Any

import pytest
import torch

from compressor.data import Data, TensorSplit
from compressor.data.batches import Subset
from compressor.data.source import PREPROCESSING, Arguments, Source
from compressor.data.splits import data_from_source, fingerprint, shorten, statistics, stratified
from compressor.errors import DataError
from compressor.models import InputSpec


def tensors(count: int, seed: int = 0) -> TensorSplit:
    """Three classes, the last one rare: 60 %, 30 %, 10 %."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=draw)
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 2]).repeat(count // 10)
    return TensorSplit(images, labels[torch.randperm(count, generator=draw)])


def complete(
    train: TensorSplit, test: TensorSplit | None = None, seed: int = 0, inputs: InputSpec | None = None, **given: Any
) -> Data:
    source = Source("some", train, None, test, (), fingerprint([train, test]))
    return data_from_source(source, Arguments(given, PREPROCESSING, "some"), inputs, seed)


def rows(split: Any) -> set[int]:
    assert isinstance(split, Subset)
    return set(rows_of(split))


def rows_of(split: Subset) -> list[int]:
    indices = split.indices
    while isinstance(split.parent, Subset):
        split = split.parent
        indices = split.indices[indices]
    return [int(i) for i in indices]


def test_a_tenth_of_each_class_is_held_out_twice() -> None:
    data = complete(tensors(200))
    assert data.validation.labels.bincount().tolist() == [12, 6, 2]
    assert data.test.labels.bincount().tolist() == [12, 6, 2]
    parts = [rows(split) for split in (data.train, data.validation, data.test)]
    assert sum(len(part) for part in parts) == 200
    assert set.union(*parts) == set(range(200))
    assert any("held out as test" in note for note in data.notes)


def test_the_held_out_test_split_is_the_same_under_every_seed() -> None:
    first, second = complete(tensors(200), seed=0), complete(tensors(200), seed=1)
    assert rows(first.test) == rows(second.test)
    assert rows(first.validation) != rows(second.validation)
    assert first.fingerprint != second.fingerprint


def test_equal_data_has_an_equal_fingerprint() -> None:
    assert complete(tensors(100)).fingerprint == complete(tensors(100)).fingerprint
    changed = tensors(100)
    changed.inputs[3, 0, 0, 0] += 1
    assert complete(changed).fingerprint != complete(tensors(100)).fingerprint
    assert complete(tensors(100), mean=0.5, std=0.5).fingerprint != complete(tensors(100)).fingerprint


def test_a_class_too_small_to_hold_out_of() -> None:
    lonely = TensorSplit(torch.zeros(9, 1, 2, 2, dtype=torch.uint8), torch.tensor([0] * 8 + [1]))
    with pytest.raises(DataError, match="class 1 has 1 sample in train"):
        complete(lonely)


def test_normalisation_comes_from_the_model_then_arguments_then_train() -> None:
    spec = InputSpec(shape=(1, 4, 4), mean=(0.1,), std=(0.2,))
    by_model = complete(tensors(100), inputs=spec, mean=0.5, std=0.5)
    assert by_model.normalise is not None and by_model.normalise.mean == (0.1,)
    assert any("ignored" in note for note in by_model.notes)
    by_hand = complete(tensors(100), mean=0.5, std=0.4)
    assert by_hand.normalise is not None and by_hand.normalise.std == (0.4,)
    measured = complete(tensors(100), tensors(50, seed=1))
    train = measured.train.fetch(torch.arange(len(measured.train)))[0].double() / 255
    assert measured.normalise is not None
    assert measured.normalise.mean == pytest.approx((float(train.mean()),), abs=1e-4)
    assert measured.normalise.std == pytest.approx((float(train.std(correction=0)),), abs=1e-4)
    assert any("of the train split" in note for note in measured.notes)


def test_statistics_are_per_channel() -> None:
    images = torch.stack([torch.full((5, 2, 2), 51), torch.full((5, 2, 2), 255)], 1).to(torch.uint8)
    images[0, 0] = 0
    mean, std = statistics(TensorSplit(images, torch.arange(5)))
    assert mean == (0.16, 1.0)
    assert std == (0.08, 1.0), "a channel without spread keeps its scale"


def test_mean_without_std_is_refused() -> None:
    with pytest.raises(DataError, match="belong together"):
        complete(tensors(100), mean=0.5)
    with pytest.raises(DataError, match="std must be above 0"):
        complete(tensors(100), mean=0.5, std=0.0)
    with pytest.raises(DataError, match="1 channels, but mean has 3"):
        complete(tensors(100), mean=[0, 0, 0], std=[1, 1, 1])


def test_a_shape_that_the_model_does_not_take() -> None:
    with pytest.raises(DataError, match="takes samples of shape") as caught:
        complete(tensors(100), inputs=InputSpec(shape=(3, 8, 8)))
    assert "channels=3" in caught.value.hint and "size=[8, 8]" in caught.value.hint


def test_stratified_by_share() -> None:
    labels = tensors(200).labels
    chosen = stratified(labels, 20, seed=0)
    assert labels[chosen].bincount().tolist() == [12, 6, 2]
    assert chosen.tolist() == sorted(chosen.tolist())
    assert not torch.equal(chosen, stratified(labels, 20, seed=1))


def test_shorten() -> None:
    data = complete(tensors(200))
    short = shorten(data, 40, 10)
    assert (len(short.train), len(short.validation), len(short.test)) == (40, 10, 10)
    assert rows(short.test) <= rows(data.test)
    assert short.fingerprint != data.fingerprint
    assert shorten(data, 40, 10).fingerprint == short.fingerprint
    assert shorten(data, 1000, 1000) is data
