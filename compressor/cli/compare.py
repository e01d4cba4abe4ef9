"""``compress compare``: several runs as one table and one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compressor.errors import InputError

if TYPE_CHECKING:
    from compressor.comparison import Compared


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--html", metavar="FILE", help="Write a page with the plots as well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(runs: tuple[str, ...], html: str | None, as_json: bool) -> None:
    """Put the last files of several runs beside one another: size, latency, score, and which no other run beats."""
    from compressor.cli.console import print_json, print_table
    from compressor.cli.printed import echo
    from compressor.comparison import compared
    from compressor.reading import placed
    from compressor.report import REPORT, Report, report_in
    from compressor.report_html.compare import write_comparison

    read = []
    for run in runs:
        path = placed(run, "RUN", "the folder of a run, or its report.json")
        read.append((run, Report.read(report_in(path) or path / REPORT)))
    found = compared(read)
    if html is not None:
        page = placed(html, "--html", "--html compared.html")
        if page.is_dir() or not page.parent.is_dir():
            raise InputError(f"--html {html}: wanted a file in a folder that is there", "--html compared.html")
        write_comparison(found, page)
    if as_json:
        print_json({"runs": [_as_json(run) for run in found.runs], "notes": list(found.notes)})
        return
    score = found.runs[0].report.score.name
    columns = ["run", "profile", "size", "size /", "p50 ms", "latency /", score, "drop", "front"]
    print_table("", columns, [_row(run) for run in found.runs], right=2)
    for note in found.notes:
        echo(f"note: {note}")
    if html is not None:
        echo(f"page: {html}")


def _row(run: Compared) -> list[str]:
    from compressor.cli.console import faster, megabytes
    from compressor.figures import number, times, with_error

    last, reference = run.last, run.report.stages[0]
    return [
        run.name,
        str(run.report.profile.get("name", "")),
        megabytes(last.size_bytes),
        times(reference.size_bytes, last.size_bytes),
        number(run.milliseconds),
        faster(last.latency_ms),
        with_error(last.score, last.score_stderr),
        with_error(last.score_drop, last.score_drop_stderr, sign="+"),
        "yes" if run.on_front else "",
    ]


def _as_json(run: Compared) -> dict[str, object]:
    ratios = run.report.ratios
    return {
        "run": run.name,
        "status": run.report.status,
        "size_bytes": run.last.size_bytes,
        "latency_ms": run.milliseconds,
        "score": run.last.score,
        "score_drop": run.last.score_drop,
        "smaller": ratios.size,
        "faster": ratios.latency,
        "on_front": run.on_front,
    }
