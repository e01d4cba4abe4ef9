"""The report: what was measured, in the shape that gates, pages and benchmarks read."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from compressor.reading import as_record, read_record, read_text
from compressor.target import Target

SCHEMA_VERSION = 1
REPORT, LAST = "report.json", "last"
# The longest path that Linux takes, and the line's end.
LONGEST_PATH = 4097
Status = Literal["ok", "budget_missed", "failed", "interrupted"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Latency(_Record):
    """Latency of one call, in milliseconds, measured interleaved with the reference's.

    All figures are null where the target's runtime isn't on this machine; ``reason`` says so.
    """

    p50: float | None
    p90: float | None = None
    p99: float | None = None
    spread: float | None = Field(default=None, description="half the 16-84 % range of p50 over blocks, ms")
    runs: int = 0
    threads: int = 1
    batch: int = 1
    runtime: str
    reference_p50: float | None = Field(default=None, description="the reference's, of the same rounds")
    faster_low: float | None = Field(default=None, description="of reference_p50 / p50 by rounds: the 95 % interval")
    faster_high: float | None = None
    reason: str = ""


def in_ms_of(latency: Latency | None, first: Latency | None) -> float | None:
    """p50 as it would have been when the reference itself was timed: only the ratio to it holds on a busy machine.

    Args:
        latency: Of any file.
        first: The reference's own.
    """
    if latency is None or first is None or latency.p50 is None or first.p50 is None or not latency.reference_p50:
        return None
    return latency.p50 / latency.reference_p50 * first.p50


class Parity(_Record):
    """The exported artifact against the torch form on real inputs; agreement of the top class."""

    max_abs_error: float
    mean_abs_error: float
    logit_std: float
    agreement: float
    samples: int


class KdComparison(_Record):
    """The same stage with and without distillation, at equal steps."""

    with_kd: float
    without_kd: float
    seeds: int
    difference: float | None = Field(default=None, description="above 0 where distillation was better, paired")
    stderr: float | None = Field(default=None, description="of the difference: over samples, or over seeds")
    verdict: str = Field(default="", description="the same in words")


class StageRecord(_Record):
    """One stage's snapshot, measured on its exported artifact."""

    name: str
    kind: str
    seconds: float
    cached: bool = False
    params: int | None = None
    macs: int | None = None
    size_bytes: int | None = None
    score: float | None = None
    score_stderr: float | None = None
    score_runtime: str = ""
    score_drop: float | None = Field(default=None, description="reference's score minus this one's, paired")
    score_drop_stderr: float | None = None
    scores: dict[str, float] = Field(default_factory=dict, description="the task's other scores")
    per_class: dict[str, float] = Field(default_factory=dict, description="recall per class name")
    latency_ms: Latency | None = None
    parity: Parity | None = None
    kd: KdComparison | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    decisions: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    artifact: str | None = Field(default=None, description="path relative to the report")


class Artifact(_Record):
    """A file the run leaves for use."""

    path: str
    format: str
    precision: str
    size_bytes: int
    sha256: str
    score: float | None = None
    latency_ms: Latency | None = None
    parity: Parity | None = None


class Ratios(_Record):
    """The last artifact against the reference: how many times smaller or faster; null if unmeasured."""

    size: float | None = None
    latency: float | None = None
    macs: float | None = None
    params: float | None = None
    score_drop: float | None = None


class BudgetCheck(_Record):
    """One limit of the budget and what was reached; ``met`` is null where it can't be measured here."""

    name: str
    limit: float
    value: float | None
    met: bool | None
    hint: str = ""


class ScoreInfo(_Record):
    """Which score the report holds, and on how many samples of which split."""

    name: str
    higher_is_better: bool
    split: str
    count: int


class FrontPoint(_Record):
    """One network that a search measured: its exported file, on the validation split."""

    name: str
    made_by: list[str] = Field(description="the stages from the reference to it, in words")
    score: float
    score_stderr: float | None = None
    score_drop: float
    score_drop_stderr: float | None = None
    size_bytes: int
    latency_ms: float | None = None
    reference_latency_ms: float | None = None
    params: int | None = None
    macs: int | None = None
    precision: str
    epochs: int = Field(description="of training, all stages together")
    meets: bool = Field(description="whether it meets every goal that could be measured")
    on_front: bool = Field(description="whether no other one is as good in size, latency and score, and better in one")
    chosen: bool = False
    artifact: str = Field(description="its file, relative to the report")
    sha256: str = Field(description="of that file")


class Sensitivity(_Record):
    """What the score loses by one part of a network alone, without training, on samples of the validation split.

    Either channels that only leave together, at one ratio, or the weights and activations of one layer in int8. What
    wasn't measured has no drop, and a reason.
    """

    name: str = Field(description="the layer, or the first of those whose channels leave together")
    kind: Literal["channels", "precision"]
    layers: list[str] = Field(default_factory=list, description="all layers that lose channels, or are rounded")
    ratio: float | None = Field(default=None, description="of channels removed, before they are rounded to a multiple")
    drop: float | None = Field(default=None, description="the whole network's score minus this one's, paired")
    stderr: float | None = None
    predicted: float | None = Field(default=None, description="what went counts by the ranking, summed")
    params: int | None = Field(default=None, description="parameters fewer; of precision: that became integers")
    macs: int | None = Field(default=None, description="multiply-accumulates fewer")
    samples: int = 0
    reason: str = ""


class Baseline(_Record):
    """What a simpler way found with as much training: the best file of it, on the validation split."""

    name: str
    made_by: list[str] = Field(description="the stages from the reference to it, in words")
    size_bytes: int
    latency_ms: float | None = None
    reference_latency_ms: float | None = None
    score_drop: float
    score_drop_stderr: float | None = None
    epochs: int = Field(description="of all its trainings")
    meets: bool = Field(description="whether it meets every goal that could be measured")
    artifact: str = Field(description="its file, relative to the report")
    sha256: str = Field(description="of that file")


class Search(_Record):
    """What a search did to find the run's stages."""

    objective: str
    goals: dict[str, float]
    split: str
    samples: int
    epochs: int = Field(description="of all trainings")
    seconds: dict[str, float] = Field(description="training, measuring, and the search's own")
    front: list[FrontPoint] = Field(default_factory=list, description="every point, in the order of measuring")
    notes: list[str] = Field(default_factory=list)
    sensitivity: list[Sensitivity] = Field(
        default_factory=list, description="of the network that the search began with, part by part"
    )
    baselines: list[Baseline] = Field(default_factory=list, description="what simpler ways found, for comparison")


class Report(_Record):
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
