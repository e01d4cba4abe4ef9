"""Data as a network's own file describes it: its tokens, its normalisation, its classes in the order of its outputs."""

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from compressor.data.batches import Data, Split
from compressor.data.images import Normalise
from compressor.data.labels import Places, is_unnamed, listed
from compressor.data.lengths import tokenized
from compressor.data.same_samples import SameSamples
from compressor.errors import DataError
from compressor.models import ModelInfo, TokenizerSpec


def fitted(data: Data, info: ModelInfo) -> Data:
    """The same samples as a network sees them; itself where it sees them so already.

    Args:
        data: Of any origin.
        info: What the network's file says; where it says nothing, the data stays as it is.

    Raises:
        DataError: The network's classes or its mean and std can't be those of this data; names both.
    """
    return _ordered(_normalised(data.seen_by(info.tokenizer), info), info)


def outputs_by_class(have: Data, wanted: Data) -> list[int] | None:
    """Which outputs of the network that ``have`` was fitted to are ``wanted``'s classes; None for all, in order.

    Raises:
        DataError: Some have no output.
    """
    if have.classes == wanted.classes or not have.classes or not wanted.classes:
        return None
    places = Places(have.classes)
    found = [places.get(name) for name in wanted.classes]
    if None in found:
        raise _no_output(wanted.classes[found.index(None)], have.classes, "a teacher", wanted)
    known = [place for place in found if place is not None]
    return None if known == list(range(len(have.classes))) else known


@dataclass(frozen=True)
class Relabelled(SameSamples):
    """The samples of another split under other labels.

    Args:
        parent: Any split whose labels are classes.
        becomes: int64 (classes,), the label that each of the parent's becomes.
    """

    becomes: Tensor

    @property
    def labels(self) -> Tensor:
        """int64 as the parent's; those below 0, which are no classes, stay."""
        labels = self.parent.labels
        return torch.where(labels < 0, labels, self.becomes[labels.clamp(min=0)])

    def with_tokenizer(self, spec: TokenizerSpec) -> "Relabelled":
        """The same samples, tokenized otherwise."""
        return Relabelled(tokenized(self.parent, spec), self.becomes)


def _normalised(data: Data, info: ModelInfo) -> Data:
    spec = info.inputs[0] if info.inputs else None
    if data.normalise is None or spec is None or not spec.mean or not spec.std:
        return data
    channels = len(data.normalise.mean)
    if {len(spec.mean), len(spec.std)} - {1, channels}:
        raise DataError(
            f"{info.source or 'the network'} has mean and std for {max(len(spec.mean), len(spec.std))} channels, "
            f"'{data.source}' has {channels}",
            "data with as many channels",
        )
    own = Normalise(_spread(spec.mean, channels), _spread(spec.std, channels))
    if own == data.normalise:
        return data
    return replace(data, normalise=own, fingerprint=_digest(data, own))


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * channels if len(values) == 1 else values


def _ordered(data: Data, info: ModelInfo) -> Data:
    have, want = data.classes, info.classes
    if not have or not want or have == want:
        return data
    places = Places(want)
    found = [places.get(name) for name in have]
    occurring = sorted({label for split in _splits(data) for label in split.labels.unique().tolist() if label >= 0})
    if occurring and occurring[-1] >= len(have):
        raise DataError(
            f"'{data.source}' has label {occurring[-1]}, and names {len(have)} classes", "a name for each class"
        )
    lacking = [have[label] for label in occurring if found[label] is None]
    if lacking:
        # Names on one side alone: there is only the order to go by.
        if len(have) == len(want) and found == [None] * len(have) and (is_unnamed(have) or is_unnamed(want)):
            return _as_listed(data, want)
        raise _no_output(lacking[0], want, info.source or "the network", data)
    mapped = torch.tensor([-1 if place is None else place for place in found])
    train, validation, test = (Relabelled(split, mapped) for split in _splits(data))
    changed = replace(data, train=train, validation=validation, test=test, classes=want)
    if mapped.tolist() == list(range(len(have))):
        return replace(data, classes=want)
    return replace(changed, fingerprint=_digest(data, want))


def _splits(data: Data) -> tuple[Split, Split, Split]:
    return data.train, data.validation, data.test


def _as_listed(data: Data, want: tuple[str, ...]) -> Data:
    note = f"classes by their order alone, since the network's have no names: {_pairs(want, data.classes)}"
    return data if note in data.notes else replace(data, notes=(*data.notes, note))


def _pairs(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    return listed(tuple(f"{one} is '{other}'" for one, other in zip(ours, theirs, strict=True)))


def _no_output(name: str, classes: tuple[str, ...], source: str, data: Data) -> DataError:
    return DataError(
        f"{source} has {len(classes)} classes ({listed(classes)}), '{data.source}' has {len(data.classes)} "
        f"({listed(data.classes)}): none of the former is '{name}'",
        "data whose classes are called as the network's are, or compress train, for a network of the data's classes",
    )


def _digest(data: Data, seen: object) -> str:
    return hashlib.sha256(f"{data.fingerprint} {seen}".encode()).hexdigest()
