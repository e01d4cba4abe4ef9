"""Words with a tag each, as rows of a table hold them: lists of strings, and of as many tags."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compressor.data.labels import IGNORED, UNLABELED, Places, class_names, label_name
from compressor.data.texts import TextSplit
from compressor.errors import DataError

Rows = Sequence[Mapping[str, Any]]
AS_LISTS = "a list: JSON lines or Parquet hold them, CSV doesn't"


def tag_names(
    rows: Rows, tags: str, model: tuple[str, ...], file: Path, declared: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """All tags of a table: the model's names where it has all of them, else the data's own in order.

    Raises:
        DataError: A row has no list of tags.
    """
    found = {tag for number, row in enumerate(rows, start=1) for tag in _tags(row, tags, file, number)}
    return class_names(found, model, declared)


def tagged(rows: Rows, tokens: str, tags: str, classes: tuple[str, ...], file: Path) -> TextSplit:
    """Words and their labels, int64 (N, words of the longest), ``IGNORED`` after a sample's last.

    Raises:
        DataError: A row has no words, another number of tags, or a tag that the training data hasn't; names file
            and row.
    """
    places = Places(classes)
    found = []
    texts = words_of(rows, tokens, file)
    for number, (row, words) in enumerate(zip(rows, texts, strict=True), start=1):
        named = _tags(row, tags, file, number)
        if len(named) != len(words):
            raise DataError(
                f"{file}, row {number}: {len(words)} {tokens} and {len(named)} {tags}, wanted a tag for each word",
                "repair the row",
            )
        here = [places.get(tag) for tag in named]
        for tag, place in zip(named, here, strict=True):
            if place is None:
                known = ", ".join(classes[:10])
                raise DataError(
                    f"{file}, row {number}: tag '{tag}' is not one of the training data's: {known}",
                    "the same tags in every split",
                )
        found.append(here)
    return TextSplit(texts, _filled(found))


def untagged(rows: Rows, tokens: str, file: Path) -> TextSplit:
    """Words alone; every label is ``UNLABELED``."""
    texts = words_of(rows, tokens, file)
    return TextSplit(texts, torch.full((len(texts), max(map(len, texts))), UNLABELED))


def words_of(rows: Rows, tokens: str, file: Path) -> tuple[tuple[str, ...], ...]:
    """Each row's words.

    Raises:
        DataError: A row has no list of words, or an empty one.
    """
    found = []
    for number, row in enumerate(rows, start=1):
        words = row.get(tokens)
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise DataError(f"{file}, row {number}: {tokens} is {_short(words)}, wanted words", AS_LISTS)
        if not words:
            raise DataError(f"{file}, row {number}: {tokens} is empty", "remove the row")
        found.append(tuple(words))
    return tuple(found)


def _tags(row: Mapping[str, Any], tags: str, file: Path, number: int) -> list[str]:
    given = row.get(tags)
    if not isinstance(given, list) or not all(isinstance(tag, str | int | float) for tag in given):
        raise DataError(f"{file}, row {number}: {tags} is {_short(given)}, wanted a tag for each word", AS_LISTS)
    return [label_name(tag) for tag in given]


def _filled(rows: list[list[int | None]]) -> Tensor:
    filled = torch.full((len(rows), max(map(len, rows))), IGNORED)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = torch.tensor(row)
    return filled


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
