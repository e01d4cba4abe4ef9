"""Files of texts as rows: CSV, JSON lines, Parquet, and what the ``datasets`` library saved."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compressor.data.saved_dataset import is_saved_dataset, saved_rows, saved_splits
from compressor.errors import DataError
from compressor.extras import require
from compressor.reading import parse_json

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
NAMES = {"train": ("train",), "validation": ("validation", "val", "valid", "dev"), "test": ("test",)}
Row = dict[str, Any]


def files_of(path: Path) -> dict[str, Path]:
    """A table's files by split, folders of what ``datasets`` saved among them; one file alone is ``"train"``.

    Raises:
        DataError: A saved data set isn't whole.
    """
    if not path.is_dir():
        return {"train": path}
    saved = saved_splits(path) if is_saved_dataset(path) else {}
    found: dict[str, Path] = {}
    for split, stems in NAMES.items():
        for stem in stems:
            if stem in saved:
                found.setdefault(split, saved[stem])
            for suffix in SUFFIXES:
                if not saved and (path / f"{stem}{suffix}").is_file():
                    found.setdefault(split, path / f"{stem}{suffix}")
    return found


def left_out(path: Path, files: Mapping[str, Path]) -> list[str]:
    """A note on a saved data set's splits that are not among these files."""
    saved = saved_splits(path) if is_saved_dataset(path) else {}
    others = ", ".join(name for name, folder in saved.items() if folder not in files.values())
    return [f"of '{path}' these splits aren't used, by their names or without labels: {others}"] if others else []


def rows_of(path: Path) -> Iterator[Row]:
    """Each row's values by column.

    Raises:
        DataError: No such file, or it can't be read; names it and the row.
        MissingError: pyarrow isn't installed, for Parquet and saved data sets.
    """
    if is_saved_dataset(path):
        yield from saved_rows(path)
        return
    if not path.is_file():
        raise DataError(f"no file {path}", "check the path")
    if path.suffix == ".parquet":
        library = require("pyarrow.parquet")
        try:
            table = library.read_table(path)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is not Parquet: {error}", "write or fetch it again") from None
        yield from table.to_pylist()
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".jsonl":
                yield from _json_lines(path, file)
            else:
                # A field may be a whole article.
                csv.field_size_limit(2**31 - 1)
                yield from _csv_rows(
                    path, csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
                )
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}", "iconv -f latin1 -t utf8") from None
    except csv.Error as error:
        raise DataError(f"{path} is not CSV: {error}", "quote fields that hold commas or quotes") from None


def _csv_rows(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    for number, row in enumerate(rows, start=1):
        # Where the reader puts what the header has no name for.
        if None in row:
            raise DataError(f"{path}, row {number} has more fields than the header", "quote fields that hold commas")
        yield row


def _json_lines(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        yield parse_json(line, dict, f"{path}, line {number}", "one JSON object a line", DataError, nan=True)
