"""``compress tune-kd``: which distillation objective helps, by evidence."""

import dataclasses
from typing import Any

import click

from compressor.cli.options import JOB_OPTIONS, ControlCommand, JobOptions, add_options


@click.command("tune-kd", cls=ControlCommand)
@click.argument("model")
@add_options(JOB_OPTIONS)
@click.option("--samples", default=20_000, show_default=True, help="Of the training split, for every try.")
@click.option("--epochs", default=8, show_default=True, type=click.IntRange(2), help="Of a whole training.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.pass_obj
def tune_kd(command: str, /, samples: int, epochs: int, as_json: bool, **typed: Any) -> None:
    """Try objectives on the student that the profile's distill stage would train for MODEL.

    Successive halving leaves the worse ones behind; the best two and labels alone are trained under
    every seed (--seeds, 3 if not given) and compared in pairs on the validation split.
    """
    from compressor.cli.console import console, print_json, print_table
    from compressor.cli.progress import progress_display
    from compressor.figures import with_error
    from compressor.pipeline.tune import tune

    if click.get_current_context().get_parameter_source("seeds") is click.core.ParameterSource.DEFAULT:
        typed["seeds"] = 3
    job = JobOptions(**typed).job(command)
    with progress_display() as progress:
        tuned = tune(job, samples=samples, epochs=epochs, progress=progress)
    if as_json:
        print_json(dataclasses.asdict(tuned))
        return
    rows = [
        (one.name, str(one.epochs), f"{one.score:.4f}", with_error(one.difference, one.stderr, sign="+"))
        for one in tuned.tried
    ]
    columns = ["objective", "epochs", job.task.score_name, "against labels alone"]
    print_table(f"objectives on {job.data.source}, validation split", columns, rows, right=1)
    out = console()
    out.print(tuned.advice, markup=False, soft_wrap=True)
    if tuned.overrides:
        out.print("use it: " + " ".join(f'--set "{text}"' for text in tuned.overrides), markup=False, soft_wrap=True)
