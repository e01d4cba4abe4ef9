"""Folders of the ``datasets`` library: one that it wrote itself, and its layout with every kind of damage.

``saved_by_datasets`` is datasets 5.2.0's ``DatasetDict.save_to_disk``: train (20 rows in two files), dev (6), test (4,
labels withheld) and unsupervised (3), of a text, a ClassLabel and a number.
"""

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from compressor.data import Data
from compressor.data.load import load_data
from compressor.data.saved_dataset import class_names_in, is_saved_dataset, saved_rows, saved_splits
from compressor.data.tables import texts_alone
from compressor.data.texts import TextSplit
from compressor.errors import CompressError, DataError

REAL = Path(__file__).parent / "saved_by_datasets"
MOODS = {"names": ["sad", "glad"], "_type": "ClassLabel"}


def read(path: Path, classes: tuple[str, ...] = (), **args: str) -> Data:
    return load_data(str(path), args=args, classes=classes)


def texts_of(split: object) -> TextSplit:
    assert isinstance(split, TextSplit)
    return split


def save(folder: Path, columns: dict[str, Any], features: Mapping[str, Any]) -> Path:
    """One split in the library's layout."""
    folder.mkdir(parents=True)
    table = pyarrow.table(columns)
    with pyarrow.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as stream:
        stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


def test_what_the_library_wrote() -> None:
    assert is_saved_dataset(REAL) and is_saved_dataset(REAL / "train") and not is_saved_dataset(REAL.parent)
    assert list(saved_splits(REAL)) == ["train", "dev", "test", "unsupervised"]
    assert saved_rows(REAL / "train")[11] == {"sentence": "film 11", "mood": "glad", "stars": 5.5}
    data = read(REAL, label="mood")
    # Its own order, which isn't that of spelling; dev serves as validation.
    assert data.classes == ("sad", "glad") and len(data.validation) == 6
    assert len(data.train) + len(data.test) == 20
    notes = " ".join(data.notes)
    assert "aren't used, by their names or without labels: test, unsupervised" in notes
    assert "no test split" in notes and "text is the column 'sentence'" in notes
    numbers = read(REAL, target="stars")
    assert texts_of(numbers.test).labels.tolist() == [0.0, 0.5, 1.0, 1.5]


def test_one_split_alone_and_texts_without_labels() -> None:
    alone = read(REAL / "train", label="mood")
    assert (len(alone.train), len(alone.validation), len(alone.test)) == (16, 2, 2)
    assert texts_alone(REAL / "unsupervised", {"text": "sentence"}).texts == ("film 0", "film 1", "film 2")


def test_classes_are_in_the_model_s_order_where_it_names_them() -> None:
    assert read(REAL, ("glad", "sad"), label="mood").classes == ("glad", "sad")
    labels = read(REAL / "dev", ("LABEL_0", "LABEL_1"), label="mood").train.labels
    assert set(labels.tolist()) == {0, 1}
    assert read(REAL, ("LABEL_0", "LABEL_1"), label="mood").classes == ("sad", "glad")


def test_classes_that_do_not_occur(tmp_path: Path) -> None:
    three = {**MOODS, "names": ["sad", "so-so", "glad", "never"]}
    columns = {"text": [str(n) for n in range(20)], "label": [2 * (n % 2) for n in range(20)]}
    folder = save(tmp_path / "a", columns, {"label": three})
    assert read(folder).classes == ("sad", "glad")
    with pytest.raises(DataError, match="none of so-so"):
        read(folder, ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"))


@pytest.mark.parametrize(
    "spec", [{"feature": MOODS, "_type": "List"}, {"feature": MOODS, "_type": "Sequence"}, [MOODS]]
)
def test_lists_of_labels_of_old_and_new_releases(spec: Any, tmp_path: Path) -> None:
    assert class_names_in(spec) == ("sad", "glad") and class_names_in({"dtype": "int64", "_type": "Value"}) == ()
    columns = {"words": [["a", "film"]] * 20, "tags": [[1, 0]] * 20}
    data = read(save(tmp_path / "a", columns, {"tags": spec}), tokens="words", tags="tags")
    assert data.classes == ("sad", "glad") and data.train.labels[0].tolist() == [1, 0]


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def cut(path: Path, left_out: int) -> None:
    path.write_bytes(path.read_bytes()[:-left_out])


ARROW = "data-00001-of-00002.arrow"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: shutil.rmtree(f / "dev"), "names the split 'dev', and .*dev is no such folder"),
        (lambda f: (f / "dataset_dict.json").write_text("{"), r"dataset_dict\.json is not JSON"),
        (lambda f: (f / "dataset_dict.json").write_text("[]"), "is a list, not an object"),
        (lambda f: change(f / "dataset_dict.json", splits=["dev"]), "no split 'train'; it has: dev"),
        (lambda f: (f / "train" / "dataset_info.json").unlink(), r"no file .*dataset_info\.json"),
        (lambda f: change(f / "train" / "state.json", _data_files=[]), "has no '_data_files'"),
        (lambda f: change(f / "train" / "state.json", _data_files=["x"]), "names no file"),
        (lambda f: change(f / "train" / "state.json", _data_files={"a": 1}), "is a dict, wanted a list"),
        (lambda f: change(f / "train" / "state.json", _data_files=[{"filename": "x" * 5000}]), "can't be a file"),
        (lambda f: change(f / "train" / "dataset_info.json", features=[1]), "'features' is a list, wanted a dict"),
        (lambda f: change(f / "dataset_dict.json", splits=["train", 3]), "names a split 3"),
        (lambda f: change(f / "dataset_dict.json", splits=["../x"]), "wanted a folder's name"),
        (lambda f: change(f / "dataset_dict.json", splits=["x" * 5000]), "can't be a file"),
        (lambda f: change(f / "train" / "state.json", _indices_data_files=[{"filename": "x"}]), "as old releases"),
        (lambda f: (f / "train" / ARROW).unlink(), f"names {ARROW}, which isn't there"),
        (lambda f: (f / "train" / ARROW).write_bytes(b""), f"{ARROW} can't be read as an Arrow stream"),
        (lambda f: (f / "train" / ARROW).write_bytes(b"text, no arrow"), f"{ARROW} can't be read as an Arrow stream"),
        (lambda f: cut(f / "train" / ARROW, 100), f"{ARROW} can't be read as an Arrow stream"),
        (lambda f: cut(f / "train" / ARROW, 8), f"{ARROW} is cut off"),
        (
            lambda f: change(f / "train" / "dataset_info.json", features={"mood": {**MOODS, "names": ["sad"]}}),
            "row 2: mood is 1, and the classes have 1 names",
        ),
    ],
)
def test_damage_is_named(spoil: Callable[[Path], Any], words: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(REAL, tmp_path / "copied"))
    spoil(folder)
    with pytest.raises(CompressError, match=words) as caught:
        read(folder, label="mood")
    assert caught.value.hint


def test_offsets_beyond_the_file_are_not_followed(tmp_path: Path) -> None:
    folder = save(tmp_path / "far", {"text": ["a", "b"], "label": [0, 1]}, {"label": MOODS})
    (file,) = folder.glob("*.arrow")
    own, far = struct.pack("<3i", 0, 1, 2), struct.pack("<3i", 0, 2**30, 2**31 - 1)
    assert file.read_bytes().count(own) == 1
    file.write_bytes(file.read_bytes().replace(own, far))
    with pytest.raises(DataError, match=r"arrow can't be read as an Arrow stream"):
        saved_rows(folder)


def test_a_row_without_a_label_is_named(tmp_path: Path) -> None:
    columns = {"text": ["a", "b", "c"], "label": [0, 1, -1]}
    with pytest.raises(DataError, match="row 3: no label"):
        read(save(tmp_path / "a", columns, {"label": MOODS}))


def test_pictures_are_no_texts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'sentense'; did you mean 'sentence'"):
        read(REAL, text="sentense", label="mood")
    columns = {"image": [{"bytes": b"", "path": None}] * 4, "label": [0, 1, 0, 1]}
    with pytest.raises(DataError, match=r"which column of .* is the text"):
        read(save(tmp_path / "a", columns, {"label": MOODS}))
