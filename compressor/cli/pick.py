"""``compress pick``: another file of what a run's search measured."""

from __future__ import annotations

from typing import Any

import click

from compressor.cli.goals import PICK_OPTIONS, goals_of
from compressor.cli.options import add_options, check_writable
from compressor.errors import InputError


@click.command()
@click.argument("run")
@add_options(PICK_OPTIONS)
@click.option("--point", metavar="NAME", help="This one, whatever it meets: a name from the report.")
@click.option("--out", metavar="DIR", help="Where the file goes; RUN/picked if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print the point as one JSON object.")
def pick(run: str, point: str | None, out: str | None, as_json: bool, **typed: Any) -> None:
    """Take another file of what the search of RUN measured; nothing is trained, and nothing measured again.

    The figures are those of the validation split, by which the search chose.
    """
    from compressor.cli.console import console, megabytes, print_json
    from compressor.figures import with_error
    from compressor.pipeline.pick import pick as take
    from compressor.reading import placed
    from compressor.target import Goals

    goals = goals_of(typed, Goals())
    if (point is None) == (not goals.limits()):
        raise InputError("which one? wanted --point or goals, and not both", "--max-size 200kB, or --point p03")
    folder = None if out is None else placed(out, "--out", "another --out")
    where = placed(run, "RUN", "the folder of a run, or runs/last")
    check_writable(folder or where)
    picked = take(where, goals, point, folder)
    if as_json:
        print_json({**picked.point.model_dump(mode="json"), "path": str(picked.path)})
        return
    one = picked.point
    drop = with_error(one.score_drop, one.score_drop_stderr, sign="+")
    latency = "" if one.latency_ms is None else f", {one.latency_ms:.3g} ms"
    shown = f"{one.name}: {megabytes(one.size_bytes)}{latency}, drop {drop} on validation, {one.precision}"
    console().print(f"{shown}\n{picked.path}")
