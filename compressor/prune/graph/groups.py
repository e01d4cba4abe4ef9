"""Groups of channels that leave together, ranked: which of them go."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from compressor.prune.graph.labels import Ids
from compressor.prune.graph.trace import Trace, named_tensors
from compressor.prune.importance import BY_GRADIENTS, Importance, importance_of, lamp

HIGHEST_PER_GROUP = 0.9
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """Sets of channels that lie in the same tensors, so that any of them can go.

    Args:
        roots: Their labels, one a set.
        unit: How many channels of a layer each set has, at the least.
        tensors: Names of the parameters they lie in.
    """

    roots: Ids
    unit: int
    tensors: tuple[str, ...]


def groups_of(trace: Trace) -> list[Group]:
    """All groups of which something could go, in the network's order."""
    labels = trace.labels
    fixed = np.array(sorted(labels.reasons()), np.int64)
    made = [np.unique(labels.roots(axis)) for axis in trace.made if isinstance(axis, np.ndarray)]
    starts = np.setdiff1d(np.unique(np.concatenate(made)) if made else np.zeros(0, np.int64), fixed)
    where: dict[int, list[tuple[str, int, int]]] = {int(root): [] for root in starts}
    for name, axes in trace.tensors.items():
        for at, axis in enumerate(axes):
            if isinstance(axis, np.ndarray):
                roots, counts = np.unique(labels.roots(axis), return_counts=True)
                for root, count in zip(roots.tolist(), counts.tolist(), strict=True):
                    if root in where:
                        where[root].append((name, at, count))
    alike: dict[tuple[tuple[str, int, int], ...], list[int]] = {}
    for root, places in where.items():
        alike.setdefault(tuple(places), []).append(root)
    return [
        Group(np.array(roots), _unit(places), tuple(name for name, _, _ in places))
        for places, roots in alike.items()
        if places
    ]


def _unit(places: tuple[tuple[str, int, int], ...]) -> int:
    """Of a grouped convolution's inputs a set has one in each group: its outputs say how many there are."""
    rows = [count for _, at, count in places if at == 0]
    return min(rows or [count for _, _, count in places])


class Ranking:
    """What each channel counts, measured once on the whole network.

    - ``magnitude``: squared weights of a channel, the mean over all coupled layers (https://arxiv.org/abs/1608.08710);
    - ``taylor``: ``|weight * gradient|``, the first-order change of the loss (https://arxiv.org/abs/1906.10771);
    - ``kd-taylor``, ``fisher``, ``hessian``: the same of the teachers' loss, or to second order: ``importance_of``;
    - ``bn-scale``: BatchNorm's gamma (https://arxiv.org/abs/1708.06519), magnitude where a group has none;
    - ``lamp``: squared weights over those of the layer's larger channels, which layers can be compared by
      (https://arxiv.org/abs/2010.07611); within one layer that is magnitude;
    - ``random``: the control;
    - a mapping from weights' names: what each of their inputs counts, magnitude where nothing of a group is in it.
    """

    def __init__(
        self, module: nn.Module, trace: Trace, importance: Importance | Mapping[str, Tensor], seed: int
    ) -> None:
        self._trace, self._importance, self._seed = trace, importance, seed
        self._values: list[tuple[Ids, npt.NDArray[np.float64]]] = []
        self._scales: list[tuple[Ids, npt.NDArray[np.float64]]] = []
        norms = {
            f"{path}.weight" if path else "weight"
            for path, child in module.named_modules()
            if isinstance(child, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 - no public name for all of them
        }
        tensors = named_tensors(module)
        by: Importance = importance if isinstance(importance, str) and importance in BY_GRADIENTS else "magnitude"
        for name, axes in trace.tensors.items():
            tensor = tensors[name]
            if not isinstance(tensor, nn.Parameter) or (by in BY_GRADIENTS and tensor.grad is None):
                continue
            for at, axis in enumerate(axes):
                if isinstance(axis, np.ndarray):
                    values = _along(importance_of(tensor, by), at)
                    self._values.append((axis, values))
                    if isinstance(importance, Mapping):
                        if at == 1 and name in importance:
                            self._scales.append((axis, importance[name].double().cpu().numpy()))
                    elif importance == "lamp":
                        if tensor.dim() > 1:
                            self._scales.append((axis, lamp(values)))
                    elif name in norms:
                        self._scales.append((axis, values))

    def removed(self, groups: list[Group], ratio: float, scope: str, round_to: int) -> Mask:
        """For every label whether it goes: the least of each group, or of all groups together."""
        gone = np.zeros(len(self._trace.labels.parents), bool)
        scores = self._scores(groups)
        counts = [_least(group, len(group.roots) * (1 - ratio), round_to) for group in groups]
        if scope == "global" and groups:
            # Those of LAMP are made to be compared as they are.
            scales = [1.0 if self._importance == "lamp" else max(one.mean(), 1e-30) for one in scores]
            relative = [values / scale for values, scale in zip(scores, scales, strict=True)]
            counts = _over_all(groups, relative, ratio, round_to)
        for group, values, count in zip(groups, scores, counts, strict=True):
            gone[group.roots[np.argsort(values, kind="stable")[: len(group.roots) - count]]] = True
        return gone[self._trace.labels.roots(np.arange(len(gone)))]

    def lost(self, groups: list[Group], gone: Mask) -> float:
        """How much the ranking says that the channels that go are missed: what they count, in every tensor they lie in.

        A ranking needs the mean over these tensors, a change of the loss is their sum.
        """
        _, places = self._sums(self._values)
        counted = [values * places[group.roots] for group, values in zip(groups, self._scores(groups), strict=True)]
        return sum((float(one[gone[group.roots]].sum()) for group, one in zip(groups, counted, strict=True)), 0.0)

    def _scores(self, groups: list[Group]) -> list[npt.NDArray[np.float64]]:
        if self._importance == "random":
            chance = torch.Generator().manual_seed(self._seed)
            return [torch.rand(len(group.roots), generator=chance).numpy().astype(np.float64) for group in groups]
        plain = self._means(self._values)
        by_scales = not isinstance(self._importance, str) or self._importance in ("bn-scale", "lamp")
        scales = self._means(self._scales) if by_scales else plain
        return [plain[group.roots] if np.isnan(scales[group.roots]).any() else scales[group.roots] for group in groups]

    def _means(self, entries: list[tuple[Ids, npt.NDArray[np.float64]]]) -> npt.NDArray[np.float64]:
        total, count = self._sums(entries)
        with np.errstate(invalid="ignore"):
            return total / count

    def _sums(
        self, entries: list[tuple[Ids, npt.NDArray[np.float64]]]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        size = len(self._trace.labels.parents)
        total, count = np.zeros(size), np.zeros(size)
        for axis, values in entries:
            roots = self._trace.labels.roots(axis)
            np.add.at(total, roots, values)
            count[np.unique(roots)] += 1
        return total, count


def _along(values: Tensor, axis: int) -> npt.NDArray[np.float64]:
    lines = values.movedim(axis, 0).flatten(1).sum(1) if values.dim() > 1 else values
    found: npt.NDArray[np.float64] = lines.double().cpu().numpy()
    return found


def _least(group: Group, wanted: float, round_to: int) -> int:
    """How many sets stay: the nearest number that makes multiples of channels, and never none."""
    step = round_to // gcd(round_to, group.unit)
    while group.unit > 1 and step >= len(group.roots) > 1:
        # Of 13 groups of 8 channels no fewer in each would make a multiple of 8.
        step //= 2
    step = max(1, step)
    return min(len(group.roots), max(1, round(wanted / step)) * step)


def _over_all(groups: list[Group], scores: list[npt.NDArray[np.float64]], ratio: float, round_to: int) -> list[int]:
    """How many sets of each group stay where all are ranked together."""
    relative = np.concatenate(scores)
    units = np.concatenate([np.full(len(group.roots), group.unit) for group in groups])
    owner = np.concatenate([np.full(len(group.roots), at) for at, group in enumerate(groups)])
    order = np.argsort(relative, kind="stable")
    gone = order[np.cumsum(units[order]) <= ratio * units.sum() + 1e-9]
    lost = np.bincount(owner[gone], minlength=len(groups))
    return [
        _least(group, max(len(group.roots) - count, len(group.roots) * (1 - HIGHEST_PER_GROUP)), round_to)
        for group, count in zip(groups, lost.tolist(), strict=True)
    ]
