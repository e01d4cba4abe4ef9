"""Pages from templates, and numbers as they stand in them."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from compressor.report import Latency
from compressor.writing import write_atomically


def write_page(template: str, path: Path, **values: Any) -> None:
    """Write a page that needs nothing beside it; every value is escaped.

    Args:
        template: Its name in this folder.
        path: The file; replaced in one step.
        **values: What the template names.
    """
    pages = Environment(
        loader=PackageLoader("compressor.report_html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_atomically(path, pages.get_template(template).render(**values).encode())


def number(value: float | None) -> str:
    """Three digits, or a whole number with its thousands."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def count(value: int | None) -> str:
    """``11.2 M``: three digits are enough to compare by."""
    if value is None:
        return "–"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return str(value)


def times(reference: float | None, value: float | None) -> str:
    """How many times less, ``3.2x``."""
    return f"{reference / value:.3g}x" if reference and value else "–"


def with_error(value: float | None, stderr: float | None) -> str:
    """A score and its standard error."""
    if value is None:
        return "–"
    return f"{value:.4f}" + (f" ± {stderr:.4f}" if stderr is not None else "")


def interval(latency: Latency | None) -> str:
    """Of how many times faster: ``4.6 to 4.9``."""
    if latency is None or latency.faster_low is None or latency.faster_high is None:
        return ""
    return f"{latency.faster_low:.3g} to {latency.faster_high:.3g}"
