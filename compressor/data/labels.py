"""Which labels there are: their names and order, and samples that have none."""

from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional

# The label of a training sample that has none; where labels are numbers to be met, nan.
UNLABELED = -1
# The label of a word that isn't there, as torch's cross-entropy has it by default.
IGNORED = -100


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
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def class_names(labels: Collection[str], model: tuple[str, ...], declared: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Class names by label: the model's where it has all of the data's, else the data's own.

    Args:
        labels: Those that occur.
        model: What the model calls its classes.
        declared: Names that the data gives itself, in its order: all of them where the model has as many classes, else
            those that occur. Without any, numbers are put by size, other names by spelling.
    """
    found = set(labels)
    if found <= set(model):
        return model
    numbers = all(label.lstrip("-").isdigit() for label in found)
    if numbers and model and {int(label) for label in found} <= set(range(len(model))):
        return model
    if found <= set(declared):
        return declared if len(declared) == len(model) else tuple(name for name in declared if name in found)
    return tuple(sorted(found, key=int) if numbers else sorted(found))


def class_places(classes: tuple[str, ...]) -> dict[str, int]:
    """Labels by name; numbers are places where the model's classes have names of their own."""
    places = {name: place for place, name in enumerate(classes)}
    return places | {str(place): place for place in range(len(classes)) if str(place) not in places}


def unnamed(count: int) -> tuple[str, ...]:
    """What transformers calls classes that nobody named."""
    return tuple(f"LABEL_{place}" for place in range(count))


def listed(classes: tuple[str, ...], shown: int = 5) -> str:
    """Class names for a message: all, or the first."""
    return ", ".join(classes[:shown]) + (", ..." if len(classes) > shown else "")
