"""Rows of CSV and TSV, whose quotes are read so that no row is swallowed without a word."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compressor.errors import DataError

# Beside the comma; tried where the header has none.
DELIMITERS = (";", "\t", "|")
QUOTE = '"'
DOUBLED = "write a quote inside a quoted field twice, or give the table as JSON lines"


def delimited_rows(path: Path, text: str) -> Iterator[dict[str, Any]]:
    """Each row by the names of the header.

    Of a TSV whose every line has as many fields as its header, fields end with their line, and a lone quote is text:
    read as the beginning of a quoted field it would swallow the rows up to the next one.

    Args:
        path: Its ending says TSV or CSV; for messages too.
        text: The whole file.

    Raises:
        DataError: A row has more fields than the header, or quotes that don't end.
    """
    # A field may be a whole article.
    csv.field_size_limit(2**31 - 1)
    lines = text.splitlines() if "\r" in text else text.split("\n")
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return
    delimiter = "\t" if path.suffix == ".tsv" else _delimiter(lines[0])
    if path.suffix == ".tsv" and QUOTE in text and _every_line_is_a_row(lines, delimiter):
        rows: Iterator[list[str]] = ([_unquoted(field) for field in line.split(delimiter)] for line in lines if line)
        yield from _named(path, rows)
        return
    yield from _named(path, _quoted(path, text, delimiter))


def _delimiter(header: str) -> str:
    return "," if "," in header else max(DELIMITERS, key=lambda one: (header.count(one), one == ";"))


def _every_line_is_a_row(lines: list[str], delimiter: str) -> bool:
    fields = lines[0].count(delimiter)
    return bool(fields) and all(line.count(delimiter) == fields for line in lines if line)


def _unquoted(field: str) -> str:
    """What a field says that is quoted as a whole; others as they are."""
    inside = field[1:-1]
    whole = len(field) > 1 and field[0] == field[-1] == QUOTE and QUOTE not in inside.replace(QUOTE * 2, "")
    return inside.replace(QUOTE * 2, QUOTE) if whole else field


def _quoted(path: Path, text: str, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from (row for row in reader if row)
    except csv.Error as error:
        raise DataError(f"{path} is not CSV: {error}, line {reader.line_num}", DOUBLED) from None


def _named(path: Path, rows: Iterator[list[str]]) -> Iterator[dict[str, Any]]:
    header = next(rows, [])
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{path} has two columns '{twice}'", "a name for each column")
    for number, row in enumerate(rows, start=1):
        if len(row) > len(header):
            raise DataError(f"{path}, row {number} has more fields than the header", "quote fields that hold commas")
        yield dict(zip(header, row + [None] * (len(header) - len(row)), strict=True))
