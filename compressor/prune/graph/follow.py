"""A cut that the network's own code can follow: tried, and where it can't be, channels are left whole."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from compressor.errors import PlanError
from compressor.prune.graph.cut import Binding, blanked, cut, stays
from compressor.prune.graph.groups import Group, Mask, Ranking, groups_of
from compressor.prune.graph.labels import Axis, Ids, Uniform
from compressor.prune.graph.trace import Step, Trace, Watching, operator_name, plainly, tensors_in

# Numbers in modules are looked for at so many places; after that what can't follow is left whole at once.
PLACES = 40
TRIALS = 6
NEAR = 4
CLOSE = 1e-3
# Operators whose sizes the code names, so that the same line means the same in every block.
WRITTEN = frozenset(["view", "_unsafe_view", "reshape", "slice", "split", "split_with_sizes", "expand", "repeat"])


class _FailedError(Exception):
    """The cut network went another way than the whole one."""


class _Checking(Watching):
    """Compares every operator of a cut network's call with the whole one's."""

    def __init__(self, module: nn.Module, trace: Trace, gone: Mask) -> None:
        super().__init__(module)
        self._trace, self._gone = trace, gone
        self.step = 0

    def before(self, func: Any, args: Any, kwargs: Any) -> None:
        """The same operator must come next."""
        name = operator_name(func)
        if self.step >= len(self._trace.steps) or self._trace.steps[self.step].name != name:
            raise _FailedError(f"{name} is called there once it has fewer channels")

    def seen(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Its outputs must be those channels that stay."""
        step = self._trace.steps[self.step]
        for tensor, axes, shape in zip(tensors_in([out]), step.outputs, step.shapes, strict=True):
            wanted = tuple(
                size if not isinstance(axis, np.ndarray) else int(stays(self._trace, axis, self._gone).sum())
                for axis, size in zip(axes, shape, strict=True)
            )
            free = [isinstance(axis, Uniform) for axis in axes]
            if any(a != b and not any_size for a, b, any_size in zip(tensor.shape, wanted, free, strict=True)):
                raise _FailedError(f"makes {list(tensor.shape)} of it, not {list(wanted)}")
        if step.bounds is not None:
            self._check_slice(step, args)
        self.step += 1

    def _check_slice(self, step: Step, args: Any) -> None:
        assert step.bounds is not None
        dim, start, end, stride = step.bounds
        axis = step.inputs[0][dim]
        if isinstance(axis, np.ndarray):
            old = np.flatnonzero(stays(self._trace, axis, self._gone))
            wanted = np.intersect1d(old, np.arange(start, end, stride))
            given = slice(*(args[at] if len(args) > at else None for at in (2, 3, 4)))
            if not np.array_equal(old[given], wanted):
                raise _FailedError("takes other channels")


@dataclass
class Followed:
    """What the network's own code can follow.

    Args:
        trace: Of the whole network, with what can't be followed fixed.
        bindings: Numbers in modules that go with it.
    """

    trace: Trace
    bindings: list[Binding] = field(default_factory=list)


def cut_to(
    module: nn.Module,
    example_inputs: tuple[Tensor, ...],
    found: Followed,
    ranking: Ranking,
    *,
    ratio: float,
    scope: str,
    round_to: int,
) -> Mask:
    """Cut a network in place so that its own code runs; what stands in the way is fixed in ``found``."""
    trace = found.trace
    places = PLACES
    with plainly(module):
        while True:
            groups = groups_of(trace)
            gone = ranking.removed(groups, ratio, scope, round_to)
            undo = cut(module, trace, gone, found.bindings)
            at, why = _first_failure(module, example_inputs, trace, gone)
            if why is None:
                undo.restore()
                wrong = _changed(module, example_inputs, found, gone, groups)
                if not wrong:
                    cut(module, trace, gone, found.bindings)
                    return gone
                for group in wrong:
                    trace.labels.fix(group.roots, "gives other values without them, for a reason that isn't known")
                continue
            undo.restore()
            if not gone.any():
                raise PlanError(
                    f"{type(module).__name__} can't be pruned: its calls are not alike from one to the next ({why})",
                    "--without prune",
                )
            more = _bindings(module, example_inputs, found, gone, at) if places else []
            found.bindings += more
            places = max(0, places - 1)
            if not more:
                _fix(trace, gone, at, why)


def _first_failure(
    module: nn.Module, example_inputs: tuple[Tensor, ...], trace: Trace, gone: Mask
) -> tuple[int, str | None]:
    """At which operator a cut network fails, and why; None where it runs as the whole one does."""
    mode = _Checking(module, trace, gone)
    module.eval()
    try:
        with mode:
            module(*example_inputs)
    except Exception as error:
        return mode.step, str(error).strip().partition("\n")[0][:200] or type(error).__name__
    return mode.step, None if mode.step == len(trace.steps) else "it ends earlier"


def _sizes(trace: Trace, step: Step, gone: Mask) -> dict[tuple[Any, ...], Ids]:
    """The axes of an operator's call that are shorter now, by their place in it."""
    found: dict[tuple[Any, ...], Ids] = {}
    for side, tensors in (("out", step.outputs), ("in", step.inputs)):
        for number, axes in enumerate(tensors):
            for at, axis in enumerate(axes):
                if isinstance(axis, np.ndarray):
                    found[side, number, at] = axis
    if step.bounds is not None:
        dim, start, end, _ = step.bounds
        axis = step.inputs[0][dim]
        if isinstance(axis, np.ndarray):
            found["start",], found["end",] = axis[:start], axis[:end]
    return {key: axis for key, axis in found.items() if not stays(trace, axis, gone).all()}


def _bindings(
    module: nn.Module, example_inputs: tuple[Tensor, ...], found: Followed, gone: Mask, at: int
) -> list[Binding]:
    """Numbers in the modules under way that equal a size there, and let the call go on when they follow it."""
    trace = found.trace
    if at >= len(trace.steps):
        return []
    step = trace.steps[at]
    sizes = _sizes(trace, step, gone)
    bound = {(binding.path, binding.attribute, binding.key) for binding in found.bindings}
    for path in step.place.modules[:NEAR]:
        candidates = [
            (key, Binding(path, attribute, where, axis))
            for attribute, where, value in _numbers(module.get_submodule(path))
            for key, axis in sizes.items()
            if value == len(axis) and (path, attribute, where) not in bound
        ]
        first: dict[tuple[str, Any], tuple[Any, Binding]] = {}
        for key, binding in candidates:
            first.setdefault((binding.attribute, binding.key), (key, binding))
        tries = [list(first.values())] if len(first) > 1 else []
        tries += [[candidate] for candidate in candidates]
        for trial in tries[:TRIALS]:
            undo = cut(module, trace, gone, [*found.bindings, *(binding for _, binding in trial)])
            reached, why = _first_failure(module, example_inputs, trace, gone)
            undo.restore()
            if why is None or reached > at:
                return _everywhere(module, trace, gone, step, path, trial, bound)
    return []


def _everywhere(
    module: nn.Module,
    trace: Trace,
    gone: Mask,
    step: Step,
    path: str,
    trial: list[tuple[Any, Binding]],
    bound: set[tuple[Any, ...]],
) -> list[Binding]:
    """The same numbers of all modules of this kind that call the same line."""
    kind, depth = type(module.get_submodule(path)), step.place.modules.index(path)
    found: dict[tuple[Any, ...], Binding] = {}
    for other in trace.steps:
        if (other.name, other.place.line) != (step.name, step.place.line) or len(other.place.modules) <= depth:
            continue
        there = other.place.modules[depth]
        if type(module.get_submodule(there)) is not kind:
            continue
        sizes, numbers = _sizes(trace, other, gone), _numbers(module.get_submodule(there))
        for key, binding in trial:
            axis = sizes.get(key)
            name = (there, binding.attribute, binding.key)
            if axis is not None and name not in bound and (*name[1:], len(axis)) in numbers:
                found.setdefault(name, Binding(*name, axis))
    for _, binding in trial:
        found.setdefault((binding.path, binding.attribute, binding.key), binding)
    return list(found.values())


def _numbers(module: nn.Module) -> list[tuple[str, int | str | None, int]]:
    """Whole numbers in a module's own attributes, in lists and dicts too."""
    found: list[tuple[str, int | str | None, int]] = []
    for attribute, value in vars(module).items():
        if attribute.startswith("_"):
            continue
        items: list[tuple[Any, Any]] = [(None, value)]
        if isinstance(value, dict):
            items = [(key, item) for key, item in value.items() if isinstance(key, str)]
        elif type(value) in (list, tuple) and all(type(item) is int for item in value):
            items = list(enumerate(value))
        found += [(attribute, key, item) for key, item in items if type(item) is int]
    return found


def _fix(trace: Trace, gone: Mask, at: int, why: str) -> None:
    """Leave whole what the operator there reads and makes, or else what the modules around it do."""
    step = trace.steps[min(at, len(trace.steps) - 1)]
    reason = f"{step.name} in {step.place.said} can't follow: {why}"
    alike = [step]
    if step.place.line and step.name in WRITTEN:
        alike = [other for other in trace.steps if (other.name, other.place.line) == (step.name, step.place.line)]
    if _fix_steps(trace, gone, alike, reason):
        return
    for path in step.place.modules:
        inside = [other for other in trace.steps if path in other.place.modules]
        if _fix_steps(trace, gone, inside, reason):
            return
    _fix_steps(trace, gone, trace.steps, reason)
    for axes in trace.tensors.values():
        for axis in axes:
            trace.labels.fix(axis, reason)


def _fix_steps(trace: Trace, gone: Mask, steps: list[Step], reason: str) -> bool:
    axes: list[Axis] = [axis for step in steps for axis in _sizes(trace, step, gone).values()]
    for axis in axes:
        trace.labels.fix(axis, reason)
    return bool(axes)


def _changed(
    module: nn.Module, example_inputs: tuple[Tensor, ...], found: Followed, gone: Mask, groups: list[Group]
) -> list[Group]:
    """The groups whose removal gives other values than setting them to zero does; none, where that can't be said."""
    trace = found.trace
    over = np.zeros(len(gone), bool)
    for axis in trace.blurred:
        if isinstance(axis, np.ndarray):
            over[trace.labels.roots(axis)] = True
    taken = [group for group in groups if gone[group.roots].any() and not over[group.roots].any()]

    def differ(some: list[Group]) -> bool:
        part = np.zeros_like(gone)
        for group in some:
            part[group.roots] = gone[group.roots]
        part = part[trace.labels.roots(np.arange(len(part)))]
        results = []
        for blank in (True, False):
            undo = blanked(module, trace, part) if blank else cut(module, trace, part, found.bindings)
            module.eval()
            try:
                results.append([out.detach().clone() for out in tensors_in(module(*example_inputs))])
            except Exception:
                return False
            finally:
                undo.restore()
        return not all(_close(one, other) for one, other in zip(*results, strict=True))

    def search(some: list[Group]) -> list[Group]:
        if not some or not differ(some):
            return []
        if len(some) == 1:
            return some
        half = len(some) // 2
        return search(some[:half]) + search(some[half:]) or some

    return search(taken)


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or not one.is_floating_point():
        return one.shape == other.shape
    scale = max(1.0, float(one.abs().nan_to_num().max())) if one.numel() else 1.0
    return bool(torch.allclose(one, other, rtol=0, atol=CLOSE * scale, equal_nan=True))
