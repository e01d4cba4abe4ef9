from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compressor.data import Data
from compressor.data.load import is_user_code, load_data
from compressor.errors import CompressError, DataError, InputError

CODE = """
import torch
from torch.utils.data import TensorDataset
def make(count=60):
    data = TensorDataset(torch.rand(count, 1, 2, 2), torch.arange(count) % 2)
    return data, data
"""


def test_user_code_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_data.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert len(load_data("my_own_data:make", args={"count": 40}).test) == 40
    with pytest.raises(DataError, match="unexpected keyword argument 'cuont'"):
        load_data("my_own_data:make", args={"cuont": 40})
    with pytest.raises(InputError, match="has no 'mke'; did you mean 'make'"):
        load_data("my_own_data:mke")


def test_a_callable() -> None:
    made = load_data("digits")
    assert load_data(lambda: made) is made


def test_a_folder_and_an_archive(tmp_path: Path) -> None:
    for i in range(20):
        path = tmp_path / "images" / "train" / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), i, dtype=np.uint8)).save(path)
    np.savez(tmp_path / "a.npz", x_train=np.zeros((20, 4, 4), np.uint8), y_train=np.arange(20) % 2)
    for spec in ("images", "a.npz"):
        data = load_data(str(tmp_path / spec))
        assert isinstance(data, Data)
        assert data.train.labels.bincount().tolist() == [8, 8]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("digts", "no data 'digts'; did you mean 'digits'"),
        ("fashion_mnist", "did you mean 'fashion-mnist'"),
        ("digits:folder", "takes no folder"),
        ("nowhere/at/all", "no data 'nowhere/at/all'"),
        ("missing.npz", "no file missing.npz"),
        ("no_such_package_here:make", "doesn't import: ModuleNotFoundError"),
        (__file__, "can't tell what kind of data"),
    ],
)
def test_specs_that_name_nothing(spec: str, words: str) -> None:
    with pytest.raises(CompressError, match=words) as caught:
        load_data(spec)
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_which_specs_run_code() -> None:
    assert is_user_code("os:system")
    assert not any(is_user_code(spec) for spec in ("digits", "mnist-idx:folder", "fashion-mnist", "a.npz", __file__))
