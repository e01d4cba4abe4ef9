"""What is printed, free of what a file's names could do to a terminal, and where ``--json`` leaves standard output."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

import click

# Controls but tab and line feed, marks that turn the direction of text (and so its order), other ends of lines, and
# halves of pairs, which stand for bytes that are no UTF-8.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# What only we begin a line with.
OURS = re.compile(r"\n(?=\s*(error|try|note|warning)\s*:)", re.IGNORECASE)
_free: list[TextIO] = []


def clean(text: str) -> str:
    r"""A text in which controls are written out, as ``\x1b``, and no line passes for one of our own."""
    return UNPRINTABLE.sub(_written_out, OURS.sub(r"\\n", text))


def echo(text: str, err: bool = False) -> None:
    """Print a line, cleaned."""
    click.echo(clean(text), err=err)


def echo_json(text: str) -> None:
    """Print a JSON text on standard output, whatever else is kept off it."""
    click.echo(text, file=_free[-1] if _free else None)


@contextmanager
def standard_output_kept() -> Iterator[None]:
    """Send what code that isn't ours prints to standard error, so that ``echo_json`` has the other to itself."""
    _free.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _free.pop()


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
