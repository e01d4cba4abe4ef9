"""Files of texts as rows: CSV, JSON lines, Parquet, and what the ``datasets`` library saved."""

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compressor.data.delimited import delimited_rows
from compressor.data.parquet import parquet_rows
from compressor.data.saved_dataset import is_saved_dataset, saved_rows, saved_splits
from compressor.errors import DataError
from compressor.reading import parse_json

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
NAMES = {"train": ("train",), "validation": ("validation", "val", "valid", "dev"), "test": ("test",)}
# Bytes at a file's start by which its encoding is told.
LOOKED_AT = 4096
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
        yield from parquet_rows(path)
        return
    hint = "iconv -f latin1 -t utf8, or whatever wrote it to UTF-8"
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            if path.suffix == ".jsonl":
                yield from _json_lines(path, file)
            else:
                yield from delimited_rows(path, file.read())
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}", hint) from None


def _encoding(path: Path) -> str:
    """UTF-8, or UTF-16 where the file's first bytes say so.

    Raises:
        DataError: Every second byte is 0, as in UTF-16 without its mark.
    """
    with path.open("rb") as file:
        start = file.read(LOOKED_AT)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if b"\0" in start:
        raise DataError(f"{path} has bytes that are 0, as UTF-16 has, and no mark of it", "iconv -f utf-16le -t utf8")
    return "utf-8-sig"


def _json_lines(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        yield parse_json(line, dict, f"{path}, line {number}", "one JSON object a line", DataError, nan=True)
