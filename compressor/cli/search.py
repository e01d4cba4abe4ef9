"""``compress search``: the search of a run, wider, for those who give it a night."""

from dataclasses import replace
from typing import Any

import click

from compressor.cli.options import JOB_OPTIONS, ControlCommand, JobOptions, add_options
from compressor.cli.run import carry_out
from compressor.cli.track import TRACK_OPTION, trackers_of

MOST_TRIALS = 1_000_000


@click.command(cls=ControlCommand)
@click.argument("model")
@add_options((*JOB_OPTIONS, TRACK_OPTION))
@click.option(
    "--trials",
    default=30,
    show_default=True,
    type=click.IntRange(1, MOST_TRIALS),
    metavar="N",
    help="Tried after what compress run would find; those of earlier sittings count.",
)
@click.option(
    "--storage",
    default="",
    metavar="URL",
    help="Where trials are kept: sqlite:///FILE, or postgresql://USER@HOST/DB for several machines, each with its own "
    "--out; else a journal in the run's folder. A password is better left to PGPASSWORD.",
)
@click.option("--json", "as_json", is_flag=True, help="Print report.json and nothing else.")
@click.pass_obj
def search(command: str, /, trials: int, storage: str, track: tuple[str, ...], as_json: bool, **typed: Any) -> int:
    """Search wider than compress run for the stages that meet the goals best for MODEL.

    First the search of compress run, then trials of an Optuna study: other rankings, students and
    objectives. Of --hours the last half is for baselines: a fixed profile, and random search with as much
    training. Killed at any moment, the same command goes on. Ends as compress run does.
    """
    from compressor.pipeline.search.storage import check_address

    check_address(storage)
    trackers = trackers_of(track)
    job = replace(JobOptions(**typed).job(command), trials=trials, storage=storage, track=trackers)
    return carry_out(job, as_json)
