"""Numbers as they are read: on the terminal and in pages alike, each with the value that it is sorted by."""

from typing import Self

# Where there is nothing.
NOTHING = "–"


class Figure(str):
    """A number as text.

    Args:
        text: What is shown.
        value: What it is sorted by; None where there is nothing.
    """

    __slots__ = ("value",)
    value: float | None

    def __new__(cls, text: str, value: float | None) -> Self:
        """A text that knows its number."""
        made = super().__new__(cls, text)
        made.value = value
        return made


EMPTY, MISSING = Figure("", None), Figure(NOTHING, None)


def number(value: float | None) -> Figure:
    """Three digits, or a whole number with its thousands."""
    if value is None:
        return MISSING
    return Figure(f"{value:,.0f}" if value >= 1000 else f"{value:.3g}", value)


def whole(value: int | None) -> Figure:
    """All digits, with thousands."""
    return MISSING if value is None else Figure(f"{value:,}", value)


def count(value: float | None) -> Figure:
    """``11200000`` as ``11.2 M``: three digits are enough to compare by."""
    if value is None:
        return MISSING
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return Figure(f"{value / limit:.3g} {unit}", value)
    return Figure(f"{value:g}", value)


def times(reference: float | None, value: float | None) -> Figure:
    """How many times less, ``3.2x``."""
    return Figure(f"{reference / value:.3g}x", reference / value) if reference and value else MISSING


def with_error(value: float | None, stderr: float | None, sign: str = "") -> Figure:
    """A score and its standard error, ``0.9350 ± 0.0025``.

    Args:
        value: Of the score, or of a difference.
        stderr: None to show none.
        sign: ``"+"`` shows that of positive numbers, too.
    """
    if value is None:
        return MISSING
    return Figure(f"{value:{sign}.4f}" + (f" ± {stderr:.4f}" if stderr is not None else ""), value)


def points(drop: float | None, stderr: float | None) -> Figure:
    """What a drop of the score is in hundredths, below 0 where it was lost: ``-0.45 ± 0.10``."""
    if drop is None:
        return MISSING
    error = "" if stderr is None else f" ± {100 * stderr:.2f}"
    # No drop is no minus.
    return Figure(f"{-100 * drop + 0.0:+.2f}{error}", -100 * drop)


def between(low: float | None, high: float | None) -> Figure:
    """An interval: ``4.6 to 4.9``."""
    return EMPTY if low is None or high is None else Figure(f"{low:.3g} to {high:.3g}", low)
