"""NumPy archives in Keras's convention: x_train, y_train, x_test, y_test, perhaps x_val, y_val."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from compressor.data.batches import UNLABELED, Data, TensorSplit
from compressor.data.checks import check_finite
from compressor.data.source import PREPROCESSING, Arguments, Source, resized
from compressor.data.splits import data_from_source, fingerprint
from compressor.errors import DataError
from compressor.models import InputSpec


def keras_npz(path: Path, given: Mapping[str, Any], inputs: InputSpec | None, seed: int) -> Data:
    """Images as (N, H, W) or (N, H, W, C), uint8, or floats that are taken as they are.

    Not mirrored unless ``flip=true``. Arrays that would need pickle are refused.
    """
    spec = str(path)
    args = Arguments(given, (*PREPROCESSING, "flip", "classes"), spec)
    arrays = _read(path)
    for name in ("x_train", "y_train"):
        if name not in arrays:
            raise DataError(
                f"{path} has no '{name}'; it has {', '.join(sorted(arrays)) or 'none of the four'}",
                "np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)",
            )
    train, validation, test = (_split(arrays, name, path, args) for name in ("train", "val", "test"))
    assert train is not None
    shapes = {tuple(split.inputs.shape[1:]) for split in (train, validation, test) if split is not None}
    if len(shapes) > 1:
        raise DataError(f"{path}: the splits have images of different shapes: {sorted(shapes)}", "one shape")
    images = train.inputs.dtype == torch.uint8
    notes = () if images else ("float images are taken as they are, neither scaled nor normalised",)
    if not images and (given.keys() & {"mean", "std"}):
        raise DataError(f"{path} has float images, which aren't normalised; got mean or std", "uint8 images")
    source = Source(
        spec,
        train,
        validation,
        test,
        args.names("classes"),
        fingerprint([train, validation, test]),
        images=images,
        flip=args.boolean("flip", False),
        notes=notes,
    )
    return data_from_source(source, args, inputs, seed)


def inputs_alone(path: Path, given: Mapping[str, Any]) -> TensorSplit:
    """``x_train`` of a file that may have no labels.

    Raises:
        DataError: It isn't there, or can't be read.
    """
    args = Arguments(given, PREPROCESSING, str(path))
    arrays = _read(path)
    if "x_train" not in arrays:
        raise DataError(f"{path} has no 'x_train'", "np.savez(path, x_train=...)")
    images = _images(arrays["x_train"], f"{path}: x_train", args, str(path))
    return TensorSplit(images, torch.full((len(images),), UNLABELED))


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if name[:2] in ("x_", "y_")}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, AttributeError, KeyError) as error:
        reason = "it holds Python objects" if "allow_pickle" in str(error) else error
        raise DataError(f"{path} can't be read: {reason}", "np.savez with numeric arrays") from None


def _split(arrays: Mapping[str, npt.NDArray[Any]], name: str, path: Path, args: Arguments) -> TensorSplit | None:
    x, y = arrays.get(f"x_{name}"), arrays.get(f"y_{name}")
    if x is None and y is None:
        return None
    if x is None or y is None:
        raise DataError(f"{path} has only one of x_{name} and y_{name}", "both")
    if x.ndim not in (3, 4):
        raise DataError(f"{path}: x_{name} has shape {x.shape}, wanted (N, H, W) or (N, H, W, C)", "images")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if len(x) != len(y):
        raise DataError(f"{path}: x_{name} has {len(x)} rows, y_{name} {len(y)}", "a label per image")
    if y.dtype.kind not in "iuf":
        raise DataError(f"{path}: y_{name} holds {y.dtype}, wanted integers", "integer labels 0, 1, 2, ...")
    labels = torch.from_numpy(y.astype(np.float64 if y.dtype.kind == "f" else np.int64))
    return TensorSplit(_images(x, f"{path}: x_{name}", args, str(path)), labels)


def _images(x: npt.NDArray[Any], where: str, args: Arguments, spec: str) -> Tensor:
    channels_first = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    if x.dtype == np.uint8:
        return resized(torch.from_numpy(np.ascontiguousarray(channels_first)), args, spec)
    if x.dtype.kind == "f":
        floats = torch.from_numpy(np.ascontiguousarray(channels_first, dtype=np.float32))
        check_finite(floats, where)
        return floats
    raise DataError(f"{where} holds {x.dtype}, wanted uint8 in 0..255", "x.astype(np.uint8)")
