import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from compressor.data import Data, TensorSplit
from compressor.data.loaders import DatasetSplit, data_from_callable, data_from_loaders
from compressor.errors import DataError

LABELS = torch.arange(60) % 3
IMAGES = torch.randint(0, 256, (60, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Noisy(Dataset[tuple[Tensor, int]]):
    """Sample i is i plus noise from all three sources of randomness."""

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = torch.rand(1) + np.random.rand() + random.random()
        return torch.full((1, 2, 2), float(index)) + noise / 10, index % 3


class Clean(Noisy):
    reads = 0

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        type(self).reads += 1
        return torch.full((1, 2, 2), float(index)), index % 3


class Declared(Clean):
    reads = 0
    targets = (torch.arange(60) % 3).tolist()


class Lying(Clean):
    targets = [0] * 60


class Endless(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


def test_a_tensor_dataset_is_taken_whole() -> None:
    loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=7, shuffle=True)
    data = data_from_loaders(loader, test=loader, classes=["a", "b", "c"])
    assert isinstance(data.test, TensorSplit)
    assert torch.equal(data.test.fetch(torch.arange(60))[0], IMAGES)
    assert data.normalise is not None
    assert data.classes == ("a", "b", "c")
    assert len(data.validation) == 6


def test_floats_arrive_as_they_are() -> None:
    floats = torch.randn(60, 1, 4, 4)
    data = data_from_loaders(TensorDataset(floats, LABELS), test=TensorDataset(floats, LABELS))
    assert data.normalise is None
    assert torch.equal(data.batch("test", torch.arange(60)).inputs[0], floats)


def test_augmentation_is_a_function_of_seed_epoch_and_sample() -> None:
    data = data_from_loaders(Noisy(), Noisy(), Noisy())
    before = torch.get_rng_state(), random.getstate()

    def views(size: int, seed: int, epoch: int) -> dict[int, float]:
        batches = data.training_batches(size, seed, epoch)
        return {int(i): float(x[0, 0, 0]) for b in batches for i, x in zip(b.indices, b.inputs[0], strict=True)}

    first = views(4, 0, 0)
    torch.rand(3), np.random.rand(), random.random()
    assert views(20, 0, 0) == first
    assert all(int(value) in (index, index + 0) for index, value in first.items())
    assert all(abs(views(4, 0, 1)[i] - first[i]) > 0 for i in first)
    assert all(abs(views(4, 1, 0)[i] - first[i]) > 0 for i in first)
    one, two = (data.batch("test", torch.arange(5)).inputs[0] for _ in range(2))
    assert torch.equal(one, two), "without an epoch there is one view"
    del before


def test_global_random_state_is_left_alone() -> None:
    data = data_from_loaders(Noisy(), Noisy(), Noisy())
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    wanted = float(torch.rand(1)), np.random.rand(), random.random()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    data.batch("train", torch.arange(3))
    assert (float(torch.rand(1)), np.random.rand(), random.random()) == wanted


def test_labels_are_read_where_they_are_not_declared_or_wrong() -> None:
    Clean.reads = Declared.reads = 0
    assert data_from_loaders(Clean(), Clean(), Clean()).test.labels.tolist() == LABELS.tolist()
    assert data_from_loaders(Lying(), Lying(), Lying()).test.labels.tolist() == LABELS.tolist()
    data = data_from_loaders(Declared(), Declared(), Subset(Declared(), [4, 3, 5]))
    assert data.test.labels.tolist() == [1, 0, 2]


def test_collate_and_several_inputs() -> None:
    def collate(samples: list[Any]) -> tuple[Tensor, Tensor, Tensor]:
        x = torch.stack([sample[0] for sample in samples])
        return x, -x, torch.tensor([sample[1] for sample in samples])

    loader = DataLoader(Clean(), collate_fn=collate)
    data = data_from_loaders(loader, loader, loader)
    assert isinstance(data.test, DatasetSplit)
    x, negative = data.batch("test", torch.tensor([7])).inputs
    assert torch.equal(x, -negative)
    assert float(x[0, 0, 0, 0]) == 7


def broken() -> TensorDataset:
    inputs = torch.zeros(60, 3)
    inputs[41, 1] = float("nan")
    return TensorDataset(inputs, LABELS)


class Words(Clean):
    def __getitem__(self, index: int) -> Any:
        return {"x": torch.zeros(1), "y": 1}


class Raises(Clean):
    def __getitem__(self, index: int) -> Any:
        message = "disk on fire"
        raise OSError(message)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (Endless(), "'python', train split: a Endless can't be asked"),
        (TensorDataset(IMAGES[:0], LABELS[:0]), "train split is empty"),
        (broken(), "row 41: NaN"),
        (Words(), "a batch is a dict, wanted"),
        (Raises(), "OSError: disk on fire"),
        (TensorDataset(IMAGES, LABELS * 0), "one class only"),
        (TensorDataset(IMAGES, LABELS + 0.5), "row 0: label 0.5"),
        (3, "a int can't be asked"),
    ],
)
def test_what_cannot_be_used(dataset: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        data_from_loaders(dataset)


def test_a_factory_returns_data_or_two_or_three_parts() -> None:
    whole = TensorDataset(IMAGES, LABELS)
    made = data_from_callable(lambda: (whole, whole), "mine", {}, None, 0)
    assert made.source == "mine"
    assert len(made.train) == 54 and len(made.test) == 60
    assert data_from_callable(lambda: made, "mine", {}, None, 0) is made
    three = data_from_callable(
        lambda n: (whole, TensorDataset(IMAGES[:n], LABELS[:n]), whole), "mine", {"n": 9}, None, 0
    )
    assert len(three.validation) == 9


@pytest.mark.parametrize(
    ("factory", "words"),
    [(lambda: 5, "gives a int, wanted a Data"), (lambda: 1 / 0, "ZeroDivisionError"), (7, "not a callable")],
)
def test_a_factory_that_does_not_work(factory: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        data_from_callable(factory, "mine", {}, None, 0)


def test_fingerprint_sees_labels_and_samples() -> None:
    prints = {
        data_from_loaders(Clean(), Clean(), Clean()).fingerprint,
        data_from_loaders(Clean(), Clean(), Subset(Clean(), range(59))).fingerprint,
        data_from_loaders(Noisy(), Clean(), Clean()).fingerprint,
    }
    assert len(prints) == 3
    assert data_from_loaders(Clean(), Clean(), Clean()).fingerprint in prints


class Late(Dataset[Any]):
    """Whole where it is looked at first."""

    def __init__(self, late: Callable[[], Any]) -> None:
        self.late, self.targets = late, [0, 1] * 100

    def __len__(self) -> int:
        return 200

    def __getitem__(self, index: int) -> Any:
        return (self.late() if index == 1 else torch.rand(1, 4, 4, dtype=torch.float64)), index % 2


def leave() -> None:
    raise SystemExit(0)


@pytest.mark.parametrize(
    ("late", "words"),
    [
        (lambda: torch.full((1, 4, 4), torch.nan, dtype=torch.float64), "row 1: NaN"),
        (lambda: torch.rand(1, 5, 4, dtype=torch.float64), "reading them fails: RuntimeError"),
        (lambda: "text", "reading them fails"),
        (leave, "reading them fails: SystemExit: 0"),
    ],
)
def test_a_sample_that_is_bad_only_later(late: Callable[[], Any], words: str) -> None:
    data = data_from_loaders(Late(late), Late(lambda: torch.rand(1, 4, 4)), Late(lambda: torch.rand(1, 4, 4)))
    assert data.train.fetch(torch.tensor([0, 2]))[0].dtype == torch.float32
    with pytest.raises(DataError, match=words):
        data.train.fetch(torch.arange(3))


def test_labels_that_plainly_name_a_class() -> None:
    plain = data_from_loaders(TensorDataset(IMAGES, LABELS))
    for labels in (LABELS.double(), LABELS[:, None], torch.eye(int(LABELS.max()) + 1)[LABELS]):
        found = data_from_loaders(TensorDataset(IMAGES, labels))
        assert found.train.labels.tolist() == plain.train.labels.tolist()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"classes": ["a", "b"]}, "classes is a list"),
        ({"classes": (1, 2)}, "aren't texts"),
        ({"normalise": 0.5}, "normalise is no Normalise"),
        ({"train": 3}, "labels are no tensor"),
        ({"train": TensorSplit(torch.rand(1, 1, 2, 2), torch.tensor([0, 1]))}, "fetching samples fails: IndexError"),
        ({"train": TensorSplit(torch.rand(2, 1, 2, 2) / 0, torch.tensor([0, 1]))}, "NaN or infinity"),
        ({"test": TensorSplit(torch.rand(1, 1, 2, 2), torch.tensor([10**9]))}, "label 1000000000, and 2 classes"),
    ],
)
def test_data_of_the_users_own_making_is_looked_at(changed: dict[str, Any], words: str) -> None:
    split = TensorSplit(torch.rand(2, 1, 2, 2), torch.tensor([0, 1]))
    good = Data("mine", split, split, split, ("a", "b"), "f")
    assert data_from_callable(lambda: good, "mine", {}, None, 0) is good
    with pytest.raises(DataError, match=words):
        data_from_callable(lambda: replace(good, **changed), "mine", {}, None, 0)
