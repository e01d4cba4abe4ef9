"""Several runs as one page: a row each, and score against size and against latency."""

from pathlib import Path

from compressor.comparison import Compared, Comparison
from compressor.figures import EMPTY, between, count, number, times, with_error
from compressor.report_html.plot import Point, scatter
from compressor.report_html.written import write_page


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write the page, which needs nothing beside it.

    Args:
        comparison: At least two runs.
        path: The file; replaced in one step.
    """
    score = comparison.runs[0].report.score.name
    write_page(
        "compare.html.j2",
        path,
        title=f"{len(comparison.runs)} runs",
        score=score,
        plots=_plots(comparison, score),
        rows=[_row(run) for run in comparison.runs],
        notes=comparison.notes,
    )


def _plots(comparison: Comparison, score: str) -> list[str]:
    sizes = [(run, run.last.size_bytes and run.last.size_bytes / 1e6) for run in comparison.runs]
    drawn = []
    for name, costs in (
        ("size, MB", sizes),
        ("latency p50, ms", [(run, run.milliseconds) for run in comparison.runs]),
    ):
        points = [
            Point(run.name, cost, run.last.score, run.last.score_stderr or 0.0)
            for run, cost in costs
            if cost and run.last.score is not None
        ]
        if points:
            drawn.append(scatter(points, name, score, joined=False))
    return drawn


def _row(run: Compared) -> dict[str, str]:
    last, reference = run.last, run.report.stages[0]
    latency = last.latency_ms
    missed = [check.name for check in run.report.budget if check.met is False]
    return {
        "name": run.name,
        "profile": str(run.report.profile.get("name", "")),
        "params": count(last.params),
        "macs": count(last.macs),
        "size": number(None if last.size_bytes is None else last.size_bytes / 1000),
        "smaller": times(reference.size_bytes, last.size_bytes),
        "score": with_error(last.score, last.score_stderr),
        "drop": with_error(last.score_drop, last.score_drop_stderr, sign="+"),
        "p50": number(run.milliseconds),
        "faster": times(latency.reference_p50 if latency else None, latency.p50 if latency else None),
        "interval": between(latency.faster_low, latency.faster_high) if latency else EMPTY,
        "front": "yes" if run.on_front else "",
        "budget": f"missed: {', '.join(missed)}" if missed else "met" if run.report.budget else "",
    }
