"""``compress plan``: the pre-flight alone."""

import dataclasses
from typing import Any

import click

from compressor.cli.options import JOB_OPTIONS, ControlCommand, JobOptions, add_options


@click.command(cls=ControlCommand)
@click.argument("model")
@add_options(JOB_OPTIONS)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON object.")
@click.pass_obj
def plan(command: str, /, as_json: bool, **typed: Any) -> None:
    """Check what a run of MODEL would do, without training anything.

    The forms chain, data and labels fit the network, every group of channels prunes, the target's
    rules hold; with an estimate of time and memory. compress run does the same first.
    """
    from compressor import pipeline
    from compressor.cli.console import console, print_json, print_table
    from compressor.cli.progress import duration

    planned = pipeline.plan(JobOptions(**typed).job(command))
    if as_json:
        print_json(dataclasses.asdict(planned))
        return
    rows = [(line.name, line.accepts, line.produces, "\n".join(line.notes)) for line in planned.lines]
    print_table("the plan works", ["stage", "takes", "gives", "notes"], rows)
    out = console()
    for note in planned.notes:
        out.print(f"note: {note}", markup=False)
    if planned.seconds is not None:
        unit = "h:mm:ss" if planned.seconds >= 3600 else "m:ss"
        out.print(f"training: about {duration(planned.seconds)} ({unit})")
    if planned.memory_bytes is not None:
        out.print(f"memory: about {planned.memory_bytes / 1e9:.1f} GB")
