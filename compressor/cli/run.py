"""``compress run``: the whole pipeline."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from compressor.cli.child import say
from compressor.cli.options import JOB_OPTIONS, ControlCommand, JobOptions, add_options
from compressor.cli.track import TRACK_OPTION, trackers_of
from compressor.errors import ExitCode

if TYPE_CHECKING:
    from compressor.pipeline import Job


@click.command(cls=ControlCommand)
@click.argument("model")
@add_options((*JOB_OPTIONS, TRACK_OPTION))
@click.option("--json", "as_json", is_flag=True, help="Print report.json and nothing else.")
@click.pass_obj
def run(command: str, /, track: tuple[str, ...], as_json: bool, **typed: Any) -> int:
    """Distil, prune, quantize and export MODEL for a profile's target, measuring every stage.

    MODEL is a checkpoint (compress example, compress train, compressor.save_checkpoint), or a bare
    state_dict with --factory. Ends with 6 if everything ran but the budget was missed.
    """
    trackers = trackers_of(track)
    return carry_out(replace(JobOptions(**typed).job(command), track=trackers), as_json)


def carry_out(job: Job, as_json: bool) -> int:
    """Do a job, print its report, and give the exit code that it ends with."""
    from compressor import pipeline
    from compressor.cli.console import print_json, print_report
    from compressor.cli.progress import progress_display

    say(out=str(job.out))
    with progress_display() as progress:
        report = pipeline.run(job, progress)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        print_report(report, str(job.out))
    return ExitCode.BUDGET_MISSED if report.status == "budget_missed" else ExitCode.DONE
