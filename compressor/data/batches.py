"""Splits in memory or on disk, and batches whose order and augmentation are functions of seeds alone."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from compressor.data.images import Augment, Normalise
from compressor.data.labels import UNLABELED as UNLABELED
from compressor.data.labels import labelled
from compressor.data.lengths import by_length, lengths_of, places_of, tokenized
from compressor.models import TokenizerSpec

SplitName = Literal["train", "validation", "test"]


class Split(Protocol):
    """Samples that can be fetched by index, and their labels."""

    @property
    def labels(self) -> Tensor:
        """int64 (N,), or float (N,) for regression; see ``labels`` for samples that have none."""
        ...

    def __len__(self) -> int:
        """How many samples."""
        ...

    def fetch(self, indices: Tensor, epoch_seed: int | None = None) -> tuple[Tensor, ...]:
        """The raw inputs of these samples, each (len(indices), ...).

        Args:
            indices: int64 (n,).
            epoch_seed: Seeds whatever randomness the source itself has; None asks for none.
        """
        ...


@dataclass(frozen=True)
class TensorSplit:
    """Samples that fit in memory; images as uint8 (N, C, H, W)."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """How many samples."""
        return len(self.labels)

    def fetch(self, indices: Tensor, epoch_seed: int | None = None) -> tuple[Tensor, ...]:
        """The samples, untouched."""
        return (self.inputs[indices],)


@dataclass(frozen=True)
class Subset:
    """Some samples of another split, in the order of ``indices``."""

    parent: Split
    indices: Tensor

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""
        return self.parent.labels[self.indices]

    def __len__(self) -> int:
        """How many samples."""
        return len(self.indices)

    def fetch(self, indices: Tensor, epoch_seed: int | None = None) -> tuple[Tensor, ...]:
        """The parent's samples."""
        return self.parent.fetch(self.indices[indices], epoch_seed)

    @property
    def lengths(self) -> Tensor | None:
        """Of each sample, where they have one."""
        whole = lengths_of(self.parent)
        return None if whole is None else whole[self.indices]

    @property
    def places(self) -> Tensor | None:
        """Where each sample's words begin, where they are words."""
        whole = places_of(self.parent)
        return None if whole is None else whole[self.indices]

    def with_tokenizer(self, spec: TokenizerSpec) -> "Subset":
        """The same samples, tokenized otherwise."""
        return Subset(tokenized(self.parent, spec), self.indices)


@dataclass(frozen=True)
class Batch:
    """What a network is called with.

    Args:
        inputs: The call's positional arguments, first axis is the batch.
        labels: int64 (N,), for words (N, words), or float (N,) for regression; ``UNLABELED`` where there is none.
        indices: int64 (N,), each sample's place in its split.
        view: Which of a sample's augmented views these are.
        places: int64 (N, words), at which token each word begins, -1 for none; None where samples aren't words.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor
    indices: Tensor
    view: int = 0
    places: Tensor | None = None

    def to(self, device: str, channels_last: bool = False) -> "Batch":
        """The batch on a device, images in the memory format the network is in, however they lay before."""
        images = torch.channels_last if channels_last else torch.contiguous_format

        def move(tensor: Tensor) -> Tensor:
            # Without a wait where the tensor is pinned.
            moved = tensor.to(device, non_blocking=True) if device.startswith("cuda") else tensor.to(device)
            return moved.to(memory_format=images) if moved.dim() == 4 else moved

        return self.each(move)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with every tensor changed but the indices, which stay on the CPU."""
        places = None if self.places is None else change(self.places)
        return replace(self, inputs=tuple(change(t) for t in self.inputs), labels=change(self.labels), places=places)

    def of(self, chosen: Tensor) -> "Batch":
        """Some of the samples, by a mask (N,)."""
        inputs = tuple(tensor[chosen] for tensor in self.inputs)
        places = None if self.places is None else self.places[chosen]
        return Batch(inputs, self.labels[chosen], self.indices[chosen.cpu()], self.view, places)


def _epoch_seed(seed: int, epoch: int, purpose: str) -> int:
    digest = hashlib.sha256(f"{purpose}:{seed}:{epoch}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _generator(seed: int, epoch: int, purpose: str) -> torch.Generator:
    return torch.Generator().manual_seed(_epoch_seed(seed, epoch, purpose))


@dataclass(frozen=True)
class Data:
    """Three splits and what they are.

    ``train`` is to learn from, ``validation`` to choose by, ``test`` for the report.

    Args:
        source: The spec it was loaded from, ``"digits"``.
        train: Split.
        validation: Split.
        test: Split.
        classes: Class names by label.
        fingerprint: sha256 over samples, labels and split; equal data has an equal one.
        normalise: Applied to fetched images; None where the source gives finished inputs.
        flip: Whether mirrored samples keep their label (never for digits or text).
        notes: What a reader of the report must know: which splits were held out, what was skipped.
        tokenizer: What texts were tokenized by; None where they weren't yet, or the samples are no text.
    """

    source: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    fingerprint: str
    normalise: Normalise | None = None
    flip: bool = False
    notes: tuple[str, ...] = field(default=())
    tokenizer: TokenizerSpec | None = None

    def seen_by(self, spec: TokenizerSpec | None) -> "Data":
        """The same samples as a network with this tokenizer sees them; itself where they are no text."""
        if spec is None or (self.tokenizer is not None and self.tokenizer.digest == spec.digest):
            return self
        train, validation, test = (tokenized(split, spec) for split in (self.train, self.validation, self.test))
        return replace(self, tokenizer=spec, train=train, validation=validation, test=test)

    @property
    def has_lengths(self) -> bool:
        """Whether samples differ in length, as texts do."""
        return lengths_of(self.train) is not None

    def split(self, name: SplitName) -> Split:
        """The split of that name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def batch(self, name: SplitName, indices: Tensor) -> Batch:
        """These samples of a split, preprocessed, without augmentation."""
        split = self.split(name)
        places = places_of(split)
        return Batch(
            self._prepare(split.fetch(indices)),
            split.labels[indices],
            indices,
            places=None if places is None else places[indices],
        )

    def batches(self, name: SplitName, batch_size: int) -> Iterator[Batch]:
        """A split in order, without augmentation; the last batch may be smaller."""
        for indices in torch.arange(len(self.split(name))).split(batch_size):
            yield self.batch(name, indices)

    def training_batches(
        self,
        batch_size: int,
        seed: int,
        epoch: int,
        augment: Augment | None = None,
        rank: int = 0,
        world: int = 1,
        views: int | None = None,
    ) -> Iterator[Batch]:
        """One epoch over the training split in an order set by (seed, epoch).

        Augmentation is a function of (seed, epoch, sample), so a resumed epoch shows the same views.
        The last, smaller batch is dropped unless it is the only one (BatchNorm needs full batches). Samples of
        about one length come together where they have lengths, so that little of a batch is padding.

        Args:
            batch_size: Samples per step over all ranks.
            seed: The run's seed.
            epoch: From 0.
            augment: Applied to images before normalising.
            rank: This process's place among ``world``; it gets every ``world``-th sample of a batch.
            world: How many processes share each batch.
            views: Each sample is shown in so many views, one an epoch and then again from the first, the
                same for every seed; None for a new one every epoch.
        """
        count = len(self.train)
        order = torch.randperm(count, generator=_generator(seed, epoch, "order"))
        lengths = lengths_of(self.train)
        if lengths is not None:
            order = by_length(order, lengths, batch_size, _generator(seed, epoch, "batches"))
        view, chosen_by = (epoch, seed) if views is None else (epoch % views, 0)
        steps = max(1, count // batch_size)
        labels, places = self.train.labels, places_of(self.train)
        # Chance is drawn on the CPU, so that the draws are the same wherever the samples are.
        order_there = order.to(labels.device)
        if augment is not None:
            drawn = augment.draw(count, _generator(chosen_by, view, "augment")).to(labels.device)
        source_seed = _epoch_seed(chosen_by, view, "source")
        for step in range(steps):
            part = slice(step * batch_size, (step + 1) * batch_size)
            indices, there = order[part][rank::world], order_there[part][rank::world]
            inputs = self.train.fetch(there, source_seed)
            if augment is not None and inputs[0].dim() == 4:
                inputs = (augment(inputs[0], drawn.of(there)), *inputs[1:])
            begins = None if places is None else places[there]
            yield Batch(self._prepare(inputs), labels[there], indices, view, begins)

    @property
    def unlabeled(self) -> int:
        """How many training samples have no label."""
        return int((~labelled(self.train.labels)).sum())

    def steps_per_epoch(self, batch_size: int) -> int:
        """How many batches ``training_batches`` gives."""
        return max(1, len(self.train) // batch_size)

    def _prepare(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        # Not .contiguous(), for which images of one channel pass in any order. A network sees how its inputs lie:
        # convolutions keep it, and what comes after may depend on it.
        inputs = tuple(t.to(memory_format=torch.contiguous_format) if t.dim() == 4 else t for t in inputs)
        if self.normalise is None:
            return inputs
        return (self.normalise(inputs[0]), *inputs[1:])
