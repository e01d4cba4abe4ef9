"""More inputs without labels: a teacher's answers are their target."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from compressor.data.batches import UNLABELED, Data, Split, Subset
from compressor.data.labels import joined, labelled, widened
from compressor.data.lengths import lengths_of, places_of, tokenized
from compressor.data.same_samples import SameSamples
from compressor.data.tables import fingerprint_of, is_table, texts_alone
from compressor.errors import DataError
from compressor.models import InputSpec, TokenizerSpec

# Samples that are held at once while their digest is computed.
READ_TOGETHER = 1000


@dataclass(frozen=True)
class Bare(SameSamples):
    """A split whose labels, if it has any, aren't looked at."""

    @property
    def labels(self) -> Tensor:
        """int64, all of them ``UNLABELED``: (N,), for words (N, words)."""
        labels = self.parent.labels
        return torch.full(labels.shape, UNLABELED)

    def with_tokenizer(self, spec: TokenizerSpec) -> "Bare":
        """The same samples, tokenized otherwise."""
        return Bare(tokenized(self.parent, spec))


@dataclass(frozen=True)
class Joined:
    """One split after the other."""

    first: Split
    second: Split

    @property
    def labels(self) -> Tensor:
        """int64 (N,), or float (N,)."""
        return joined(self.first.labels, self.second.labels)

    def __len__(self) -> int:
        """How many samples."""
        return len(self.first) + len(self.second)

    def fetch(self, indices: Tensor, epoch_seed: int | None = None) -> tuple[Tensor, ...]:
        """The samples of both in the order of the indices."""
        from_second = indices >= len(self.first)
        parts = [
            split.fetch(indices[chosen] - start, epoch_seed)
            for split, start, chosen in (
                (self.first, 0, ~from_second),
                (self.second, len(self.first), from_second),
            )
            if bool(chosen.any())
        ]
        place = torch.cat([(~from_second).nonzero().flatten(), from_second.nonzero().flatten()]).argsort()
        return tuple(torch.cat(padded(tensors))[place] for tensors in zip(*parts, strict=True))

    @property
    def lengths(self) -> Tensor | None:
        """Of each sample, where they have one."""
        both = lengths_of(self.first), lengths_of(self.second)
        return None if both[0] is None or both[1] is None else torch.cat([both[0], both[1]])

    @property
    def places(self) -> Tensor | None:
        """Where each sample's words begin, where they are words."""
        both = places_of(self.first), places_of(self.second)
        return None if both[0] is None or both[1] is None else torch.cat(widened((both[0], both[1]), -1))

    def with_tokenizer(self, spec: TokenizerSpec) -> "Joined":
        """The same samples, tokenized otherwise."""
        return Joined(tokenized(self.first, spec), tokenized(self.second, spec))


def padded(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Zeros after shorter samples, so that all have the longest one's length on their last axis."""
    if any(tensor.dim() < 2 for tensor in tensors):
        return list(tensors)
    longest = max(tensor.shape[-1] for tensor in tensors)
    return [functional.pad(tensor, (0, longest - tensor.shape[-1])) for tensor in tensors]


def with_unlabeled(data: Data, extra: Split, source: str, digest: str = "") -> Data:
    """The same data with more training inputs.

    Args:
        data: Stays as it is in validation and test.
        extra: Inputs like those of ``data.train``; its labels aren't looked at.
        source: Where they come from, for messages and the report.
        digest: Of the inputs, where it is known; else they are read for it.

    Raises:
        DataError: They have another shape or type.
    """
    if not len(extra):
        raise DataError(f"--unlabeled {source}: no samples", "a folder of images, or any data spec")
    if data.tokenizer is not None:
        extra = tokenized(extra, data.tokenizer)
    ours, theirs = (split.fetch(torch.arange(1))[0] for split in (data.train, extra))
    texts = data.has_lengths and lengths_of(extra) is not None
    if (data.train.labels.dim() == 2) != (extra.labels.dim() == 2):
        have = ["texts", "lists of words"][:: -1 if extra.labels.dim() == 2 else 1]
        raise DataError(
            f"--unlabeled {source} has {have[0]}, '{data.source}' has {have[1]}",
            "--data-arg tokens=COLUMN for both, or text=COLUMN for both",
        )
    if (not texts and ours.shape[1:] != theirs.shape[1:]) or ours.dtype != theirs.dtype:
        got, wanted = (f"{tuple(one.shape[1:])} {str(one.dtype).removeprefix('torch.')}" for one in (theirs, ours))
        raise DataError(
            f"--unlabeled {source}: inputs are {got}, those of '{data.source}' {wanted}",
            "inputs of the same size and type; images in a folder are brought to the right size",
        )
    bare = Bare(extra)
    digest = hashlib.sha256(f"{data.fingerprint} {digest or _digest_of(bare)}".encode()).hexdigest()
    note = f"{len(extra)} inputs without labels from {source} join the {len(data.train)} with labels"
    return replace(data, train=Joined(data.train, bare), fingerprint=digest, notes=(*data.notes, note))


def _digest_of(split: Split) -> str:
    digest = hashlib.sha256()
    for indices in torch.arange(len(split)).split(READ_TOGETHER):
        for tensor in split.fetch(indices):
            digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_unlabeled(data: Data, spec: str, args: Mapping[str, Any] | None = None, seed: int = 0) -> Data:
    """Read inputs from a folder of images (any nesting), an npz file's ``x_train``, a table's texts, or any spec.

    Of a spec that has splits the train split is read.

    Raises:
        DataError: There are none, or they don't fit.
    """
    path = Path(spec)
    if is_table(path) or data.has_lengths:
        texts = texts_alone(path, args or {}, apart=data.tokenizer is not None and data.tokenizer.apart)
        return with_unlabeled(data, texts, spec, fingerprint_of({"train": texts}))
    sample = data.batch("train", torch.arange(1)).inputs[0]
    normalise = data.normalise
    inputs = InputSpec(
        shape=tuple(sample.shape[1:]),
        mean=normalise.mean if normalise else (),
        std=normalise.std if normalise else (),
    )
    if path.is_dir() and not (path / "train").is_dir():
        from compressor.data.folder import loose_images

        images, digest = loose_images(path, inputs)
        return with_unlabeled(data, images, spec, digest)
    if path.suffix == ".npz":
        from compressor.data.keras_npz import inputs_alone

        return with_unlabeled(data, inputs_alone(path, args or {}), spec)
    from compressor.data.load import load_data

    found = load_data(spec, args=args, inputs=inputs, seed=seed)
    return with_unlabeled(data, found.train, spec, found.fingerprint)


def only_labelled(data: Data) -> Data:
    """The data without its unlabelled inputs, repeated to the same number of samples: as many steps an epoch.

    Raises:
        DataError: No sample has a label.
    """
    if not data.unlabeled:
        return data
    known = labelled(data.train.labels).nonzero().flatten()
    if not len(known):
        raise DataError(
            f"none of the {len(data.train)} training samples has a label, which rankings by the loss and trainings "
            "without a teacher need",
            "prune.importance = 'magnitude', no --control; or samples with labels",
        )
    repeats = -(-len(data.train) // len(known))
    indices = known.repeat(repeats)[: len(data.train)]
    return replace(data, train=Subset(data.train, indices), fingerprint=f"{data.fingerprint}-labelled")
