"""Another file of a run's front: what the search measured is there, and nothing is trained for it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from compressor.digests import file_digest
from compressor.errors import BudgetError, InputError, did_you_mean
from compressor.pipeline.summary import budget_checks
from compressor.report import REPORT, FrontPoint, Latency, Report, StageRecord, report_in
from compressor.target import Goals
from compressor.writing import write_atomically

PICKED = "picked"
# Of a file's folder: what is of use beside it.
BESIDE = (".py", ".md", ".json", ".txt", ".model")
OWN = ("stage.json", "snapshot.json", "decisions.json", "structure.json")


@dataclass(frozen=True)
class Picked:
    """A point of a front and where its file was put."""

    point: FrontPoint
    path: Path


def pick(run: Path, goals: Goals, name: str | None, out: Path | None) -> Picked:
    """Copy the file of another point out of a run, with what stands beside it.

    Args:
        run: The folder, or a file that points to one, as ``runs/last`` does.
        goals: What the point has to meet; the best of those that do is taken.
        name: The point, in place of goals.
        out: Where it goes; ``picked`` in the run's folder if not given.

    Raises:
        InputError: The run searched nothing, has no such point, or its file isn't the one that was measured.
        BudgetError: No point meets the goals; says which comes nearest.
    """
    told = report_in(run) or run / REPORT
    run, report = told.parent, Report.read(told)
    if report.search is None or not report.search.front:
        seeds = ", ".join(str(run / str(seed.get("path"))) for seed in report.seeds[:3])
        raise InputError(f"{run} holds no search to pick from", seeds or "compress run with --max-drop 0.01")
    points = report.search.front
    if name is not None:
        chosen = next((point for point in points if point.name == name), None)
        if chosen is None:
            names = [point.name for point in points]
            raise InputError(f"{run} has no point '{name}'{did_you_mean(name, names)}", f"one of: {', '.join(names)}")
    else:
        chosen = _best(points, goals, report.stages[0])
    source = _file_of(run, chosen)
    folder = out or run / PICKED
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / source.name, source.read_bytes())
    for path in source.parent.iterdir():
        if path.is_file() and path.suffix in BESIDE and path.name not in OWN:
            shutil.copy2(path, folder / path.name)
    return Picked(chosen, folder / source.name)


def _best(points: list[FrontPoint], goals: Goals, reference: StageRecord) -> FrontPoint:
    def over(point: FrontPoint) -> float:
        checks = budget_checks(goals, [reference, _record(point)])
        return max((check.value / check.limit - 1 for check in checks if check.value is not None), default=0.0)

    met = [point for point in points if over(point) <= 0]
    if not met:
        nearest = min(points, key=over)
        drop = 100 * nearest.score_drop
        raise BudgetError(
            f"none of the {len(points)} files that were measured meets that; {nearest.name} comes nearest, with "
            f"{nearest.size_bytes:,} bytes, {nearest.latency_ms or 0:.3g} ms and {drop:.2f} points lost",
            over(nearest),
            f"--point {nearest.name}, or compress run with these goals",
        )
    if goals.objective == "score":
        return min(met, key=lambda point: (point.score_drop, point.size_bytes))
    if goals.objective == "latency":
        return min(met, key=lambda point: (point.latency_ms or 0.0, point.score_drop))
    return min(met, key=lambda point: (point.size_bytes, point.score_drop))


def _record(point: FrontPoint) -> StageRecord:
    latency = None
    if point.latency_ms is not None:
        latency = Latency(p50=point.latency_ms, reference_p50=point.reference_latency_ms, runtime="")
    return StageRecord(
        name=point.name,
        kind="",
        seconds=0.0,
        params=point.params,
        macs=point.macs,
        size_bytes=point.size_bytes,
        score_drop=point.score_drop,
        latency_ms=latency,
    )


def _file_of(run: Path, point: FrontPoint) -> Path:
    source = run / point.artifact
    hint = "run again: what is missing is made anew"
    if not source.resolve().is_relative_to(run.resolve()):
        raise InputError(f"{run / REPORT} names a file that is not the run's: {point.artifact}", hint)
    if not source.is_file():
        raise InputError(f"{source} is gone", hint)
    if file_digest(source) != point.sha256:
        raise InputError(f"{source} is not the file that was measured", hint)
    return source
