"""The report as one self-contained page: no links, light and dark, read without its one script as well."""

from pathlib import Path
from typing import Any

from compressor.figures import EMPTY, MISSING, Figure, between, count, number, times, whole, with_error
from compressor.report import Artifact, BudgetCheck, Report, StageRecord, all_notes, in_ms_of
from compressor.report_html.curves import training_curves
from compressor.report_html.front import baseline_rows, front_plots, front_rows
from compressor.report_html.layers import layer_rows, layers_told
from compressor.report_html.plot import Point, scatter
from compressor.report_html.sensitivity import sensitivity_rows
from compressor.report_html.written import write_page

__all__ = ["write_html"]


def write_html(report: Report, path: Path) -> None:
    """Write the report as a page that needs nothing beside it.

    Args:
        report: What a run measured.
        path: The file; replaced in one step.
    """
    write_page(
        "page.html.j2",
        path,
        report=report,
        title=f"{report.profile.get('name', 'run')} on {report.data.get('source', 'data')}",
        waterfall=[_row(record, report.stages[0]) for record in report.stages],
        plots=_plots(report),
        front=front_plots(report),
        points=front_rows(report),
        sensitivity=sensitivity_rows(report),
        layers=layer_rows(report),
        layers_told=layers_told(report),
        artifacts=[_artifact(artifact) for artifact in report.artifacts],
        baselines=baseline_rows(report),
        verdict=_verdict(report),
        headline=_headline(report),
        budget=[_budget(check) for check in report.budget],
        recall=_recall(report),
        curves=training_curves(report),
        recovery=_recovery(report),
        compared=_compared(report),
        environment=_flat({**report.environment, **_memory(report)}),
        notes=all_notes(report),
    )


def _memory(report: Report) -> dict[str, str]:
    return {} if report.peak_memory_bytes is None else {"peak memory": f"{report.peak_memory_bytes / 1e9:.2f} GB"}


def _verdict(report: Report) -> tuple[str, str] | None:
    """Whether the goals were met, as the word that styles know and a sentence; None of a run that didn't end."""
    if report.status not in ("ok", "budget_missed"):
        return None

    def told(met: bool) -> str:
        return ", ".join(
            f"{one.name} {number(one.value)} of {number(one.limit)}" for one in report.budget if one.met is met
        )

    unknown = ", ".join(one.name for one in report.budget if one.met is None)
    rest = f"; not measured here: {unknown}" if unknown else ""
    if report.status == "budget_missed":
        return "missed", f"Goals missed: {told(False)}{rest}"
    return ("met", f"Goals met: {told(True)}{rest}") if told(True) else ("unknown", f"No goal was checked{rest}")


def _headline(report: Report) -> list[tuple[str, str]]:
    ratios = report.ratios
    figures = [("smaller", ratios.size), ("faster", ratios.latency), ("fewer MACs", ratios.macs)]
    shown = [(f"{value:.3g}x", what) for what, value in figures if value is not None]
    if ratios.score_drop is not None:
        shown.append((f"{ratios.score_drop:+.4f}", f"drop in {report.score.name}"))
    return shown


def _row(record: StageRecord, reference: StageRecord) -> dict[str, str]:
    latency = record.latency_ms
    p50 = latency.p50 if latency else None
    return {
        "name": record.name + (" (cached)" if record.cached else ""),
        "params": count(record.params),
        "macs": count(record.macs),
        "size": number(None if record.size_bytes is None else record.size_bytes / 1000),
        "score": with_error(record.score, record.score_stderr),
        "drop": EMPTY if record is reference else with_error(record.score_drop, record.score_drop_stderr, sign="+"),
        "p50": number(p50),
        "before": EMPTY if record is reference else number(latency.reference_p50 if latency else None),
        "p90": number(latency.p90 if latency else None),
        "p99": number(latency.p99 if latency else None),
        "smaller": EMPTY if record is reference else times(reference.size_bytes, record.size_bytes),
        "faster": EMPTY if record is reference else times(latency.reference_p50 if latency else None, p50),
        "interval": between(latency.faster_low, latency.faster_high) if latency else EMPTY,
        "where": _where(record),
    }


def _where(record: StageRecord) -> str:
    """The runtime, and why nothing was timed there."""
    latency = record.latency_ms
    if latency is None:
        return record.score_runtime
    return f"{latency.runtime}: {latency.reason}" if latency.reason else latency.runtime


def _plots(report: Report) -> list[str]:
    sizes = [_point(r, None if r.size_bytes is None else r.size_bytes / 1e6) for r in report.stages]
    latencies = [_point(r, in_ms_of(r.latency_ms, report.stages[0].latency_ms)) for r in report.stages]
    drawn = []
    for x_name, points in (("size, MB", sizes), ("latency p50, ms", latencies)):
        present = [point for point in points if point is not None]
        if present:
            drawn.append(scatter(present, x_name, report.score.name))
    return drawn


def _point(record: StageRecord, x: float | None) -> Point | None:
    if x is None or x <= 0 or record.score is None:
        return None
    return Point(record.name, x, record.score, record.score_stderr or 0.0)


def _budget(check: BudgetCheck) -> dict[str, str]:
    return {
        "name": check.name,
        "limit": Figure(f"{check.limit:g}", check.limit),
        "value": Figure("not measured here" if check.value is None else f"{check.value:.4g}", check.value),
        "verdict": {True: "met", False: "missed", None: "unknown"}[check.met],
        "hint": check.hint,
    }


def _recall(report: Report) -> list[dict[str, Any]]:
    """Per class: recall before and after, the classes that lost most first."""
    before, after = report.stages[0].per_class, report.stages[-1].per_class
    rows = [
        {
            "name": name,
            "before": with_error(before[name], None),
            "after": with_error(after[name], None),
            "change": with_error(after[name] - before[name], None, sign="+"),
        }
        for name in before
        if name in after
    ]
    return sorted(rows, key=lambda row: row["change"].value)


def _recovery(report: Report) -> list[dict[str, str]]:
    """Per stage that recovers: the validation score before it, after what it removed, and after training."""
    rows = []
    for record in report.stages:
        metrics = record.metrics
        collapsed = metrics.get("validation_pruned", metrics.get("ptq_score"))
        recovered = metrics.get("validation_recovered", metrics.get("qat_score"))
        if collapsed is not None and recovered is not None:
            scores = {"before": metrics.get("validation_before"), "collapsed": collapsed, "recovered": recovered}
            rows.append({"name": record.name, **{name: with_error(score, None) for name, score in scores.items()}})
    return rows


def _compared(report: Report) -> list[dict[str, str]]:
    """Per stage that has a control: both scores on the test split, and their difference."""
    return [
        {
            "name": record.name,
            "with_kd": with_error(record.kd.with_kd, None),
            "without_kd": with_error(record.kd.without_kd, None),
            "difference": with_error(record.kd.difference, record.kd.stderr, sign="+"),
            "verdict": record.kd.verdict,
        }
        for record in report.stages
        if record.kd is not None
    ]


def _artifact(artifact: Artifact) -> dict[str, str]:
    parity = artifact.parity
    agreed = (
        MISSING if parity is None else Figure(f"{100 * parity.agreement:.2f} % of {parity.samples}", parity.agreement)
    )
    return {
        "path": artifact.path,
        "format": artifact.format,
        "precision": artifact.precision,
        "size": whole(artifact.size_bytes),
        "parity": agreed,
        "sha256": artifact.sha256,
    }


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            rows.append((f"{prefix}{key}", shown))
    return rows
