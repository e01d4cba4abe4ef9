"""Several runs beside one another: what each ended with, and which of them no other beats."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compressor.errors import InputError
from compressor.pareto import unbeaten
from compressor.report import Latency, Report, StageRecord, in_ms_of, target_of

FEWEST = 2


@dataclass(frozen=True)
class Compared:
    """One run's last file.

    Args:
        name: What the user calls the run.
        report: All of it.
        milliseconds: p50 as it would have been when the first run's reference was timed; as measured where the runs
            have other references. None where nothing was timed.
        on_front: Whether no other run is as small, as fast and as good and better in one.
    """

    name: str
    report: Report
    milliseconds: float | None
    on_front: bool

    @property
    def last(self) -> StageRecord:
        """The record of the file that ships."""
        return self.report.stages[-1]


@dataclass(frozen=True)
class Comparison:
    """The runs, and what has to be known to read them side by side."""

    runs: tuple[Compared, ...]
    notes: tuple[str, ...]


def compared(reports: Sequence[tuple[str, Report]]) -> Comparison:
    """Put runs beside one another.

    Raises:
        InputError: There are fewer than two, one has no result, or their scores are of different kinds.
    """
    if len(reports) < FEWEST:
        raise InputError(f"{len(reports)} run, wanted at least {FEWEST}", "compress compare runs/a runs/b")
    for name, report in reports:
        if report.status in ("failed", "interrupted") or len(report.stages) < FEWEST:
            raise InputError(f"{name} has no result: it is {report.status}", "compress run with the same arguments")
    kinds = {report.score.name: name for name, report in reports}
    if len(kinds) > 1:
        told = ", ".join(f"{kind} ({name})" for kind, name in kinds.items())
        raise InputError(f"the runs have other scores: {told}", "runs of one task")
    same = len({str(report.model.get("sha256")) for _, report in reports}) == 1
    first = reports[0][1].stages[0].latency_ms
    times = [_milliseconds(report.stages[-1].latency_ms, first, same) for _, report in reports]
    sign = -1.0 if reports[0][1].score.higher_is_better else 1.0
    figures = [
        (float(report.stages[-1].size_bytes or 0), time or 0.0, sign * (report.stages[-1].score or 0.0))
        for (_, report), time in zip(reports, times, strict=True)
    ]
    rows = zip(reports, times, unbeaten(figures), strict=True)
    return Comparison(
        tuple(Compared(name, report, time, stays) for (name, report), time, stays in rows),
        tuple(_notes(reports, same)),
    )


def _milliseconds(latency: Latency | None, first: Latency | None, same: bool) -> float | None:
    beside = in_ms_of(latency, first) if same else None
    return beside if beside is not None else latency.p50 if latency is not None else None


def _notes(named: Sequence[tuple[str, Report]], same: bool) -> list[str]:
    notes, reports = [], [report for _, report in named]
    if not same:
        notes.append("the runs began with other networks: how many times smaller and faster is said of each one's own")
    if len({str(report.data.get("fingerprint")) for report in reports}) > 1:
        notes.append("the runs were scored on other data: their scores don't compare")
    processors = {_processor(report) for report in reports}
    targets = {target_of(report, Path(name)).runtime for name, report in named}
    if len(targets) > 1:
        notes.append(
            f"the runs are for other runtimes ({', '.join(sorted(targets))}): their milliseconds don't compare"
        )
    if len(processors) > 1 and not same:
        notes.append(f"timed on other processors ({', '.join(sorted(processors))}): milliseconds don't compare")
    if any(report.quick for report in reports):
        notes.append("some are quick runs, whose scores are no result")
    return notes


def _processor(report: Report) -> str:
    cpu = report.environment.get("cpu")
    return str(cpu.get("model")) if isinstance(cpu, dict) else "an unknown one"
