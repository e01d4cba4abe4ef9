"""How operators that only move values carry channels' labels: reshape, permute, cut, join."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from compressor.prune.graph.labels import UNIFORM, Axes, Axis, Labels, Uniform


def repeated(axis: Axis, times: int) -> Axis:
    """Each channel so often in a row."""
    return np.repeat(axis, times) if isinstance(axis, np.ndarray) else axis


def folded(labels: Labels, axis: Axis, shape: tuple[int, ...], along: int) -> Axis:
    """The labels along one axis of a grid, after uniting over the others."""
    return labels.fold(axis, along, shape) if isinstance(axis, np.ndarray) else axis


def _blocks(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Which axes of a reshape belong together: the finest runs of equal products."""
    blocks: list[tuple[list[int], list[int]]] = []
    at, to = 0, 0
    while at < len(old) or to < len(new):
        left, right = ([at], [to]) if at < len(old) and to < len(new) else ([], [])
        size, wanted = (old[at], new[to]) if left else (1, 1)
        at, to = (at + 1, to + 1) if left else (at, to)
        while size != wanted:
            if size < wanted:
                size, at = size * old[at], at + 1
                left.append(at - 1)
            else:
                wanted, to = wanted * new[to], to + 1
                right.append(to - 1)
        if not left:
            left, right = list(range(at, len(old))), list(range(to, len(new)))
            at, to = len(old), len(new)
        blocks.append((left, right))
    return blocks


def _reshape(call: Any) -> list[Axes] | None:
    source = call.argument("self")
    old, axes, new = tuple(source.shape), call.axes(source), tuple(call.outputs[0].shape)
    if len(new) and 0 in new:
        return None
    # Axes of one element carry nothing, and only confuse which runs belong together.
    old_at = [at for at, size in enumerate(old) if size > 1]
    new_at = [at for at, size in enumerate(new) if size > 1]
    result: list[Axis] = [UNIFORM] * len(new)
    for at in range(len(new)):
        if new[at] == 1:
            result[at] = None
    for left, right in _blocks(tuple(old[at] for at in old_at), tuple(new[at] for at in new_at)):
        sizes = tuple(new[new_at[to]] for to in right)
        for to, axis in zip(right, _block(call, [axes[old_at[at]] for at in left],
                                          tuple(old[old_at[at]] for at in left), sizes), strict=True):
            result[new_at[to]] = axis
    return [tuple(result)]


def _block(call: Any, axes: list[Axis], old: tuple[int, ...], new: tuple[int, ...]) -> list[Axis]:
    if old == new:
        return axes
    labelled = [at for at, axis in enumerate(axes) if isinstance(axis, np.ndarray)]
    if not labelled:
        alike = bool(axes) and all(isinstance(axis, Uniform) for axis in axes)
        return [UNIFORM if alike else None] * len(new)
    most = max(labelled, key=lambda at: (len(np.unique(call.labels.roots(axes[at]))), old[at]))
    call.fix(*(axes[at] for at in labelled if at != most))
    here = axes[most]
    assert isinstance(here, np.ndarray)
    shape = [1] * len(old)
    shape[most] = old[most]
    flat = np.broadcast_to(here.reshape(shape), old).reshape(new)
    roots = call.labels.roots(flat.ravel()).reshape(new)
    # The axis along which alone they differ; else the longest, over the others of which they are united.
    free = [at for at in range(len(new)) if (np.moveaxis(roots, at, -1).reshape(-1, new[at])[0] == np.moveaxis(
        roots, at, -1)).all()]
    along = max(free or range(len(new)), key=lambda at: new[at])
    kept = call.labels.fold(np.ascontiguousarray(flat).ravel(), along, new)
    return [kept if at == along else None for at in range(len(new))]


def _permute(call: Any) -> list[Axes]:
    axes = call.axes(call.argument("self"))
    return [tuple(axes[at] for at in call.argument("dims"))]


def _transpose(call: Any) -> list[Axes]:
    axes = list(call.axes(call.argument("self")))
    one, other = (0, 1) if call.name in ("t", "t_") else (call.argument("dim0"), call.argument("dim1"))
    if len(axes) > 1:
        axes[one], axes[other] = axes[other], axes[one]
    return [tuple(axes)]


def _unsqueeze(call: Any) -> list[Axes]:
    axes = list(call.axes(call.argument("self")))
    axes.insert(call.argument("dim") % (len(axes) + 1), None)
    return [tuple(axes)]


def _squeeze(call: Any) -> list[Axes]:
    source, dims = call.argument("self"), call.argument("dim")
    every = range(source.dim()) if dims is None else [dims] if isinstance(dims, int) else dims
    gone = {dim % max(1, source.dim()) for dim in every}
    axes = call.axes(source)
    return [tuple(axis for at, axis in enumerate(axes) if not (at in gone and source.shape[at] == 1))]


def _expand(call: Any) -> list[Axes]:
    source, out = call.argument("self"), call.outputs[0]
    axes: list[Axis] = [UNIFORM] * out.dim()
    for back, axis in enumerate(reversed(call.axes(source)), start=1):
        if source.shape[-back] == out.shape[-back]:
            axes[-back] = axis
    return [tuple(axes)]


def _repeat(call: Any) -> list[Axes]:
    source, times = call.argument("self"), call.argument("repeats")
    old = (UNIFORM,) * (len(times) - source.dim()) + call.axes(source)
    sizes = (1,) * (len(times) - source.dim()) + tuple(source.shape)
    return [
        tuple(
            UNIFORM if size == 1 and count > 1 else np.tile(axis, count) if isinstance(axis, np.ndarray) else axis
            for axis, size, count in zip(old, sizes, times, strict=True)
        )
    ]


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


def _pixels(call: Any) -> list[Axes]:
    source = call.argument("self")
    axes = call.axes(source)
    square = (call.argument("upscale_factor") or call.argument("downscale_factor")) ** 2
    if call.name == "pixel_shuffle":
        channel = folded(call.labels, axes[-3], (source.shape[-3] // square, square), 0)
    else:
        channel = repeated(axes[-3], square)
    call.fix(*axes[-2:])
    return [(*axes[:-3], channel, None, None)]


def _shuffled(call: Any) -> list[Axes]:
    source, groups = call.argument("self"), call.argument("groups")
    axes = call.axes(source)
    inner = folded(call.labels, axes[1], (groups, source.shape[1] // groups), 1)
    return [(axes[0], repeated(inner, groups), *axes[2:])]


def _strided(call: Any) -> list[Axes] | None:
    """Pooling sets the strides of its output so; its shape is as it was."""
    axes: Axes = call.axes(call.argument("self"))
    return [axes] if list(call.argument("size")) == list(call.outputs[0].shape) and len(axes) == call.outputs[
        0].dim() and call.func._schema.name.endswith("_") else None


def _columns(call: Any) -> list[Axes]:
    axes = call.axes(call.argument("self"))
    return [(*axes[:-3], repeated(axes[-3], prod(call.argument("kernel_size"))), None)]


def _windows(call: Any) -> list[Axes]:
    axes = list(call.axes(call.argument("self")))
    call.fix(axes[call.argument("dimension")])
    axes[call.argument("dimension")] = None
    return [(*axes, None)]


RULES: dict[str, Callable[[Any], list[Axes] | None]] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "view_copy"), _reshape),
    **dict.fromkeys(("permute", "permute_copy"), _permute),
    **dict.fromkeys(("t", "t_", "transpose", "transpose_"), _transpose),
    **dict.fromkeys(("unsqueeze", "unsqueeze_"), _unsqueeze),
    **dict.fromkeys(("squeeze", "squeeze_"), _squeeze),
    "expand": _expand,
    "repeat": _repeat,
    "slice": _slice,
    **dict.fromkeys(("split", "unsafe_split", "split_with_sizes", "unsafe_split_with_sizes"), _split),
    "glu": _glu,
    **dict.fromkeys(("select", "unbind"), _picked),
    **dict.fromkeys(("cat", "stack"), _joined),
    "constant_pad_nd": _padded,
    **dict.fromkeys(("roll", "flip"), _rolled),
    "index": _indexed,
    "index_select": _chosen,
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _pixels),
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), _shuffled),
    "as_strided_": _strided,
    "im2col": _columns,
    "unfold": _windows,
}
