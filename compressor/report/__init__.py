"""The report: what was measured, in the shape that gates, pages and benchmarks read."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from compressor.reading import as_record, read_record, read_text
from compressor.report.searched import Baseline, FrontPoint, Search, Sensitivity
from compressor.report.stages import KdComparison, Latency, Layer, Parity, Record, StageRecord, in_ms_of
from compressor.target import Target

__all__ = [
    "Report",
    "StageRecord",
    "Latency",
    "Layer",
    "Parity",
    "KdComparison",
    "Search",
    "FrontPoint",
    "Sensitivity",
    "Baseline",
    "Artifact",
    "BudgetCheck",
    "Ratios",
    "ScoreInfo",
    "Status",
    "REPORT",
    "all_notes",
    "in_ms_of",
    "name_of",
    "report_in",
    "target_of",
]

SCHEMA_VERSION = 1
REPORT, LAST = "report.json", "last"
# The longest path that Linux takes, and the line's end.
LONGEST_PATH = 4097
Status = Literal["ok", "budget_missed", "failed", "interrupted"]


class Artifact(Record):
    """A file the run leaves for use."""

    path: str
    format: str
    precision: str
    size_bytes: int
    sha256: str
    score: float | None = None
    latency_ms: Latency | None = None
    parity: Parity | None = None


class Ratios(Record):
    """The last artifact against the reference: how many times smaller or faster; null if unmeasured."""

    size: float | None = None
    latency: float | None = None
    macs: float | None = None
    params: float | None = None
    score_drop: float | None = None


class BudgetCheck(Record):
    """One limit of the budget and what was reached; ``met`` is null where it can't be measured here."""

    name: str
    limit: float
    value: float | None
    met: bool | None
    hint: str = ""


class ScoreInfo(Record):
    """Which score the report holds, and on how many samples of which split."""

    name: str
    higher_is_better: bool
    split: str
    count: int


class Report(Record):
    """Everything one run measured. Fields are added, never renamed."""

    schema_version: int = SCHEMA_VERSION
    status: Status
    profile: dict[str, Any]
    seed: int
    quick: bool = False
    environment: dict[str, Any]
    command: str
    model: dict[str, Any]
    teachers: list[dict[str, Any]] = Field(default_factory=list)
    data: dict[str, Any]
    score: ScoreInfo
    stages: list[StageRecord]
    artifacts: list[Artifact] = Field(default_factory=list)
    ratios: Ratios = Ratios()
    budget: list[BudgetCheck] = Field(default_factory=list)
    search: Search | None = Field(default=None, description="where the run searched for its stages")
    seeds: list[dict[str, Any]] = Field(default_factory=list, description="per seed, where several ran")
    spread: dict[str, Any] = Field(default_factory=dict, description="standard errors over seeds")
    peak_memory_bytes: int | None = Field(
        default=None, description="resident memory of the process at its highest, up to the end of the run"
    )
    notes: list[str] = Field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Read a ``report.json``.

        Raises:
            InputError: It isn't there, or isn't a report.
        """
        return read_record(path, cls, "the report.json of a run's folder")


def name_of(report: Report) -> str:
    """What a run's file may be called where nobody gave it a name."""
    source = str(report.model.get("source") or "model")
    return f"{Path(source).stem} for {report.profile.get('name', 'a target')}"


def all_notes(report: Report) -> list[str]:
    """The run's notes, then its stages' with their names; what several stages say alike is said once."""
    by_note: dict[str, list[str]] = {}
    for record in report.stages:
        reason = record.latency_ms.reason if record.latency_ms else ""
        for note in (*record.notes, *filter(None, [reason])):
            by_note.setdefault(note, []).append(record.name)
    return [*report.notes, *(f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in by_note.items())]


def target_of(report: Report, path: Path) -> Target:
    """What a report says of the device and its runtime.

    Raises:
        InputError: It says nothing that can be read.
    """
    return as_record(Target, report.profile.get("target"), f"{path}: its target", "the report.json of a run's folder")


def report_in(run: Path) -> Path | None:
    """The ``report.json`` of a run that is named by its folder, by a file that points to it, or by the report itself.

    Args:
        run: As it was typed; ``runs/last`` is such a file.

    Returns:
        The report's path, whether or not it is there; None of what is neither.
    """
    if run.name == LAST and run.is_file():
        run = Path(read_text(run, largest=LONGEST_PATH).strip())
    if run.is_dir():
        return run / REPORT
    return run if run.name == REPORT else None
