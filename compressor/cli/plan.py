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
    """Do all of a run of MODEL but the training, on copies, and say what it would do.

    Student, pruning, capture, quantizers, a step of each training, the ONNX file and a call of it: what
    can fail fails here, with the stage's name. With an estimate of the run's time and memory.
    """
    from compressor import pipeline
    from compressor.cli.console import console, print_json, print_table
    from compressor.cli.progress import duration, place_only

    planned = pipeline.plan(JobOptions(**typed).job(command), place_only)
    if as_json:
        print_json(dataclasses.asdict(planned))
        return
    rows = [(line.name, line.accepts, line.produces, "\n".join(line.notes)) for line in planned.lines]
    print_table("the plan works", ["stage", "takes", "gives", "notes"], rows)
    fates = [(line.name, *row) for line in planned.lines for row in by_fate(line.layers)]
    if fates:
        print_table("layers", ["stage", "what", "how many", "which"], fates)
    out = console()
    for note in planned.notes:
        out.print(f"note: {note}", markup=False)
    unit = "h:mm:ss" if planned.seconds >= 3600 else "m:ss"
    out.print(f"the run: about {duration(planned.seconds)} ({unit})")
    out.print(f"memory: about {planned.memory_bytes / 1e9:.1f} GB")


def by_fate(layers: dict[str, str], shown: int = 3) -> list[tuple[str, str, str]]:
    """A row for each thing that becomes of layers: what, how many, and some of them with what is their own."""
    groups: dict[str, list[str]] = {}
    for name, fate in layers.items():
        kind, _, own = fate.partition(": ")
        # Reasons are shared by many layers, and told once; widths are each layer's own.
        what, layer = (kind, f"{name} ({own})") if own and own[0].isdigit() else (fate, name)
        groups.setdefault(what, []).append(layer)
    return [
        (what, str(len(names)), ", ".join(names[:shown]) + (", ..." if len(names) > shown else ""))
        for what, names in groups.items()
    ]
