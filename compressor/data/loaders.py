"""The user's own code and loaders: anything with samples that can be asked for by index."""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

from compressor.data.batches import Data, Split, TensorSplit
from compressor.data.checks import check_data, check_finite, whole_labels
from compressor.data.source import Arguments, Source
from compressor.data.splits import data_from_source, fingerprint
from compressor.errors import DataError
from compressor.importing import import_object
from compressor.models import InputSpec
from compressor.user_code import called

LOOKED_AT = 64
WANTED = "a Data, or (train, test) or (train, validation, test) of DataLoaders or map-style datasets"


@dataclass(frozen=True)
class DatasetSplit:
    """A map-style dataset whose samples are (input, ..., label).

    Its own randomness, from torch, numpy or ``random``, is seeded per sample, so that augmentation
    is a function of (seed, epoch, sample).
    """

    dataset: Any
    labels: Tensor
    collate: Callable[[list[Any]], Any]
    draws_from_global_state: ClassVar[bool] = True

    def __len__(self) -> int:
        """How many samples."""
        return len(self.labels)

    def fetch(self, indices: Tensor, epoch_seed: int | None = None) -> tuple[Tensor, ...]:
        """The samples as the dataset gives them, collated."""
        where = f"a {type(self.dataset).__name__}, samples {indices[:3].tolist()} and on"
        try:
            with _random_state_kept():
                samples = [_seeded(self.dataset, index, epoch_seed or 0) for index in indices.tolist()]
                *inputs, _ = self.collate(samples)
                return tuple(_usable(one, where) for one in inputs)
        except DataError:
            raise
        except (Exception, SystemExit) as error:
            raise DataError(
                f"{where}: reading them fails: {type(error).__name__}: {error}",
                "samples as (input, label), inputs of one shape",
            ) from error


def user_code(reference: str, given: Mapping[str, Any], inputs: InputSpec | None, seed: int) -> Data:
    """Call ``package.module:factory`` with the ``--data-arg`` values; it returns data or loaders.

    Raises:
        DataError: It fails, or returns something else.
    """
    return data_from_callable(import_object(reference), reference, given, inputs, seed)


def data_from_callable(factory: Any, name: str, given: Mapping[str, Any], inputs: InputSpec | None, seed: int) -> Data:
    """As ``user_code``, with the callable itself."""
    if not callable(factory):
        raise DataError(f"'{name}' is a {type(factory).__name__}, not a callable", f"a callable that returns {WANTED}")
    typed = ", ".join(f"{key}={value!r}" for key, value in given.items())
    with called(
        f"{name}({typed}) fails", "call it yourself to see why; its arguments are the --data-arg values", DataError
    ):
        made = factory(**given)
    if isinstance(made, Data):
        check_data(made, name)
        return made
    parts = list(made) if isinstance(made, tuple | list) else []
    if len(parts) not in (2, 3):
        raise DataError(f"{name} gives a {type(made).__name__}, wanted {WANTED}", "return (train, test)")
    train, validation, test = parts if len(parts) == 3 else (parts[0], None, parts[1])
    with called(f"reading the data of {name} fails", "its samples can be read one by one", DataError, among_ours=True):
        return data_from_loaders(train, validation, test, seed=seed, source=name, inputs=inputs)


def data_from_loaders(
    train: Any,
    validation: Any = None,
    test: Any = None,
    classes: Sequence[str] | None = None,
    *,
    flip: bool = False,
    seed: int = 0,
    source: str = "python",
    inputs: InputSpec | None = None,
) -> Data:
    """Data from DataLoaders or map-style datasets whose samples are (input, label).

    Batch size, order and workers are set by the training; of a loader, its dataset and its
    ``collate_fn`` are used. uint8 images (C, H, W) are scaled and normalised as from any source,
    floats are taken as they are. The fingerprint covers everything of a ``TensorDataset``; of other
    datasets the labels and 64 samples.

    Args:
        train: To learn from.
        validation: To choose by; a stratified tenth of train where None.
        test: For the report; another tenth where None.
        classes: Names by label.
        flip: Whether mirrored images keep their label.
        seed: Draws the validation split where there is none.
        source: A name for the report.
        inputs: What the model expects of one sample, where it is known.

    Raises:
        DataError: Something can't be asked by index, or has no usable labels.
    """
    splits = {
        name: None if given is None else _split(given, f"'{source}', {name} split")
        for name, given in (("train", train), ("validation", validation), ("test", test))
    }
    first = splits["train"]
    assert first is not None
    sample = first.fetch(torch.arange(1))[0]
    images = sample.dtype == torch.uint8 and sample.dim() == 4
    if all(split is None or isinstance(split, TensorSplit) for split in splits.values()):
        digest = fingerprint(list(splits.values()))
    else:
        digest = hashlib.sha256("".join(_digest(split) for split in splits.values()).encode()).hexdigest()
    found = Source(
        source, first, splits["validation"], splits["test"], tuple(classes or ()), digest, images=images, flip=flip
    )
    return data_from_source(found, Arguments({}, (), source), inputs, seed)


def _split(given: Any, where: str) -> Split:
    if isinstance(given, TensorSplit | DatasetSplit):
        return given
    dataset = given.dataset if isinstance(given, DataLoader) else given
    collate = given.collate_fn if isinstance(given, DataLoader) else default_collate
    if isinstance(dataset, IterableDataset) or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise DataError(
            f"{where}: a {type(dataset).__name__} can't be asked for its n-th sample",
            "a map-style dataset: one with __len__ and __getitem__",
        )
    if len(dataset) == 0:
        raise DataError(f"{where} is empty", "data with at least a few samples per class")
    if isinstance(dataset, TensorDataset) and len(dataset.tensors) == 2 and collate is default_collate:
        inputs, labels = dataset.tensors
        return TensorSplit(_usable(inputs, where), whole_labels(labels, where))
    try:
        return _dataset_split(dataset, collate, where)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{where}: reading a {type(dataset).__name__} fails: {type(error).__name__}: {error}",
            "samples as (input, label), labels as whole numbers",
        ) from error


def _dataset_split(dataset: Any, collate: Callable[[list[Any]], Any], where: str) -> DatasetSplit:
    with _random_state_kept():
        batch = collate([_seeded(dataset, 0, 0)])
        if not isinstance(batch, tuple | list) or len(batch) < 2 or not all(isinstance(t, Tensor) for t in batch):
            raise DataError(
                f"{where}: a batch is a {type(batch).__name__}, wanted (input, label) as tensors",
                "samples as (tensor, int); PIL images need a transform to tensors",
            )
        places = _evenly(len(dataset))
        looked_at = {place: collate([_seeded(dataset, place, 0)]) for place in places}
        for place, part in looked_at.items():
            for inputs in part[:-1]:
                if inputs.is_floating_point() and not torch.isfinite(inputs).all():
                    raise DataError(f"{where}, row {place}: NaN or infinity in the inputs", "repair the row")
        known = _declared_labels(dataset)
        if known is None or any(part[-1].flatten().tolist() != [known[place]] for place, part in looked_at.items()):
            every = [collate([_seeded(dataset, place, 0)])[-1] for place in range(len(dataset))]
            return DatasetSplit(dataset, whole_labels(torch.cat([one.reshape(1, -1) for one in every]), where), collate)
    return DatasetSplit(dataset, whole_labels(torch.tensor(known), where), collate)


def _usable(inputs: Tensor, where: str) -> Tensor:
    """Inputs of a type that networks take: floats of 32 bits, all of them finite."""
    made = inputs.float() if inputs.is_floating_point() else inputs
    check_finite(made, where)
    return made


def _declared_labels(dataset: Any) -> list[Any] | None:
    """Labels that the dataset lists, so that not every sample has to be read; checked against some."""
    if isinstance(dataset, torch.utils.data.Subset):
        inner = _declared_labels(dataset.dataset)
        return None if inner is None else [inner[i] for i in dataset.indices]
    for name in ("targets", "labels"):
        listed = getattr(dataset, name, None)
        if isinstance(listed, Tensor | np.ndarray):
            listed = listed.tolist()
        if isinstance(listed, list | tuple) and len(listed) == len(dataset):
            return list(listed)
    return None


def _evenly(count: int) -> list[int]:
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, LOOKED_AT))})


def _digest(split: Split | None) -> str:
    if split is None:
        return "none"
    digest = hashlib.sha256(split.labels.numpy().tobytes())
    for tensor in split.fetch(torch.tensor(_evenly(len(split)))):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _seeded(dataset: Any, index: int, epoch_seed: int) -> Any:
    digest = hashlib.sha256(f"{epoch_seed}:{index}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    # Not torch.manual_seed: that reaches for every kind of device, which takes milliseconds.
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    return dataset[index]


@contextmanager
def _random_state_kept() -> Iterator[None]:
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
