"""Faults in settings as sentences: where, what was given, what was wanted, and the nearest known name."""

import re
import reprlib
import types
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from compressor.errors import did_you_mean

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlevel = 3


def shown(value: Any) -> str:
    """A value of any size and depth in a few words, as Python writes it."""
    try:
        return _SHORT.repr(value)
    except ValueError:
        # A whole number of more digits than Python turns into text.
        return "a number of thousands of digits"


def sentences(error: ValidationError, settings: type[BaseModel], where: str) -> list[str]:
    """One sentence per fault that pydantic found.

    Args:
        error: What validation raised.
        settings: The class that was validated.
        where: Names the table, ``"stage 2 (prune)"``.
    """
    return [_sentence(details, settings, where) for details in error.errors(include_url=False)]


def _sentence(details: ErrorDetails, settings: type[BaseModel], where: str) -> str:
    loc = [part for part in details["loc"] if isinstance(part, int) or not part.startswith("function-")]
    key = ".".join(str(part) for part in loc)
    place = f"{where}: {key}" if key else where
    got = details["input"]
    match details["type"]:
        case "extra_forbidden":
            fields = known_fields(settings, loc[:-1])
            guess = did_you_mean(str(loc[-1]), fields)
            known = "" if guess else f"; known are {', '.join(fields)}" if fields else "; it takes no settings"
            return f"{where}: no setting '{key}'{guess or known}"
        case "missing":
            return f"{place}: missing"
        case "literal_error":
            expected = details.get("ctx", {}).get("expected", "")
            choices = re.findall(r"'([^']*)'", str(expected))
            return f"{place}: got {shown(got)}, wanted {expected}{did_you_mean(str(got), choices)}"
        case "value_error" | "assertion_error":
            return f"{place}: {details['msg'].partition(', ')[2]}"
        case _:
            wanted = details["msg"].removeprefix("Input should be ")
            return f"{place}: got {shown(got)}, wanted {wanted}"


def known_fields(settings: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The field names of the settings table at ``loc``; empty where there is no table."""
    table = table_at(settings, loc)
    return list(table.model_fields) if table is not None else []


def table_at(settings: type[BaseModel], loc: Sequence[str | int]) -> type[BaseModel] | None:
    """The settings class that a path of field names leads to, None where it leads to a plain value."""
    current: type[BaseModel] | None = settings
    for part in loc:
        if current is None:
            return None
        if isinstance(part, int) or part not in current.model_fields:
            continue
        current = _table_in(current.model_fields[part].annotation)
    return current


def _table_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, tuple, list):
        for argument in get_args(annotation):
            found = _table_in(argument)
            if found is not None:
                return found
    return None


def type_name(annotation: Any) -> str:
    """A setting's type in words: ``number``, ``'onnx' | 'tensorrt'``, ``table``."""
    if annotation is None or annotation is type(None):
        return ""
    if _table_in(annotation) is annotation:
        return "table"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(repr(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(filter(None, (type_name(argument) for argument in arguments)))
    if origin in (tuple, list):
        return f"list of {type_name(arguments[0])}"
    plain = {bool: "true | false", int: "whole number", float: "number", str: "text"}
    return plain.get(annotation, getattr(origin or annotation, "__name__", str(annotation)))
