"""From measured stages to the report: ratios, budget checks, artifacts, the mean over seeds."""

import statistics
from collections.abc import Sequence
from math import sqrt
from typing import Any

from compressor.report import Artifact, BudgetCheck, KdComparison, Latency, Ratios, Report, Search, StageRecord, Status
from compressor.target import Budget

DEVICE_HINT = "measure it on the device: build_engine.py in the export folder's kit"


def ratios(records: Sequence[StageRecord]) -> Ratios:
    """The last record against the first; None where either wasn't measured."""
    first, last = records[0], records[-1]
    latency = None
    if last.latency_ms is not None and last.latency_ms.p50 and last.latency_ms.reference_p50:
        latency = last.latency_ms.reference_p50 / last.latency_ms.p50
    return Ratios(
        size=_ratio(first.size_bytes, last.size_bytes),
        latency=latency,
        macs=_ratio(first.macs, last.macs),
        params=_ratio(first.params, last.params),
        score_drop=last.score_drop,
    )


def budget_checks(budget: Budget, records: Sequence[StageRecord]) -> list[BudgetCheck]:
    """Every limit that is set, with the last record's value in the limit's own unit."""
    first, last = records[0], records[-1]
    p50 = last.latency_ms.p50 if last.latency_ms else None
    found = ratios(records)
    values: dict[str, float | None] = {
        "score_drop": last.score_drop,
        "latency_ms": p50,
        "latency": _inverse(found.latency),
        "size_mb": last.size_bytes / 1e6 if last.size_bytes else None,
        "size": _inverse(found.size),
        "macs": _remaining(budget.macs, first.macs, last.macs),
        "params": _remaining(budget.params, first.params, last.params),
    }
    checks = []
    for name, limit in budget.limits().items():
        value = values[name]
        hint = DEVICE_HINT if value is None and name.startswith("latency") else ""
        met = None if value is None else value <= limit
        checks.append(BudgetCheck(name=name, limit=limit, value=value, met=met, hint=hint))
    return checks


def with_error(check: BudgetCheck, record: StageRecord) -> BudgetCheck:
    """A limit of the score's, as it is judged where a search chose the network by another split.

    There the limit was kept. What it is on this split has an error of its own, and the limit counts as missed only
    where the drop is above it by more than two standard errors.
    """
    error = record.score_drop_stderr
    if check.name != "score_drop" or check.met is not False or check.value is None or not error:
        return check
    if check.value > check.limit + 2 * error:
        hint = f"kept on the validation split, by which it was chosen; here above it by more than 2 x {error:.4f}"
        return check.model_copy(update={"hint": hint})
    hint = f"kept on the validation split; here within two standard errors of it ({error:.4f} each)"
    return check.model_copy(update={"met": True, "hint": hint})


def fitted_to_validation(search: Search | None, record: StageRecord) -> list[str]:
    """A warning where a network lost more on test than on the split that chose it, by more than their errors explain.

    Of many networks the one that looks best is partly the luckiest.
    """
    chosen = next((point for point in search.front if point.chosen), None) if search else None
    if search is None or chosen is None or record.score_drop is None:
        return []
    errors = sqrt((chosen.score_drop_stderr or 0.0) ** 2 + (record.score_drop_stderr or 0.0) ** 2)
    if not errors or record.score_drop - chosen.score_drop <= 2 * errors:
        return []
    return [
        f"chosen among {len(search.front)} files by {search.samples} samples of {search.split}, on which it lost "
        f"{chosen.score_drop:.4f}; on test it lost {record.score_drop:.4f}, more than errors of {errors:.4f} explain: "
        "the choice fitted that split. More validation samples, or --confidence 0.95"
    ]


def status_of(checks: Sequence[BudgetCheck]) -> Status:
    """``budget_missed`` once a limit that could be measured isn't met."""
    return "budget_missed" if any(check.met is False for check in checks) else "ok"


def kd_comparison(
    with_kd: float, without_kd: float, seeds: int, difference: float | None, stderr: float | None
) -> KdComparison:
    """Both scores, their difference, and in words whether distillation earned its place.

    A difference under two standard errors is none.
    """
    if difference is None or stderr is None:
        verdict = "one seed and no score per sample: the difference has no error"
    elif abs(difference) <= 2 * stderr:
        verdict = "no difference that two standard errors could tell"
    else:
        verdict = "distillation won" if difference > 0 else "distillation LOST to labels alone"
    if seeds == 1 and stderr is not None:
        verdict += " (one seed: the error is the test samples' alone, --seeds 3 adds that of the training)"
    return KdComparison(
        with_kd=with_kd, without_kd=without_kd, seeds=seeds, difference=difference, stderr=stderr, verdict=verdict
    )


def mean_over_seeds(reports: Sequence[Report], budget: Budget, command: str, paths: Sequence[str]) -> Report:
    """One report of means with the standard errors of the means beside them.

    Args:
        reports: One per seed, of the same profile and model.
        budget: Checked against the means.
        command: What to type to run it again.
        paths: Each report's folder, relative to the new one.
    """
    records = [_mean_record([report.stages[i] for report in reports], paths[0]) for i in range(len(reports[0].stages))]
    per_seed = [
        {
            "path": path,
            "seed": report.seed,
            "score": report.stages[-1].score,
            "ratios": report.ratios.model_dump(mode="json"),
        }
        for path, report in zip(paths, reports, strict=True)
    ]
    spread: dict[str, Any] = {
        "score": _stderr([r.stages[-1].score for r in reports]),
        **{f"ratio_{key}": _stderr([getattr(r.ratios, key) for r in reports]) for key in Ratios.model_fields},
    }
    checks = budget_checks(budget, records)
    artifacts = [
        artifact.model_copy(update={"path": f"{path}/{artifact.path}"})
        for path, report in zip(paths, reports, strict=True)
        for artifact in report.artifacts
    ]
    changed: dict[str, Any] = {
        "status": status_of(checks),
        "command": command,
        "stages": records,
        "artifacts": artifacts,
        "ratios": _mean_ratios(reports),
        "budget": checks,
        "seeds": per_seed,
        "spread": spread,
    }
    return reports[0].model_copy(update=changed)


def artifact_of(record: StageRecord, path: str, precision: str, sha256: str) -> Artifact:
    """The file that a record was measured on, for the report's list."""
    assert record.size_bytes is not None
    return Artifact(
        path=path,
        format="tensorrt" if path.endswith(".engine") else "onnx",
        precision=precision,
        size_bytes=record.size_bytes,
        sha256=sha256,
        score=record.score,
        latency_ms=record.latency_ms,
        parity=record.parity,
    )


def _mean_record(records: Sequence[StageRecord], folder: str) -> StageRecord:
    first = records[0]
    changed: dict[str, Any] = {
        key: _mean([getattr(record, key) for record in records])
        for key in ("seconds", "score", "score_stderr", "score_drop")
    }
    for key in ("params", "macs", "size_bytes"):
        mean = _mean([getattr(record, key) for record in records])
        changed[key] = None if mean is None else round(mean)
    changed["score_drop_stderr"] = _stderr([record.score_drop for record in records])
    latencies = [record.latency_ms for record in records]
    if all(latency is not None for latency in latencies):
        changed["latency_ms"] = _mean_latency([latency for latency in latencies if latency is not None])
    if all(record.kd is not None for record in records):
        pairs = [record.kd for record in records if record.kd is not None]
        changed["kd"] = kd_comparison(
            statistics.fmean(pair.with_kd for pair in pairs),
            statistics.fmean(pair.without_kd for pair in pairs),
            len(pairs),
            _mean([pair.difference for pair in pairs]),
            _stderr([pair.difference for pair in pairs]),
        )
    changed["artifact"] = f"{folder}/{first.artifact}" if first.artifact else None
    return first.model_copy(update=changed)


def _mean_latency(latencies: Sequence[Latency]) -> Latency:
    keys = ("p50", "p90", "p99", "spread", "reference_p50", "faster_low", "faster_high")
    return latencies[0].model_copy(update={key: _mean([getattr(one, key) for one in latencies]) for key in keys})


def _mean_ratios(reports: Sequence[Report]) -> Ratios:
    return Ratios(**{key: _mean([getattr(r.ratios, key) for r in reports]) for key in Ratios.model_fields})


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def _stderr(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) != len(values) or len(known) < 2:
        return None
    return statistics.stdev(known) / sqrt(len(known))


def _ratio(first: int | None, last: int | None) -> float | None:
    return first / last if first and last else None


def _inverse(ratio: float | None) -> float | None:
    return 1 / ratio if ratio else None


def _remaining(limit: float | None, first: int | None, last: int | None) -> float | None:
    if limit is None or last is None or not first:
        return None
    return last / first if limit <= 1 else float(last)
