"""How operators that cut tensors up and join them carry channels' labels: slice, split, concatenate, pad, index."""

from collections.abc import Callable
from typing import Any

import numpy as np

from compressor.prune.graph.labels import Axes, Axis


def _slice(call: Any) -> list[Axes]:
    source, dim = call.argument("self"), call.argument("dim")
    axes = list(call.axes(source))
    dim %= len(axes)
    size = source.shape[dim]
    start, end, step = slice(call.argument("start"), call.argument("end"), call.argument("step")).indices(size)
    call.bounds = dim, start, end, step
    axis = axes[dim]
    if isinstance(axis, np.ndarray) and (start, end, step) != (0, size, 1):
        length = end - start
        if step == 1 and length and size % length == 0 and start % length == 0:
            # A half or a third, which code says as a share: all have to stay as long as one another.
            call.labels.fold(axis, 1, (size // length, length))
        axes[dim] = axis[start:end:step]
    return [tuple(axes)]


def _split(call: Any) -> list[Axes]:
    source, dim = call.argument("self"), call.argument("dim")
    before = call.axes(source)
    dim %= len(before)
    lengths = [tensor.shape[dim] for tensor in call.outputs]
    axis = before[dim]
    if isinstance(axis, np.ndarray) and len(set(lengths)) == 1 and len(lengths) > 1:
        call.labels.fold(axis, 1, (len(lengths), lengths[0]))
    found = []
    start = 0
    for length in lengths:
        part = axis[start : start + length] if isinstance(axis, np.ndarray) else axis
        found.append((*before[:dim], part, *before[dim + 1 :]))
        start += length
    return found


def _glu(call: Any) -> list[Axes]:
    axes = list(call.axes(call.argument("self")))
    dim = call.argument("dim")
    axis = axes[dim]
    if isinstance(axis, np.ndarray):
        axes[dim] = call.labels.fold(axis, 1, (2, len(axis) // 2))
    return [tuple(axes)]


def _picked(call: Any) -> list[Axes]:
    """``select`` and ``unbind``: one place of an axis, which therefore stays as it is."""
    axes = list(call.axes(call.argument("self")))
    call.fix(axes.pop(call.argument("dim")))
    return [tuple(axes) for _ in call.outputs]


def _joined(call: Any) -> list[Axes]:
    tensors = [tensor for tensor in call.argument("tensors") if tensor.numel() or tensor.dim() > 1]
    dim = call.argument("dim") % call.outputs[0].dim()
    every = [call.axes(tensor) for tensor in tensors]
    if call.name == "stack":
        common: list[Axis] = [call.match(*axes) for axes in zip(*every, strict=True)]
        return [(*common[:dim], None, *common[dim:])]
    result: list[Axis] = []
    for at, axes in enumerate(zip(*every, strict=True)):
        result.append(call.match(*axes) if at != dim else _row(call, axes, [tensor.shape[at] for tensor in tensors]))
    return [tuple(result)]


def _row(call: Any, axes: tuple[Axis, ...], sizes: list[int]) -> Axis:
    if not any(isinstance(axis, np.ndarray) for axis in axes):
        return None
    parts = []
    for axis, size in zip(axes, sizes, strict=True):
        if isinstance(axis, np.ndarray):
            parts.append(axis)
        else:
            parts.append(call.labels.fresh(size))
            call.labels.fix(parts[-1], f"is joined with a tensor of a size of its own ({call.where})")
    return np.concatenate(parts)


def _padded(call: Any) -> list[Axes]:
    axes = list(call.axes(call.argument("self")))
    pad = call.argument("pad")
    for back in range(len(pad) // 2):
        before, after = pad[2 * back : 2 * back + 2]
        axis = axes[-1 - back]
        if isinstance(axis, np.ndarray) and (before or after) and min(before, after) >= 0:
            axes[-1 - back] = _row(call, (None, axis, None), [before, len(axis), after])
        elif before or after:
            call.fix(axis)
            axes[-1 - back] = None
    return [tuple(axes)]


def _rolled(call: Any) -> list[Axes]:
    axes = list(call.axes(call.argument("self")))
    dims = call.argument("dims")
    for dim in dims or range(len(axes)):
        axis = axes[dim]
        if call.name == "flip" and isinstance(axis, np.ndarray):
            axes[dim] = axis[::-1].copy()
        else:
            call.fix(axis)
            axes[dim] = None
    return [tuple(axes)]


def _indexed(call: Any) -> list[Axes] | None:
    source, places = call.argument("self"), call.argument("indices")
    axes = call.axes(source)
    used = [at for at, place in enumerate(places) if place is not None]
    call.fix(*(axes[at] for at in used))
    ranks = {place.dim() for place in places if place is not None}
    if any(place is not None and str(place.dtype) in ("torch.bool", "torch.uint8") for place in places):
        return None
    if not used or used != list(range(used[0], used[-1] + 1)):
        return None
    return [(*axes[: used[0]], *(None,) * max(ranks), *axes[used[-1] + 1 :])]


def _chosen(call: Any) -> list[Axes]:
    axes = list(call.axes(call.argument("self")))
    call.fix(axes[call.argument("dim")])
    axes[call.argument("dim")] = None
    return [tuple(axes)]


RULES: dict[str, Callable[[Any], list[Axes] | None]] = {
    "slice": _slice,
    **dict.fromkeys(("split", "unsafe_split", "split_with_sizes", "unsafe_split_with_sizes"), _split),
    "glu": _glu,
    **dict.fromkeys(("select", "unbind"), _picked),
    **dict.fromkeys(("cat", "stack"), _joined),
    "constant_pad_nd": _padded,
    **dict.fromkeys(("roll", "flip"), _rolled),
    "index": _indexed,
    "index_select": _chosen,
}
