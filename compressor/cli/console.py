"""What is drawn on the terminal: tables, the waterfall, notes, budgets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compressor.cli.printed import clean, echo_json
from compressor.figures import NOTHING, count, number, times, with_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from compressor.report import Baseline, BudgetCheck, FrontPoint, KdComparison, Latency, Report, Search, StageRecord

PIPED_WIDTH = 140


def console() -> Console:
    """A console on standard output; wide enough for the waterfall where there is no terminal."""
    out = _Console(highlight=False)
    return out if out.is_terminal else _Console(highlight=False, width=max(out.width, PIPED_WIDTH), soft_wrap=True)


class _Console(Console):
    """One that prints texts cleaned, and takes no markup from them."""

    def print(self, *objects: Any, **settings: Any) -> None:
        super().print(*(_cleaned(one) for one in objects), **settings)


def _cleaned(printed: Any) -> Any:
    if isinstance(printed, str):
        return Text(clean(printed))
    if isinstance(printed, Text) and clean(printed.plain) != printed.plain:
        return Text(clean(printed.plain))
    return printed


def print_json(value: Any) -> None:
    """One JSON object and nothing else."""
    echo_json(json.dumps(value, indent=2))


def megabytes(size: float | None) -> str:
    """Bytes as MB of 10^6 bytes, three digits."""
    if size is None:
        return NOTHING
    return f"{size / 1e6:.3g} MB" if size >= 1e5 else f"{size / 1e3:.3g} kB"


def faster(latency: Latency | None) -> str:
    """How many times faster than the reference in the same rounds, and the interval: ``4.75x (4.6-4.9)``."""
    if latency is None:
        return NOTHING
    shown = times(latency.reference_p50, latency.p50)
    if latency.faster_low is None or latency.faster_high is None:
        return shown
    return f"{shown} ({latency.faster_low:.3g}-{latency.faster_high:.3g})"


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], right: int = 0) -> None:
    """A plain table; the columns from ``right`` on are numbers (0: none are)."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        numeric = bool(right) and place >= right
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    console().print(table)


def print_report(report: Report, folder: str) -> None:
    """The waterfall, the budget, notes and the files that a run leaves."""
    from compressor.report import all_notes

    reference = report.stages[0]
    quick = "  (--quick: little data, few epochs; not a result)" if report.quick else ""
    title = f"{report.profile.get('name', '')} on {report.data.get('source', '')}{quick}"
    print_table(title, _columns(report), [_row(record, reference) for record in report.stages], right=1)
    out = console()
    if report.search is not None:
        print_front(report.search, reference.size_bytes)
    for check in report.budget:
        out.print(budget_line(check), soft_wrap=True)
    for record in report.stages:
        if record.kd is not None:
            out.print(Text(f"without distillation {record.name}: {_compared(record.kd)}"), soft_wrap=True)
    for note in all_notes(report):
        out.print(Text(f"note: {note}"), soft_wrap=True)
    for artifact in report.artifacts:
        out.print(Text(f"{artifact.format} {artifact.precision}: {folder}/{artifact.path}"), soft_wrap=True)
    out.print(Text(f"report: {folder}/report.json, {folder}/report.html"), soft_wrap=True)


def print_front(search: Search, reference_bytes: int | None) -> None:
    """The points of a search that no other beats, the smallest first."""
    shown = sorted((point for point in search.front if point.on_front), key=lambda point: point.size_bytes)
    rows = [
        (
            point.name + (" (chosen)" if point.chosen else ""),
            megabytes(point.size_bytes),
            times(reference_bytes, point.size_bytes),
            number(point.latency_ms),
            times(point.reference_latency_ms, point.latency_ms),
            with_error(point.score_drop, point.score_drop_stderr, sign="+"),
            "yes" if point.meets else "no",
        )
        for point in shown
    ]
    columns = ["point", "size", "size /", "p50 ms", "latency /", f"drop on {search.split}", "meets the goals"]
    wanted = {"size": "the smallest file", "latency": "the fastest file", "score": "the best score"}[search.objective]
    title = f"the front: {len(shown)} of {len(search.front)} files measured, looking for {wanted} within the goals"
    print_table(title, columns, rows, right=1)
    if search.baselines:
        print_baselines(search, reference_bytes)
    for note in search.notes:
        console().print(Text(f"note: search: {note}"), soft_wrap=True)


def print_baselines(search: Search, reference_bytes: int | None) -> None:
    """What simpler ways found with as much training, under what the search did."""
    found: list[tuple[str, FrontPoint | Baseline, int]]
    found = [("this search", point, search.epochs) for point in search.front if point.chosen]
    found += [(row.name, row, row.epochs) for row in search.baselines]
    rows = [
        (
            name,
            megabytes(one.size_bytes),
            times(reference_bytes, one.size_bytes),
            number(one.latency_ms),
            times(one.reference_latency_ms, one.latency_ms),
            with_error(one.score_drop, one.score_drop_stderr, sign="+"),
            str(epochs),
            "yes" if one.meets else "no",
        )
        for name, one, epochs in found
    ]
    columns = ["", "size", "size /", "p50 ms", "latency /", f"drop on {search.split}", "epochs", "meets the goals"]
    print_table("against simpler ways", columns, rows, right=1)


def _compared(kd: KdComparison) -> str:
    """Both scores, the difference with its error, and what that means."""
    difference = with_error(kd.difference, kd.stderr, sign="+")
    return f"{kd.without_kd:.4f} instead of {kd.with_kd:.4f}, difference {difference}: {kd.verdict}"


def budget_line(check: BudgetCheck) -> Text:
    """One limit: what was asked, what was reached."""
    value = "not measured here" if check.value is None else f"{check.value:.4g}"
    verdict, style = {True: ("met", "green"), False: ("missed", "red"), None: ("unknown", "yellow")}[check.met]
    hint = f"; {check.hint}" if check.hint else ""
    return Text.assemble("budget ", (verdict, style), f": {check.name} {value}, limit {check.limit:g}{hint}")


def _columns(report: Report) -> list[str]:
    latency = next((r.latency_ms for r in report.stages if r.latency_ms), None)
    where = f" ({latency.threads} thread{'s' * (latency.threads != 1)}, batch {latency.batch})" if latency else ""
    return ["stage", "params", "MACs", "size", report.score.name, f"p50 ms{where}", "size /", "latency /", "drop"]


def _row(record: StageRecord, reference: StageRecord) -> list[str]:
    p50 = record.latency_ms.p50 if record.latency_ms else None
    before = record.latency_ms.reference_p50 if record.latency_ms else None
    is_reference = record is reference
    return [
        f"{record.name}{' (cached)' if record.cached else ''}",
        count(record.params),
        count(record.macs),
        megabytes(record.size_bytes),
        with_error(record.score, record.score_stderr),
        number(p50) if p50 is None or is_reference else f"{number(p50)} of {number(before)}",
        "" if is_reference else times(reference.size_bytes, record.size_bytes),
        "" if is_reference else faster(record.latency_ms),
        "" if is_reference else with_error(record.score_drop, record.score_drop_stderr, sign="+"),
    ]
