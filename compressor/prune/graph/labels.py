"""Labels of single channels, and which of them can only leave a network together."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Ids: TypeAlias = npt.NDArray[np.int64]


class Uniform:
    """An axis along which a tensor is constant, as after ``expand``: it fits channels of any number."""


UNIFORM = Uniform()
# Of an axis: its channels' labels; None where its length is not a network's to choose.
Axis: TypeAlias = "Ids | Uniform | None"
Axes: TypeAlias = tuple[Axis, ...]


@dataclass
class Labels:
    """Disjoint sets of labels (union by path), and why some of them have to stay."""

    parents: Ids = field(default_factory=lambda: np.zeros(0, np.int64))
    fixed: dict[int, str] = field(default_factory=dict)

    def fresh(self, count: int) -> Ids:
        """New labels, each alone."""
        start = len(self.parents)
        made = np.arange(start, start + count)
        self.parents = np.concatenate([self.parents, made])
        return made

    def roots(self, ids: Ids) -> Ids:
        """The one label that stands for each one's set."""
        found = self.parents[ids]
        while True:
            above = self.parents[found]
            if np.array_equal(above, found):
                self.parents[ids] = found
                return found
            found = above

    def unite(self, one: Ids, other: Ids) -> None:
        """Element by element: these leave together."""
        first, second = self.roots(one), self.roots(other)
        for here, there in zip(first[first != second].tolist(), second[first != second].tolist(), strict=True):
            top, below = self._root(here), self._root(there)
            self.parents[max(top, below)] = min(top, below)

    def fold(self, ids: Ids, axis: int, shape: tuple[int, ...]) -> Ids:
        """Unite labels that lie on a grid of ``shape`` over all its axes but one; the labels along that."""
        lines = np.moveaxis(ids.reshape(shape), axis, -1).reshape(-1, shape[axis])
        for line in lines[1:]:
            self.unite(lines[0], line)
        first: Ids = lines[0]
        return first

    def fix(self, axis: Any, reason: str) -> None:
        """These stay, for this reason; the first one said of a set counts."""
        if isinstance(axis, np.ndarray):
            for root in np.unique(self.roots(axis)).tolist():
                self.fixed.setdefault(root, reason)

    def reasons(self) -> dict[int, str]:
        """Why sets stay, by their roots."""
        found: dict[int, str] = {}
        for label, reason in self.fixed.items():
            found.setdefault(self._root(label), reason)
        return found

    def _root(self, label: int) -> int:
        while (above := int(self.parents[label])) != label:
            label = above
        return label

    def match(self, axes: list[Axis], reason: str) -> Axis:
        """What several axes of one length have in common: they are united, and fixed where one of them is."""
        known = [axis for axis in axes if not isinstance(axis, Uniform)]
        if not known:
            return UNIFORM if axes else None
        labelled = [axis for axis in known if axis is not None]
        for axis in labelled[1:]:
            self.unite(labelled[0], axis)
        if len(labelled) < len(known):
            for axis in labelled:
                self.fix(axis, reason)
            return None
        return labelled[0]
