"""``key=value`` as it is typed on the command line: values are literals of TOML or Python where they parse."""

import tomllib
from collections.abc import Sequence
from typing import Any

from compressor.errors import InputError

# Python's own words, which TOML has none or others for; in quotes they are text.
PYTHON = {"True": True, "False": False, "None": None}


def parse_value(text: str) -> Any:
    """A TOML literal (``0.5``, ``true``, ``[1, 2]``, ``{macs = 0.5}``, ``"x"``), True, False, None, else the text."""
    if text in PYTHON:
        return PYTHON[text]
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        # Also a number of thousands of digits, and brackets nested as deep.
        return text
    return parsed["value"] if set(parsed) == {"value"} else text


def parse_assignment(text: str, option: str) -> tuple[str, Any]:
    """Key and value of ``key=value``.

    Args:
        text: As typed.
        option: The option it was typed after, for the error.

    Raises:
        InputError: There is no key or no ``=``.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"{option} {text}: got '{text}', wanted KEY=VALUE", f"{option} {text or 'key'}=1")
    return key.strip(), parse_value(value.strip())


def parse_assignments(texts: Sequence[str], option: str) -> dict[str, Any]:
    """All of them as one dict; the last one of a key wins."""
    return dict(parse_assignment(text, option) for text in texts)
