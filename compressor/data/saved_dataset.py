"""Tables that the ``datasets`` library wrote with ``save_to_disk``, read by pyarrow alone.

One split is a folder with ``dataset_info.json`` (columns and the names of classes), ``state.json`` (which files, in
order) and ``data-*.arrow``; several are such folders beside a ``dataset_dict.json``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from compressor.data.bounds import MOST_ROWS, check_bytes, parsed_as
from compressor.errors import DataError
from compressor.extras import require
from compressor.faults import shown
from compressor.reading import placed, read_json

K = TypeVar("K")
SPLITS, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
# How every stream ends that was written to its end.
END = b"\xff\xff\xff\xff\0\0\0\0"
AGAIN = "save it again: dataset.save_to_disk(folder)"
# What test splits have whose labels are kept from the public.
WITHHELD = -1


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder is a split, or several, that ``save_to_disk`` wrote."""
    return (path / SPLITS).is_file() or (path / STATE).is_file()


def saved_splits(path: Path) -> dict[str, Path]:
    """The folder of each split by its name; one alone is ``"train"``.

    Raises:
        DataError: A split that ``dataset_dict.json`` names isn't there, or the file can't be read.
    """
    if not (path / SPLITS).is_file():
        return {"train": path}
    names = _read(path / SPLITS, "splits", list)
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise DataError(f"{path / SPLITS} names a split {shown(name)}, wanted a folder's name", AGAIN)
        placed(str(path / name), f"{path / SPLITS} names a split that", AGAIN, DataError)
    missing = [name for name in names if not (path / name / STATE).is_file()]
    if missing:
        raise DataError(
            f"{path / SPLITS} names the split '{missing[0]}', and {path / missing[0]} is no such folder",
            f"copy the folder again, whole, or {AGAIN}",
        )
    return {name: path / name for name in names}


def saved_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of one split, labels by the names of their classes; None where a label was withheld.

    Raises:
        DataError: A file is missing, damaged or cut off, or a label has no name; says which.
        MissingError: pyarrow isn't installed.
    """
    library = require("pyarrow")
    features = _read(folder / INFO, "features", dict)
    if _read(folder / STATE, "_indices_data_files", object, needed=False):
        raise DataError(f"{folder} holds rows and, apart, which of them count, as old releases wrote it", AGAIN)
    rows: list[dict[str, Any]] = []
    for listed in _read(folder / STATE, "_data_files", list):
        name = listed.get("filename") if isinstance(listed, Mapping) else None
        if not isinstance(name, str):
            raise DataError(f"{folder / STATE}: an entry of '_data_files' names no file: {shown(listed)}", AGAIN)
        file = placed(str(folder / Path(name).name), f"{folder / STATE}: an entry of '_data_files'", AGAIN, DataError)
        if not file.is_file():
            raise DataError(
                f"{folder / STATE} names {file.name}, which isn't there", f"copy the folder again, whole, or {AGAIN}"
            )
        again = f"copy it again, or {AGAIN}"
        check_bytes(file.stat().st_size, str(file), again)
        content = file.read_bytes()
        with parsed_as("an Arrow stream", file, again):
            for batch in library.ipc.open_stream(content):
                # Nothing else looks at its offsets, and reading beyond them ends the process.
                batch.validate(full=True)
                check_bytes(batch.nbytes, f"a batch of {file}", again)
                if len(rows) + batch.num_rows > MOST_ROWS:
                    raise DataError(f"{file} has more than {MOST_ROWS} rows", again)
                rows += batch.to_pylist()
        if not content.endswith(END):
            raise DataError(f"{file} is cut off: its end is missing", again)
    named = {column: spec for column, spec in features.items() if class_names_in(spec)}
    for number, row in enumerate(rows, start=1):
        for column, spec in named.items():
            row[column] = _by_name(row.get(column), class_names_in(spec), f"{folder}, row {number}: {column}")
    return rows


def declared_classes(folder: Path, column: str) -> tuple[str, ...]:
    """The class names of a column, or of the lists in it, in their order; empty where it has none."""
    return class_names_in(_read(folder / INFO, "features", dict).get(column))


def class_names_in(spec: Any) -> tuple[str, ...]:
    """The names of a ClassLabel, or of the ClassLabel that a list is of, as ``dataset_info.json`` describes columns."""
    if isinstance(spec, list):
        return class_names_in(spec[0]) if spec else ()
    if not isinstance(spec, Mapping):
        return ()
    if spec.get("_type") == "ClassLabel":
        return tuple(map(str, spec.get("names") or ()))
    return class_names_in(spec.get("feature"))


def _by_name(value: Any, names: tuple[str, ...], where: str) -> Any:
    if isinstance(value, list):
        return [_by_name(one, names, where) for one in value]
    if value is None or value == WITHHELD:
        return None
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise DataError(f"{where} is {value!r}, and the classes have {len(names)} names", AGAIN)
    return names[value]


def _read(path: Path, key: str, kind: type[K], needed: bool = True) -> K:
    """One entry of a JSON object."""
    found = read_json(path, dict, f"copy the folder again, whole, or {AGAIN}", DataError).get(key)
    if needed and not found:
        raise DataError(f"{path} has no '{key}'", AGAIN)
    if not isinstance(found, kind):
        raise DataError(f"{path}: '{key}' is a {type(found).__name__}, wanted a {kind.__name__}", AGAIN)
    return found
