"""How operators that only move values carry channels' labels: reshape, permute, repeat, shuffle."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from compressor.prune.graph import pieces
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
        for to, axis in zip(
            right,
            _block(call, [axes[old_at[at]] for at in left], tuple(old[old_at[at]] for at in left), sizes),
            strict=True,
        ):
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
    free = [
        at
        for at in range(len(new))
        if (np.moveaxis(roots, at, -1).reshape(-1, new[at])[0] == np.moveaxis(roots, at, -1)).all()
    ]
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
    return (
        [axes]
        if list(call.argument("size")) == list(call.outputs[0].shape)
        and len(axes) == call.outputs[0].dim()
        and call.name.endswith("_")
        else None
    )


def _columns(call: Any) -> list[Axes]:
    axes = call.axes(call.argument("self"))
    return [(*axes[:-3], repeated(axes[-3], prod(call.argument("kernel_size"))), None)]


def _windows(call: Any) -> list[Axes]:
    axes = list(call.axes(call.argument("self")))
    call.fix(axes[call.argument("dimension")])
    axes[call.argument("dimension")] = None
    return [(*axes, None)]


RULES: dict[str, Callable[[Any], list[Axes] | None]] = {
    **pieces.RULES,
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "view_copy"), _reshape),
    **dict.fromkeys(("permute", "permute_copy"), _permute),
    **dict.fromkeys(("t", "t_", "transpose", "transpose_"), _transpose),
    **dict.fromkeys(("unsqueeze", "unsqueeze_"), _unsqueeze),
    **dict.fromkeys(("squeeze", "squeeze_"), _squeeze),
    "expand": _expand,
    "repeat": _repeat,
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _pixels),
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), _shuffled),
    "as_strided_": _strided,
    "im2col": _columns,
    "unfold": _windows,
}
