"""The goals of a run as they are typed: sizes, times, counts and what is to be got out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from compressor.errors import InputError
from compressor.units import COUNTS, SIZES, TIMES, quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compressor.target import Goals


LIMIT_OPTIONS = (
    click.option("--max-size", metavar="SIZE", help="The file may have so much: 500kB, 2MB, 1.5MiB."),
    click.option("--max-latency", metavar="TIME", help="A call may take so long, p50: 5ms."),
    click.option("--max-params", metavar="N", help="So many parameters may remain: 250k, 1.5M."),
    click.option("--max-macs", metavar="N", help="So many multiplications may remain: 20M."),
)
PICK_OPTIONS = (
    click.option("--max-drop", metavar="X", help="The score may fall by so much; 0.01 is one point."),
    *LIMIT_OPTIONS,
    click.option("--minimize", metavar="WHAT", help="size or latency: as small as the limits allow."),
    click.option("--maximize", metavar="WHAT", help="score: as good as the limits allow."),
)
GOAL_OPTIONS = (
    *PICK_OPTIONS,
    click.option("--hours", metavar="H", help="All of it may take so long; stopped at any time, the same goes on."),
    click.option(
        "--confidence",
        metavar="P",
        help="--max-drop is kept only if it is with this probability: 0.95; else a standard error is kept in hand.",
    ),
)
# What is typed, where it goes, and in which units.
PLACES: dict[str, tuple[str, Mapping[str, float], str]] = {
    "max_drop": ("score_drop", {"": 1.0}, "--max-drop 0.01"),
    "max_size": ("size_mb", SIZES, "--max-size 500kB"),
    "max_latency": ("latency_ms", TIMES, "--max-latency 5ms"),
    "max_params": ("params", COUNTS, "--max-params 250k"),
    "max_macs": ("macs", COUNTS, "--max-macs 20M"),
    "hours": ("hours", {"": 1.0}, "--hours 1.5"),
    "confidence": ("confidence", {"": 1.0}, "--confidence 0.95"),
}
LIMITS = ("max_drop", "max_size", "max_latency", "max_params", "max_macs")


def goals_of(typed: Mapping[str, Any], budget: Goals) -> Goals:
    """The profile's goals with those that were typed: limits that were typed stand in place of all of the profile's.

    Args:
        typed: Options by name, None where they weren't.
        budget: The profile's.

    Raises:
        InputError: A value can't be read, or goals contradict one another.
    """
    given = {place: quantity(f"--{name.replace('_', '-')}", str(text), units, hint)
             for name, (place, units, hint) in PLACES.items() if (text := typed.get(name)) is not None}  # fmt: skip
    given |= {name: typed[name] for name in ("minimize", "maximize") if typed.get(name) is not None}
    if not given:
        return budget
    alone = any(typed.get(name) is not None for name in LIMITS)
    kept = budget.model_dump(include={"hours", "confidence"} if alone else None, exclude_none=True)
    for one, other in (("minimize", "maximize"), ("maximize", "minimize")):
        if one in given and other not in given:
            kept.pop(other, None)
    for name in ("macs", "params"):
        if name in given and given[name] <= 1:
            raise InputError(f"--max-{name} {typed[f'max_{name}']}: wanted more than 1", f"--max-{name} 250k")
    goals = checked({**kept, **given})
    # Who types limits means what follows from them, and not what a profile would do besides.
    return checked({**kept, **given, "minimize": goals.objective}) if alone and goals.objective != "score" else goals


def checked(values: Mapping[str, Any]) -> Goals:
    """Goals that don't contradict one another.

    Raises:
        InputError: They do.
    """
    from pydantic import ValidationError

    from compressor import faults
    from compressor.target import Goals

    try:
        return Goals.model_validate(values)
    except ValidationError as error:
        said = "; ".join(faults.sentences(error, Goals, "goals"))
        raise InputError(
            said, "--max-drop 0.01 alone is as small as can be, --max-size 500kB alone as good as can be"
        ) from None
