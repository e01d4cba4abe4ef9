"""Texts with labels from CSV, JSON lines and Parquet files, and from what the ``datasets`` library saved."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compressor.data.batches import Data
from compressor.data.labels import UNLABELED, Places, class_names, label_name
from compressor.data.rows import SUFFIXES, Row, files_of, left_out, rows_of
from compressor.data.saved_dataset import declared_classes, is_saved_dataset, saved_splits
from compressor.data.source import Arguments, Source
from compressor.data.splits import data_from_source
from compressor.data.texts import TextSplit
from compressor.data.words import tag_names, tagged, untagged
from compressor.errors import DataError, did_you_mean
from compressor.faults import shown

ARGUMENTS = ("text", "pair", "tokens", "label", "target", "tags")
INPUTS = ARGUMENTS[:3]


def is_table(path: Path) -> bool:
    """Whether a path is a table of texts, or a folder of them."""
    return path.suffix in SUFFIXES or is_saved_dataset(path) or (path.is_dir() and bool(files_of(path)))


def text_table(path: Path, given: Mapping[str, Any], classes: tuple[str, ...], seed: int) -> Data:
    """Read a table, or a folder with ``train``, ``validation`` and ``test`` tables.

    Args:
        path: The file or folder.
        given: Column names: ``text``, ``pair`` (a second text), and ``label`` (classes) or ``target`` (numbers); or
            ``tokens`` (lists of words) and ``tags`` (a class for each of them).
        classes: What the model calls its classes; the data's own order where it names none, or others.
        seed: Draws the validation split where there is none.

    Raises:
        DataError: A file or column is missing, or a row has no text or an unknown label; names file and row.
    """
    args = Arguments(given, ARGUMENTS, str(path))
    files = files_of(path)
    if "train" not in files:
        if is_saved_dataset(path):
            have = ", ".join(saved_splits(path))
            raise DataError(f"{path} has no split 'train'; it has: {have}", "--data with the folder of one split")
        raise DataError(f"{path} has no train file", f"train.csv, or train{SUFFIXES[2]}, beside the others")
    rows = {name: list(rows_of(file)) for name, file in files.items()}
    for name, file in files.items():
        if not rows[name]:
            raise DataError(f"{file} has no rows", "a header and at least a few rows per class")
    columns = _Columns(args, rows["train"][0], files["train"])
    if is_saved_dataset(path):
        # Test splits of public data sets are often without.
        files = {split: file for split, file in files.items() if split == "train" or _labelled(rows[split], columns)}
    names = _classes(rows["train"], columns, classes, files["train"])
    splits = {name: _split(rows[name], columns, names, file) for name, file in files.items()}
    source = Source(
        spec=str(path),
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        classes=names,
        fingerprint=fingerprint_of(splits),
        images=False,
        values=columns.is_value,
        tags=bool(columns.words),
        notes=(*columns.notes, *left_out(path, files)),
    )
    return data_from_source(source, args, None, seed)


def texts_alone(path: Path, given: Mapping[str, Any], apart: bool = False) -> TextSplit:
    """The texts of a table, or of a folder's train table; labels aren't looked at.

    Args:
        path: The file or folder.
        given: Column names: ``text`` and ``pair``, or ``tokens``.
        apart: The texts of a pair are read apart: where the table has no second column, neighbours become pairs.

    Raises:
        DataError: A file or column is missing, or a row has no text; names file and row.
    """
    file = files_of(path).get("train", path)
    rows = list(rows_of(file))
    if not rows:
        raise DataError(f"{file} has no rows", "a header, and a text a row")
    if apart and given.get("pair") not in rows[0]:
        given = {name: column for name, column in given.items() if name != "pair"}
    columns = _Columns(Arguments(given, INPUTS, str(path)), rows[0], file, labelled=False)
    if columns.words:
        return untagged(rows, columns.words, file)
    texts, pairs = _texts(rows, columns, file)
    found = TextSplit(texts, torch.full((len(texts),), UNLABELED), pairs)
    return found.two_by_two() if apart and pairs is None else found


class _Columns:
    """Which columns hold what; ``label`` is empty where labels aren't looked at."""

    def __init__(self, args: Arguments, row: Row, file: Path, labelled: bool = True) -> None:
        self.notes: list[str] = []
        self._row, self._file = row, file
        self.pair: str | None = None
        self.is_value = False
        tokens, tags = args.name("tokens"), args.name("tags")
        self.words = self._named("tokens", tokens) if tokens else ""
        if self.words or tags:
            given = [name for name in ("text", "pair", "label", "target") if args.name(name)]
            if given or not self.words or (labelled and not tags):
                got = " and ".join(name for name in ("tokens", "tags", *given) if args.name(name))
                raise DataError(
                    f"--data-arg tokens and tags, columns with lists, belong together and to nothing else; got {got}",
                    "--data-arg tokens=COLUMN --data-arg tags=COLUMN",
                )
            self.label = self._named("tags", tags) if labelled else ""
            return
        text = args.name("text")
        self.text = self._named("text", text) if text else self._guess("text", ("text", "sentence", "review"))
        pair = args.name("pair")
        self.pair = self._named("pair", pair) if pair else None
        label, target = args.name("label"), args.name("target")
        if label and target:
            raise DataError("--data-arg label and target exclude one another", "label for classes, target for numbers")
        self.is_value = bool(target)
        if not labelled:
            self.label = ""
        elif target:
            self.label = self._named("target", target)
        else:
            self.label = self._named("label", label) if label else self._guess("label", ("label", "class", "stars"))

    def _named(self, what: str, name: str) -> str:
        if name not in self._row:
            have = ", ".join(self._row)
            raise DataError(
                f"{self._file} has no column '{name}'{did_you_mean(name, list(self._row))}; it has: {have}",
                f"--data-arg {what}=COLUMN",
            )
        return name

    def _guess(self, what: str, usual: tuple[str, ...]) -> str:
        for name in usual:
            if name in self._row:
                self.notes.append(f"{what} is the column '{name}'")
                return name
        have = ", ".join(self._row)
        raise DataError(f"which column of {self._file} is the {what}? It has: {have}", f"--data-arg {what}=COLUMN")


def _classes(rows: list[Row], columns: _Columns, model: tuple[str, ...], file: Path) -> tuple[str, ...]:
    if columns.is_value:
        return ()
    declared = declared_classes(file, columns.label) if is_saved_dataset(file) else ()
    if columns.words:
        return tag_names(rows, columns.label, model, file, declared)
    found = {_label(row, columns.label, file, number) for number, row in enumerate(rows, start=1)}
    return class_names(found, model, declared)


def _labelled(rows: list[Row], columns: _Columns) -> bool:
    return any(row.get(columns.label) is not None for row in rows)


def _label(row: Row, column: str, file: Path, number: int) -> str:
    value = row.get(column)
    if value is None or value == "":
        raise DataError(f"{file}, row {number}: no {column}", "remove the row, or give its label")
    if not isinstance(value, str | int | float) or value != value:
        raise DataError(
            f"{file}, row {number}: {column} is {shown(value)}, wanted a text or a number", "repair the row"
        )
    return label_name(value)


def _split(rows: list[Row], columns: _Columns, classes: tuple[str, ...], file: Path) -> TextSplit:
    if columns.words:
        return tagged(rows, columns.words, columns.label, classes, file)
    texts, pairs = _texts(rows, columns, file)
    return TextSplit(texts, _labels(rows, columns, classes, file), pairs)


def _texts(rows: list[Row], columns: _Columns, file: Path) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    texts = tuple(_text(row, columns.text, file, number) for number, row in enumerate(rows, start=1))
    if columns.pair is None:
        return texts, None
    return texts, tuple(_text(row, columns.pair, file, number) for number, row in enumerate(rows, start=1))


def _text(row: Row, column: str, file: Path, number: int) -> str:
    value = row.get(column)
    if value is None:
        raise DataError(f"{file}, row {number}: no {column}", "remove the row, or give it a text; '' is one")
    if not isinstance(value, str):
        raise DataError(f"{file}, row {number}: {column} is {shown(value)}, wanted text", "--data-arg text=COLUMN")
    return value


def _labels(rows: list[Row], columns: _Columns, classes: tuple[str, ...], file: Path) -> Tensor:
    found = [_label(row, columns.label, file, number) for number, row in enumerate(rows, start=1)]
    if columns.is_value:
        return torch.tensor([_number(value, columns.label, file, row) for row, value in enumerate(found, start=1)])
    places = Places(classes)
    here = [places.get(label) for label in found]
    for number, (label, place) in enumerate(zip(found, here, strict=True), start=1):
        if place is None:
            known = ", ".join(classes[:10])
            raise DataError(
                f"{file}, row {number}: label '{label}' is not one of the training data's: {known}",
                "the same classes in every split",
            )
    return torch.tensor(here)


def _number(value: str, column: str, file: Path, row: int) -> float:
    try:
        return float(value)
    except ValueError:
        raise DataError(f"{file}, row {row}: {column} is '{value}', wanted a number", "label= for classes") from None


def fingerprint_of(splits: Mapping[str, TextSplit]) -> str:
    """sha256 over texts and labels."""
    digest = hashlib.sha256()
    for name, split in splits.items():
        digest.update(json.dumps([name, split.texts, split.pairs, split.labels.tolist()]).encode())
    return digest.hexdigest()
