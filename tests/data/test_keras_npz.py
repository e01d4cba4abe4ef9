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
        ({"x_train": GREY, "y_train": np.eye(3)[LABELS]}, r"shape \(60, 3\)"),
        ({"x_train": GREY, "y_train": LABELS.astype(str)}, "wanted integers"),
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
    with pytest.raises(DataError, match="it holds Python objects"):
        keras_npz(path, {}, None, 0)
    assert not touched.exists()


def test_truncated(tmp_path: Path) -> None:
    path = write(tmp_path, x_train=GREY, y_train=LABELS)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="can't be read"):
        keras_npz(path, {}, None, 0)
