"""Which labels there are: their names and order, and samples that have none."""

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

# The label of a training sample that has none; where labels are numbers to be met, nan.
UNLABELED = -1
# The label of a word that isn't there, as torch's cross-entropy has it by default.
IGNORED = -100
# What transformers calls classes that nobody named, before their number.
UNNAMED = "LABEL_"
_NUMBER = re.compile(rf"(?:{UNNAMED})?(-?[0-9]{{1,18}})(?:\.0*)?")
T = TypeVar("T")


def labelled(labels: Tensor) -> Tensor:
    """Which samples have a label, bool (N,), of labels int64 (N,) or (N, words), or float (N,)."""
    if labels.is_floating_point():
        return ~labels.isnan()
    known = labels != UNLABELED
    return known.all(dim=1) if labels.dim() == 2 else known


def joined(first: Tensor, second: Tensor) -> Tensor:
    """The labels of two splits one after the other, where the second may have none."""
    if first.is_floating_point() and not second.is_floating_point():
        second = torch.where(labelled(second), second.to(first.dtype), torch.nan)
    return torch.cat(widened((first, second), IGNORED))


def widened(rows: Collection[Tensor], filled_with: int) -> list[Tensor]:
    """Values (N, words) of several splits, all as wide as the widest; others as they are."""
    if any(one.dim() != 2 for one in rows):
        return list(rows)
    widest = max(one.shape[1] for one in rows)
    return [functional.pad(one, (0, widest - one.shape[1]), value=filled_with) for one in rows]


def label_name(value: object) -> str:
    """What a table's label is called: 1.0 is 1."""
    whole = isinstance(value, float) and math.isfinite(value) and value.is_integer()
    return str(int(value) if whole else value).strip()  # type: ignore[call-overload]


def number_in(name: str) -> int | None:
    """The whole number that a class name is, of ``2``, ``2.0`` and ``LABEL_2`` alike; None for other names."""
    found = _NUMBER.fullmatch(name)
    return int(found[1]) if found else None


class Places:
    """At which of a network's outputs a class of the data is found.

    By its name, written in the same way or as the same number; a number is the place itself where the network's classes
    have other names. A name that two outputs have is none.

    Args:
        classes: The network's, in the order of its outputs.
    """

    def __init__(self, classes: tuple[str, ...]) -> None:
        numbers = [number_in(name) for name in classes]
        self._named = _unique(classes)
        self._numbered = _unique([number for number in numbers if number is not None])
        if not self._numbered:
            self._numbered = {place: place for place in range(len(classes))}
        elif None in numbers:
            # Numbers among names: which of the two a number would mean can't be told.
            self._numbered = {}

    def get(self, name: str) -> int | None:
        """The place, None where there is no such class."""
        found = self._named.get(name)
        number = number_in(name)
        return self._numbered.get(number) if found is None and number is not None else found


def _unique(values: Sequence[T]) -> dict[T, int]:
    often = Counter(values)
    return {value: place for place, value in enumerate(values) if often[value] == 1}


def class_names(labels: Collection[str], model: tuple[str, ...], declared: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Class names by label: the model's where it has all of the data's, else the data's own.

    Args:
        labels: Those that occur.
        model: What the model calls its classes.
        declared: Names that the data gives itself, in its order: all of them where the model has as many classes, else
            those that occur. Without any, numbers are put by size, other names by spelling.
    """
    found = set(labels)
    places = Places(model)
    if all(places.get(label) is not None for label in found):
        return model
    if found <= set(declared):
        return declared if len(declared) == len(model) else tuple(name for name in declared if name in found)
    numbers = {label: _plain_number(label) for label in found}
    if None in numbers.values():
        return tuple(sorted(found))
    by_size = {number: label for label, number in sorted(numbers.items(), key=lambda one: (one[1] or 0, len(one[0])))}
    # The same number written in two ways is one class.
    return tuple(by_size.values()) if len(by_size) == len(found) else tuple(map(str, by_size))


def _plain_number(name: str) -> int | None:
    return None if name.startswith(UNNAMED) else number_in(name)


def unnamed(count: int) -> tuple[str, ...]:
    """What transformers calls classes that nobody named."""
    return tuple(f"{UNNAMED}{place}" for place in range(count))


def is_unnamed(classes: tuple[str, ...]) -> bool:
    """Whether these are the numbers of a network's outputs, and no names."""
    return [number_in(name) for name in classes] == list(range(len(classes)))


def listed(classes: tuple[str, ...], shown: int = 5) -> str:
    """Class names for a message: all, or the first."""
    return ", ".join(classes[:shown]) + (", ..." if len(classes) > shown else "")
