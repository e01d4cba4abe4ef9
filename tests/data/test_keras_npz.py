import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compressor.data.keras_npz import keras_npz
from compressor.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (60, 5, 4), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (60, 5, 4, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


def write(path: Path, **arrays: Any) -> Path:
    np.savez(path / "data.npz", **arrays)
    return path / "data.npz"


def test_grey(tmp_path: Path) -> None:
    data = keras_npz(write(tmp_path, x_train=GREY, y_train=LABELS, x_test=GREY[:9], y_test=LABELS[:9]), {}, None, 0)
    np.testing.assert_array_equal(data.test.fetch(torch.arange(9))[0][:, 0], GREY[:9])
    assert len(data.train) == 54
    assert not data.flip


def test_colour_with_validation_and_column_labels(tmp_path: Path) -> None:
    arrays = {
        f"{axis}_{name}": value
        for name in ("train", "val", "test")
        for axis, value in (("x", COLOUR), ("y", LABELS[:, None]))
    }
    data = keras_npz(write(tmp_path, **arrays), {"classes": ["a", "b", "c"]}, None, 0)
    assert len(data.train) == len(data.validation) == len(data.test) == 60
    np.testing.assert_array_equal(data.train.fetch(torch.arange(60))[0], COLOUR.transpose(0, 3, 1, 2))
    assert data.classes == ("a", "b", "c")
    assert data.normalise is not None and len(data.normalise.mean) == 3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_first_is_told_from_the_sizes_and_said(tmp_path: Path, channels: int) -> None:
    images = RNG.integers(0, 256, (60, channels, 6, 5), dtype=np.uint8)
    data = keras_npz(write(tmp_path, x_train=images, y_train=LABELS, x_test=images, y_test=LABELS), {}, None, 0)
    np.testing.assert_array_equal(data.test.fetch(torch.arange(60))[0], images)
    assert f"x_train has shape (N, {channels}, 6, 5): channels first, as torch has them" in data.notes


def test_floats_are_taken_as_they_are(tmp_path: Path) -> None:
    floats = RNG.random((60, 5, 4), dtype=np.float32)
    data = keras_npz(write(tmp_path, x_train=floats, y_train=LABELS, x_test=floats, y_test=LABELS), {}, None, 0)
    np.testing.assert_array_equal(data.batch("test", torch.arange(60)).inputs[0][:, 0], floats)
    assert data.normalise is None


def with_nan() -> np.ndarray[Any, Any]:
    floats = np.zeros((60, 5, 4), dtype=np.float32)
    floats[17, 2, 2] = np.nan
    return floats


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x_trian": GREY, "y_train": LABELS}, "no 'x_train'; it has x_trian, y_train"),
        ({"x_train": GREY, "y_train": LABELS, "x_test": GREY}, "only one of x_test and y_test"),
        ({"x_train": GREY, "y_train": LABELS[:59]}, "60 rows, y_train 59"),
        ({"x_train": GREY[0], "y_train": LABELS}, r"shape \(5, 4\)"),
        ({"x_train": GREY.astype(np.int32), "y_train": LABELS}, "int32, wanted uint8"),
        ({"x_train": GREY, "y_train": LABELS + 0.5}, "row 0: label 0.5"),
        ({"x_train": GREY, "y_train": LABELS - 1}, "row 0: label -1 is negative"),
        ({"x_train": GREY, "y_train": np.eye(3)[LABELS] * 2}, "row 0: 3 numbers that aren't one 1"),
        ({"x_train": GREY, "y_train": LABELS + 0j}, "complex128, wanted integers"),
        ({"x_train": GREY, "y_train": LABELS + 2**62}, "labels go up to 461168601842738790., but train has none of 0"),
        ({"x_train": GREY, "y_train": LABELS * 0}, "one class only"),
        ({"x_train": GREY[:0], "y_train": LABELS[:0]}, "train split is empty"),
        ({"x_train": with_nan(), "y_train": LABELS}, "x_train, row 17: NaN"),
        ({"x_train": GREY, "y_train": LABELS, "x_test": COLOUR, "y_test": LABELS}, "different shapes"),
    ],
)
def test_arrays_that_are_wrong(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        keras_npz(write(tmp_path, **arrays), {}, None, 0)


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_python_objects_are_not_unpickled(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    path = write(tmp_path, x_train=np.array([Touch(touched)], dtype=object), y_train=LABELS)
    with pytest.raises(DataError, match="x_train holds Python objects"):
        keras_npz(path, {}, None, 0)
    assert not touched.exists()


def test_truncated(tmp_path: Path) -> None:
    path = write(tmp_path, x_train=GREY, y_train=LABELS)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="can't be read"):
        keras_npz(path, {}, None, 0)


@pytest.mark.parametrize(
    "labels",
    [LABELS.astype(float), LABELS[:, None], np.eye(3)[LABELS], np.eye(3, dtype=np.uint8)[LABELS], LABELS.astype("S3")],
)
def test_labels_that_plainly_name_a_class(tmp_path: Path, labels: Any) -> None:
    plain = keras_npz(write(tmp_path, x_train=GREY, y_train=LABELS), {}, None, 0)
    found = keras_npz(write(tmp_path, x_train=GREY, y_train=labels), {}, None, 0)
    assert found.train.labels.tolist() == plain.train.labels.tolist() and found.classes == ("0", "1", "2")


def test_labels_that_are_texts_are_class_names(tmp_path: Path) -> None:
    names = np.array(["eel", "cat", "dog"])[LABELS]
    data = keras_npz(write(tmp_path, x_train=GREY.astype(float), y_train=names), {}, None, 0)
    assert data.classes == ("cat", "dog", "eel") and data.train.fetch(torch.arange(1))[0].dtype == torch.float32
    with pytest.raises(DataError, match="y_test, row 0: 'ant' is not in y_train"):
        keras_npz(write(tmp_path, x_train=GREY, y_train=names, x_test=GREY[:1], y_test=np.array(["ant"])), {}, None, 0)


def header(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"shape": shape, "fortran_order": False, "descr": descr})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header((60_000,) * 3), "would take 2.16e"),
        (header((2**62, 4)), "would take 1.84e"),
        (header((-1, 4)), "negative side"),
        (header((4, 4, 4)), "declares 64 bytes, it has 0"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "can't be read as a NumPy archive"),
        (header((1,), "|O"), "Python objects"),
        (bytes(200_000_000), "would unpack from 0.19. MB to 200"),
    ],
)
def test_what_a_header_declares_is_checked_first(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", content)
        archive.writestr("y_train.npy", header((0,)))
    with pytest.raises(DataError, match=words):
        keras_npz(path, {}, None, 0)


def test_archives_of_another_kind(tmp_path: Path) -> None:
    path = write(tmp_path, x_train=GREY, y_train=LABELS)
    whole = bytearray(path.read_bytes())
    start = whole.rindex(b"PK\x01\x02")
    for entry in (whole.index(b"PK\x01\x02"), start):
        whole[entry + 8] |= 1
    path.write_bytes(whole)
    with pytest.raises(DataError, match="x_train is encrypted"):
        keras_npz(path, {}, None, 0)
    for entry in (whole.index(b"PK\x01\x02"), start):
        whole[entry + 8 : entry + 12] = b"\0\0\x63\0"
    path.write_bytes(whole)
    with pytest.raises(DataError, match="compression"):
        keras_npz(path, {}, None, 0)
    with path.open("wb") as file:
        np.save(file, GREY)
    with pytest.raises(DataError, match="one array without a name"):
        keras_npz(path, {}, None, 0)
