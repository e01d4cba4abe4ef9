"""Small files that someone else wrote: their size, their depth and the number of their values are bounded.

Every JSON text that this package reads comes through here, so that a damaged or hostile one ends as an error which
names the file. Whatever parses JSON in Python recurses; the depth is therefore checked first, by a parser with a
limit of its own (pydantic's, 200 levels).
"""

import json
import stat
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import pydantic_core
from pydantic import BaseModel, ValidationError

from compressor import faults
from compressor.errors import CompressError, InputError

K = TypeVar("K")
M = TypeVar("M", bound=BaseModel)
MB = 1_000_000
# The largest tokenizers are files of 35 MB with two million values.
LARGEST = 128 * MB
MOST_VALUES = 8_000_000
DEEP = "recursion limit"
NAMES: dict[type, str] = {dict: "an object", list: "a list", type(None): "null"}


def placed(name: str, what: str, hint: str = "", error: type[CompressError] = InputError) -> Path:
    """A path that the file system can look up, whether or not anything is there.

    Args:
        name: As typed, or as a file names it.
        what: Names it in the error.
        hint: What to type next, for the error.
        error: Which error to raise.

    Raises:
        CompressError: ``error``: it is longer than names may be, holds a NUL, or goes round in links.
    """
    try:
        Path(name).stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else fault
        raise error(f"{what} {faults.shown(name)} can't be a file: {reason}", hint) from None
    return Path(name)


def read_bytes(path: Path, hint: str = "", error: type[CompressError] = InputError, largest: int = LARGEST) -> bytes:
    """A whole file that is no larger than it may be.

    Args:
        path: A regular file, or a link to one.
        hint: What to type next, for the error.
        error: Which error to raise.
        largest: In bytes.

    Raises:
        CompressError: ``error``: it isn't there, can't be read, is no file, or is too large.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise error(f"{path} is {kind}, wanted a file", hint)
        if found.st_size > largest:
            raise error(f"{path} has {found.st_size / MB:.0f} MB, wanted at most {largest // MB}", hint)
        with path.open("rb") as file:
            # A file may grow while it is read.
            return file.read(found.st_size)
    except FileNotFoundError:
        raise error(f"no file {path}", hint) from None
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else fault
        raise error(f"{path} can't be read: {reason}", hint) from None


def read_text(path: Path, hint: str = "", error: type[CompressError] = InputError, largest: int = LARGEST) -> str:
    """A whole file in UTF-8, with or without a mark; errors as ``read_bytes``'s."""
    try:
        return read_bytes(path, hint, error, largest).decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise error(f"{path} is not UTF-8 at byte {fault.start}", hint) from None


def read_toml(path: Path, hint: str = "", error: type[CompressError] = InputError) -> dict[str, Any]:
    """A TOML file; errors as ``read_bytes``'s, or it is not TOML."""
    text = read_text(path, hint, error, largest=MB)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise error(f"{path}: its TOML is nested too deep", hint) from None
    except ValueError as fault:
        # Not TOMLDecodeError alone: a number of thousands of digits, and dates that there aren't.
        raise error(f"{path} is not TOML: {fault}", hint) from None


def read_json(path: Path, kind: type[K], hint: str = "", error: type[CompressError] = InputError) -> K:
    """A JSON file whose outermost value is of this kind; errors as ``parse_json``'s and ``read_bytes``'s."""
    return parse_json(read_text(path, hint, error), kind, str(path), hint, error)


def parse_json(
    text: str, kind: type[K], where: str, hint: str = "", error: type[CompressError] = InputError, nan: bool = False
) -> K:
    """A JSON text whose outermost value is of this kind.

    Args:
        text: Of any origin.
        kind: ``dict``, ``list`` or ``object`` for any.
        where: Names the text in the error: its file, and what it is of it.
        hint: What to type next, for the error.
        error: Which error to raise.
        nan: Take NaN and Infinity, which Python writes and JSON doesn't know.

    Raises:
        CompressError: ``error``: not JSON, of another kind, too deep, of too many values, or with one name twice in
            an object.
    """
    try:
        if text.count(",") + text.count("[") + text.count("{") > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES // 1_000_000} million values")
        pydantic_core.from_json(text, allow_inf_nan=nan)
        values = json.loads(text, object_pairs_hook=_object)
    except ValueError as fault:
        if DEEP in str(fault):
            raise error(f"{where}: its JSON is nested too deep, wanted at most 200 levels", hint) from None
        raise error(f"{where} is not JSON: {fault}", hint) from None
    if not isinstance(values, kind):
        raise error(f"{where} is {_named(type(values))}, not {_named(kind)}", hint)
    return values


def read_record(path: Path, record: type[M], hint: str = "", error: type[CompressError] = InputError) -> M:
    """A JSON file that a pydantic model describes; errors as ``read_json``'s and ``as_record``'s."""
    values = parse_json(read_text(path, hint, error), dict, str(path), hint, error, nan=True)
    return as_record(record, values, str(path), hint, error)


def as_record(record: type[M], values: Any, where: str, hint: str = "", error: type[CompressError] = InputError) -> M:
    """What was read, as the pydantic model that describes it.

    Args:
        record: The model.
        values: As parsed.
        where: Names the file, and what it is of it.
        hint: What to type next, for the error.
        error: Which error to raise.

    Raises:
        CompressError: ``error``: something is missing or of another kind; the first such faults are named.
    """
    try:
        return record.model_validate(values)
    except ValidationError as fault:
        listed = faults.sentences(fault, record, where)
        more = f" (and {len(listed) - 3} more)" if len(listed) > 3 else ""
        raise error("; ".join(listed[:3]) + more, hint) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"the name {faults.shown(twice)} stands there twice")
    return made


def _named(kind: type) -> str:
    return NAMES.get(kind, f"a {kind.__name__}")
