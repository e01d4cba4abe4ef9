"""``compress verify``: a run's files are what it wrote, can be read, and score what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from compressor.cli.options import MODEL_OPTIONS, ModelOptions, add_options
from compressor.errors import ExitCode, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from compressor.report import Report

# Of the score's own standard error: another processor rounds a few samples otherwise.
AS_GOOD_AS_SAME = 0.2
STRUCTURE = "structure.json"


@click.command()
@click.argument("run")
@add_options(MODEL_OPTIONS)
@click.option("--no-score", is_flag=True, help="Only hashes, and whether every network can be read.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(run: str, no_score: bool, as_json: bool, **typed: Any) -> int:
    """Check what RUN left: the sha256 of every file, every stage's network read back, and the last file's score.

    Ends with 2 and the file's name where one is damaged or can't be read, and with 6 where the score is another.
    """
    from compressor.cli.console import print_json
    from compressor.cli.printed import echo
    from compressor.pipeline.lineage import damage, read_lineage
    from compressor.reading import placed
    from compressor.report import REPORT, Report, report_in

    path = placed(run, "RUN", "the folder of a run, or runs/last")
    told = report_in(path) or path / REPORT
    folder = told.parent
    found = damage(folder)
    if found:
        raise InputError(f"{folder}: {'; '.join(found)}", "run again: what is damaged is made anew")
    report = Report.read(told)
    read = _read_back(folder, ModelOptions(model="", **typed))
    # Of several seeds the report has the mean.
    scores = None if no_score or report.seeds or not read else _scores(report, folder / read[-1], typed)
    if as_json:
        shown = dict(zip(("reported", "measured"), scores, strict=True)) if scores else None
        print_json({"files": len(read_lineage(folder).files), "networks": read, "score": shown})
    else:
        echo(f"{len(read_lineage(folder).files)} files are as the run wrote them")
        echo(f"read back: {', '.join(read) or 'no network'}")
        if scores:
            echo(f"{report.score.name} of {read[-1]}: {scores[0]:.4f} reported, {scores[1]:.4f} now")
    error = (report.stages[-1].score_stderr or 0.0) * AS_GOOD_AS_SAME
    same = scores is None or abs(scores[0] - scores[1]) <= max(error, 1e-9)
    return ExitCode.DONE if same else ExitCode.BUDGET_MISSED


def _read_back(folder: Path, options: ModelOptions) -> list[str]:
    """The stages whose saved networks could be read, in their order."""
    from compressor.loading import load_form

    saved = (*folder.glob(f"[0-9]*/{STRUCTURE}"), *folder.glob(f"seed-*/[0-9]*/{STRUCTURE}"))
    names = sorted(path.parent.relative_to(folder).as_posix() for path in saved)
    for name in names:
        load_form(folder / name, factory=options.factory, trust=options.trust)
    return names


def _scores(report: Report, stage: Path, typed: dict[str, Any]) -> tuple[float, float] | None:
    from compressor.cli.measure import measured
    from compressor.report import target_of

    target, reported = target_of(report, stage.parent), report.stages[-1].score
    options = ModelOptions(model=str(stage), **typed)
    record, _ = measured(options, target.threads, target.batch_size)
    return None if reported is None or record.score is None else (reported, record.score)
