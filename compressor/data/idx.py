"""IDX files, the format of MNIST and its relatives, gzipped or not."""

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compressor.data.batches import Data, TensorSplit
from compressor.data.bounds import check_size, check_unpacked, parsed_as
from compressor.data.source import PREPROCESSING, Arguments, Source, resized
from compressor.data.splits import data_from_source, fingerprint
from compressor.errors import DataError
from compressor.models import InputSpec

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
UNSIGNED_BYTE = 8
GZIP = b"\x1f\x8b"
AGAIN = "download or copy the file again"


def fashion_mnist(folder: str, given: Mapping[str, Any], inputs: InputSpec | None, seed: int) -> Data:
    """Fashion-MNIST, from a folder or where the system package puts it. Mirrored clothes are clothes."""
    where = Path(folder) if folder else FASHION_MNIST
    if not folder and not where.is_dir():
        raise DataError(
            f"Fashion-MNIST isn't in {where}",
            "apt-get install dataset-fashion-mnist, or --data fashion-mnist:FOLDER with the four IDX files",
        )
    spec = f"fashion-mnist:{folder}" if folder else "fashion-mnist"
    return _load(spec, where, given, FASHION_CLASSES, True, inputs, seed)


def mnist_idx(folder: str, given: Mapping[str, Any], inputs: InputSpec | None, seed: int) -> Data:
    """Any four IDX files. Not mirrored unless ``flip=true``: they may be digits."""
    if not folder:
        raise DataError("'mnist-idx' needs a folder", "--data mnist-idx:FOLDER with the four IDX files")
    return _load(f"mnist-idx:{folder}", Path(folder), given, (), False, inputs, seed)


def _load(
    spec: str,
    folder: Path,
    given: Mapping[str, Any],
    classes: tuple[str, ...],
    flip: bool,
    inputs: InputSpec | None,
    seed: int,
) -> Data:
    args = Arguments(given, (*PREPROCESSING, "flip", "classes"), spec)
    if not folder.is_dir():
        raise DataError(f"'{spec}': no folder {folder}", "a folder with the four IDX files")
    train, test = (_split(folder, prefix, args, spec) for prefix in ("train", "t10k"))
    source = Source(
        spec,
        train,
        None,
        test,
        args.names("classes") or classes,
        fingerprint([train, test]),
        flip=args.boolean("flip", flip),
    )
    return data_from_source(source, args, inputs, seed)


def _split(folder: Path, prefix: str, args: Arguments, spec: str) -> TensorSplit:
    image_file = _find(folder, f"{prefix}-images", "idx3-ubyte")
    label_file = _find(folder, f"{prefix}-labels", "idx1-ubyte")
    images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
    if len(images) != len(labels):
        raise DataError(f"{image_file} has {len(images)} images, {label_file} {len(labels)} labels", "matching files")
    return TensorSplit(resized(images[:, None], args, spec), labels.long())


def _find(folder: Path, name: str, kind: str) -> Path:
    candidates = [folder / f"{name}{dot}{kind}{end}" for dot in "-." for end in ("", ".gz")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(f"no {name}-{kind} (or .gz) in {folder}", "the four IDX files in one folder")


def read_idx(path: Path, axes: int) -> Tensor:
    """An IDX file of unsigned bytes.

    The header is two zero bytes, the type, the number of axes, then each axis as a big-endian 32-bit
    number (described on http://yann.lecun.com/exdb/mnist/).

    Args:
        path: Gzipped if its content says so.
        axes: How many axes are expected.

    Raises:
        DataError: Unreadable, truncated, or of another type.
    """
    size = 4 + 4 * axes
    with parsed_as("an IDX file", path, AGAIN), path.open("rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        header = file.read(size)
        if len(header) < size or header[:4] != bytes((0, 0, UNSIGNED_BYTE, axes)):
            raise DataError(
                f"{path} is not an IDX file of unsigned bytes with {axes} axes: it starts with "
                f"{header[:4].hex() or 'nothing'}, wanted 0000080{axes}",
                "the original IDX files",
            )
        shape = struct.unpack(f">{axes}I", header[4:])
        wanted = check_size(shape, 1, f"{path}, by its header,", AGAIN)
        if packed:
            check_unpacked(wanted, path.stat().st_size, f"{path}, by its header,", AGAIN)
        # One byte more than there should be, and never what a file unpacks to.
        content = file.read(wanted + 1)
    if len(content) != wanted:
        much = f"{size + len(content)} bytes" if len(content) < wanted else "more bytes"
        raise DataError(
            f"{path} is {'truncated' if len(content) < wanted else 'too long'}: "
            f"{much} after decompression, its header promises {size + wanted}",
            AGAIN,
        )
    # A copy, since torch wants memory it may write to.
    return torch.from_numpy(np.frombuffer(content, np.uint8).reshape(shape).copy())
