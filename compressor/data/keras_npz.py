"""NumPy archives in Keras's convention: x_train, y_train, x_test, y_test, perhaps x_val, y_val."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from compressor.data.batches import UNLABELED, Data, TensorSplit
from compressor.data.bounds import check_size, check_unpacked, parsed_as
from compressor.data.checks import check_finite, whole_labels
from compressor.data.labels import Places, class_names, label_name
from compressor.data.source import PREPROCESSING, Arguments, Source, resized
from compressor.data.splits import data_from_source, fingerprint
from compressor.errors import DataError
from compressor.models import InputSpec

# How a file of one array begins, and the bit of an encrypted entry.
ARRAY, ENCRYPTED = b"\x93NUMPY", 1
# NumPy's kinds of fixed-width texts and bytes.
TEXT = "US"
# Images have no more channels than this, and more pixels.
CHANNELS = 4
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def keras_npz(path: Path, given: Mapping[str, Any], inputs: InputSpec | None, seed: int) -> Data:
    """Images as (N, H, W) or (N, H, W, C), uint8, or floats that are taken as they are.

    (N, C, H, W), as torch has it, is told from its sizes, and said. Not mirrored unless ``flip=true``. Arrays that
    would need pickle are refused.
    """
    spec = str(path)
    args = Arguments(given, (*PREPROCESSING, "flip", "classes"), spec)
    notes: list[str] = []

    def samples(x: npt.NDArray[Any], where: str) -> Tensor:
        if x.ndim not in (3, 4) or 0 in x.shape[1:]:
            raise DataError(f"{where} has shape {x.shape}, wanted (N, H, W) or (N, H, W, C)", "images")
        if _channels_first(x) and where.endswith("x_train"):
            shape = ", ".join(map(str, x.shape[1:]))
            notes.append(f"x_train has shape (N, {shape}): channels first, as torch has them")
        return _images(x, where, args, spec)

    (train, validation, test), names = splits_of(path, samples)
    images = train.inputs.dtype == torch.uint8
    if not images:
        notes.insert(0, "float images are taken as they are, neither scaled nor normalised")
    if not images and (given.keys() & {"mean", "std"}):
        raise DataError(f"{path} has float images, which aren't normalised; got mean or std", "uint8 images")
    source = Source(
        spec,
        train,
        validation,
        test,
        args.names("classes") or names,
        fingerprint([train, validation, test]),
        images=images,
        flip=args.boolean("flip", False),
        notes=tuple(notes),
    )
    return data_from_source(source, args, inputs, seed)


def splits_of(
    path: Path, samples: Callable[[npt.NDArray[Any], str], Tensor]
) -> tuple[tuple[TensorSplit, TensorSplit | None, TensorSplit | None], tuple[str, ...]]:
    """Train, validation and test of an archive, and the classes of labels that are texts.

    Args:
        path: The file.
        samples: Checks an array and makes samples of it, the first axis is theirs; called with its name for messages.

    Raises:
        DataError: It can't be read, arrays are missing, or they don't fit one another.
    """
    arrays = _read(path)
    for name in ("x_train", "y_train"):
        if name not in arrays:
            raise DataError(
                f"{path} has no '{name}'; it has {', '.join(sorted(arrays)) or 'none of the four'}",
                "np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)",
            )
    names = _names(arrays, path)
    train, validation, test = (_split(arrays, name, path, samples, names) for name in ("train", "val", "test"))
    assert train is not None
    shapes = {tuple(split.inputs.shape[1:]) for split in (train, validation, test) if split is not None}
    if len(shapes) > 1:
        raise DataError(f"{path}: the splits have samples of different shapes: {sorted(shapes)}", "one shape")
    return (train, validation, test), names


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
    if not path.is_file():
        raise DataError(f"no file {path}", "check the path")
    hint = "np.savez with numeric arrays"
    with parsed_as("a NumPy archive", path, hint), path.open("rb") as file:
        if file.read(len(ARRAY)) == ARRAY:
            raise DataError(f"{path} is one array without a name, not an archive of several", hint)
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            entries = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
            return {
                name: _array(archive, entry, f"{path}: {name}")
                for name, entry in entries.items()
                if name[:2] in ("x_", "y_")
            }


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> npt.NDArray[Any]:
    """One array, whose header is compared with what the archive says of it before anything is allocated."""
    hint = "np.savez with numeric arrays"
    if entry.flag_bits & ENCRYPTED:
        raise DataError(f"{where} is encrypted", hint)
    check_unpacked(entry.file_size, entry.compress_size, where, hint)
    with archive.open(entry) as file:
        read = HEADERS.get(np.lib.format.read_magic(file))
        if read is None:
            raise DataError(f"{where} is of an unknown version of NumPy's format", hint)
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise DataError(f"{where} holds Python objects, which would run code when they are read", hint)
        declared = check_size(shape, dtype.itemsize, where, hint)
        if declared != entry.file_size - file.tell():
            raise DataError(
                f"{where}: its header declares {declared} bytes, it has {entry.file_size - file.tell()}", hint
            )
    with archive.open(entry) as file:
        found: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return found


def _names(arrays: Mapping[str, npt.NDArray[Any]], path: Path) -> tuple[str, ...]:
    """The classes of labels that are texts, in their order; none where they are numbers."""
    y = arrays["y_train"]
    return class_names(set(_texts(y, path, "y_train")), ()) if y.dtype.kind in TEXT else ()


def _texts(y: npt.NDArray[Any], path: Path, name: str) -> list[str]:
    try:
        return [label_name(one.decode() if isinstance(one, bytes) else one) for one in y.ravel().tolist()]
    except UnicodeDecodeError:
        raise DataError(f"{path}: {name} has bytes that aren't UTF-8", "labels as str, or as integers") from None


def _split(
    arrays: Mapping[str, npt.NDArray[Any]],
    name: str,
    path: Path,
    samples: Callable[[npt.NDArray[Any], str], Tensor],
    names: tuple[str, ...],
) -> TensorSplit | None:
    x, y = arrays.get(f"x_{name}"), arrays.get(f"y_{name}")
    if x is None and y is None:
        return None
    if x is None or y is None:
        raise DataError(f"{path} has only one of x_{name} and y_{name}", "both")
    inputs = samples(x, f"{path}: x_{name}")
    if y.ndim == 0 or len(x) != len(y):
        rows = len(y) if y.ndim else "no"
        raise DataError(f"{path}: x_{name} has {len(x)} rows, y_{name} {rows}", "a label a row")
    return TensorSplit(inputs, _labels(y, f"y_{name}", path, names))


def _labels(y: npt.NDArray[Any], name: str, path: Path, names: tuple[str, ...]) -> Tensor:
    if (y.dtype.kind in TEXT) != bool(names):
        raise DataError(f"{path}: {name} holds {y.dtype}, y_train otherwise", "labels of one kind in every split")
    if names:
        if y.size != len(y):
            raise DataError(f"{path}: {name} has shape {y.shape}, wanted one label a row", "labels of shape (N,)")
        places = Places(names)
        found = [places.get(text) for text in _texts(y, path, name)]
        if None in found:
            strange = _texts(y, path, name)[found.index(None)]
            raise DataError(
                f"{path}, {name}, row {found.index(None)}: '{strange}' is not in y_train", "the same classes"
            )
        return torch.tensor(found)
    if y.dtype.kind not in "biuf":
        raise DataError(f"{path}: {name} holds {y.dtype}, wanted integers", "integer labels 0, 1, 2, ..., or names")
    if y.dtype.kind == "u" and y.size and y.max() > np.iinfo(np.int64).max:
        raise DataError(f"{path}: {name} has the label {y.max()}", "integer labels 0, 1, 2, ...")
    kept = torch.from_numpy(y.astype(np.float64 if y.dtype.kind == "f" else np.int64))
    return whole_labels(kept, f"{path}: {name}")


def _images(x: npt.NDArray[Any], where: str, args: Arguments, spec: str) -> Tensor:
    if not _channels_first(x):
        x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    if x.dtype == np.uint8:
        return resized(torch.from_numpy(np.ascontiguousarray(x)), args, spec)
    if x.dtype.kind == "f":
        floats = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
        check_finite(floats, where)
        return floats
    raise DataError(f"{where} holds {x.dtype}, wanted uint8 in 0..255", "x.astype(np.uint8)")


def _channels_first(x: npt.NDArray[Any]) -> bool:
    return x.ndim == 4 and x.shape[1] <= CHANNELS < x.shape[3]
