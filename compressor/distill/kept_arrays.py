"""Arrays on disk that are filled bit by bit: what no one has written yet is NaN, whoever was killed on the way."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def kept_array(path: Path, shape: Sequence[int], prefix: str) -> npt.NDArray[Any]:
    """A memory-mapped float32 array, made where it isn't there, atomically; of NaN at first.

    Args:
        path: The file.
        shape: One of another shape is made anew.
        prefix: Others beside it whose names begin so have another key, and are removed.
    """
    for other in path.parent.glob(f"{prefix}*"):
        if other.name != path.name:
            other.unlink(missing_ok=True)
    if not _fits(path, shape):
        _write_empty(path, tuple(shape))
    made: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r+")
    return made


def unwritten(rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which rows have something that isn't written, bool (rows,)."""
    missing: npt.NDArray[np.bool_] = np.isnan(rows).any(axis=tuple(range(1, rows.ndim)))
    return missing


def _fits(path: Path, shape: Sequence[int]) -> bool:
    try:
        found: npt.NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return found.shape == tuple(shape) and found.dtype == np.float32


def _write_empty(path: Path, shape: tuple[int, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    empty = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
    for part in empty:
        part[:] = np.nan
    empty.flush()
    os.replace(partial, path)
