"""Every figure beside its limit: kept, missed, not measured, and whether an interval leaves that open."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import hypot
from statistics import NormalDist

from compressor.errors import InputError
from compressor.gate.sessions import session_of, sessions_of
from compressor.gate.settings import Gate
from compressor.gate.subject import Subject
from compressor.gate.timing import Timed, alone, compared


@dataclass(frozen=True)
class Check:
    """One figure and what was asked of it.

    Args:
        name: ``"size"``, or ``"size against the baseline"``.
        value: In bytes, milliseconds, ones; of growth a share, 0.02 for two hundredths more. None: not measured.
        limit: In the same unit.
        at_most: Whether the value is to be below the limit, or above it.
        unit: How it is written: ``"bytes"``, ``"ms"``, ``"score"``, ``"count"`` or ``"share"``.
        low: The interval's lower end, where there is one.
        high: Its upper end.
        passed: What the gate makes of it.
        is_open: Whether the interval holds the limit, so that it could be the other way.
        said: Why, in words, where the numbers don't say it.
        before: The baseline's own figure.
        after: This one's.
    """

    name: str
    value: float | None
    limit: float
    at_most: bool
    unit: str
    passed: bool
    low: float | None = None
    high: float | None = None
    is_open: bool = False
    said: str = ""
    before: float | None = None
    after: float | None = None


def checked(subject: Subject, baseline: Subject | None, gate: Gate) -> list[Check]:
    """Every check that was asked for; a run without a result fails one of its own.

    Raises:
        InputError: Nothing was asked for, or the baseline is of another kind.
    """
    if subject.failed:
        return [Check("run", None, 0.0, True, "count", passed=False, said=subject.failed)]
    if not gate.limits and baseline is None:
        raise InputError("nothing to check: no limit and no baseline", "--max-size 2MB, or --baseline OLD, or [gate]")
    if baseline is not None:
        _check_kin(subject, baseline)
    return [*_limits(subject, gate), *(_growth(subject, baseline, gate) if baseline is not None else ())]


def _check_kin(subject: Subject, baseline: Subject) -> None:
    hint = "a baseline of the same task and target; gate --update writes it anew"
    if baseline.failed:
        raise InputError(f"the baseline {baseline.name} has no result: {baseline.failed}", hint)
    ours, theirs = subject.called, baseline.called
    for what, own, other in (
        ("runtime", ours.runtime, theirs.runtime),
        ("batch size", ours.batch, theirs.batch),
        ("threads", ours.threads, theirs.threads),
    ):
        if own != other:
            raise InputError(f"the baseline {baseline.name} is of another target: {what} {other}, here {own}", hint)
    if subject.score and baseline.score and subject.score.name != baseline.score.name:
        raise InputError(
            f"the baseline {baseline.name} is of another task: its score is {baseline.score.name}, here "
            f"{subject.score.name}",
            hint,
        )


def _limits(subject: Subject, gate: Gate) -> Iterator[Check]:
    score = subject.score
    for name, limit in gate.limits.items():
        match name:
            case "max_size":
                yield _plain("size", subject.size_bytes, limit * 1e6, "bytes", subject, gate)
            case "max_params":
                yield _plain("params", subject.params, limit, "count", subject, gate)
            case "max_macs":
                yield _plain("macs", subject.macs, limit, "count", subject, gate)
            case "max_latency":
                yield _latency(subject, limit, gate)
            case "min_score":
                at_most = score is not None and not score.higher_is_better
                value, error = (score.value, score.stderr) if score else (None, None)
                yield _sampled("score", value, error, limit, at_most, subject, gate)
            case _:
                value, error = (score.drop, score.drop_stderr) if score else (None, None)
                yield _sampled("score_drop", value, error, limit, True, subject, gate)


def _growth(subject: Subject, baseline: Subject, gate: Gate) -> Iterator[Check]:
    tolerate = gate.tolerate
    for name, ours, theirs, limit in (
        ("size", subject.size_bytes, baseline.size_bytes, tolerate.size),
        ("params", subject.params, baseline.params, tolerate.params),
        ("macs", subject.macs, baseline.macs, tolerate.macs),
    ):
        # What neither knows was never asked.
        if ours is None and theirs is None:
            continue
        grown = ours / theirs - 1 if ours is not None and theirs else None
        lacks = subject if ours is None else baseline
        check = _plain(name, grown, limit, "share", lacks, gate)
        yield _beside(check, theirs, ours)
    yield _slower(subject, baseline, gate)
    if subject.score or baseline.score:
        yield _worse(subject, baseline, gate)


def _worse(subject: Subject, baseline: Subject, gate: Gate) -> Check:
    ours, theirs, limit = subject.score, baseline.score, gate.tolerate.score
    lost, error, lacks = None, None, subject if ours is None else baseline
    if ours is not None and theirs is not None:
        if ours.data and theirs.data and ours.data != theirs.data:
            why = "the baseline was scored on other data: gate --update writes it anew"
            lacks = subject.model_copy(update={"lacking": {"score": why}})
        else:
            lost = (theirs.value - ours.value) * (1 if ours.higher_is_better else -1)
            error = 0.0 if _is_same(subject, baseline) else hypot(ours.stderr or 0.0, theirs.stderr or 0.0)
    check = _sampled("score", lost, error, limit, True, lacks, gate)
    return _beside(replace(check, name="score lost"), theirs.value if theirs else None, ours.value if ours else None)


def _is_same(subject: Subject, baseline: Subject) -> bool:
    return bool(subject.sha256) and subject.sha256 == baseline.sha256


def _beside(check: Check, before: float | None = None, after: float | None = None) -> Check:
    return replace(check, name=f"{check.name} against the baseline", before=before, after=after)


def _missing(name: str, limit: float, at_most: bool, unit: str, subject: Subject, gate: Gate, why: str = "") -> Check:
    why = subject.lacking.get(name) or why or "not measured"
    passed = gate.allow_unmeasured
    return Check(name, None, limit, at_most, unit, passed=passed, said=f"{subject.name}: {why}")


def _plain(name: str, value: float | None, limit: float, unit: str, subject: Subject, gate: Gate) -> Check:
    if value is None:
        return _missing(name, limit, True, unit, subject, gate)
    return Check(name, value, limit, True, unit, passed=value <= limit)


def _sampled(
    name: str, value: float | None, error: float | None, limit: float, at_most: bool, subject: Subject, gate: Gate
) -> Check:
    """A mean over samples of test, with the interval that their number leaves."""
    if value is None:
        return _missing(name, limit, at_most, "score", subject, gate)
    width = NormalDist().inv_cdf((1 + gate.confidence) / 2) * (error or 0.0)
    timed = Timed(value, value - width, value + width, 0)
    return _by_interval(name, timed, limit, at_most, "score", gate)


def _by_interval(name: str, found: Timed, limit: float, at_most: bool, unit: str, gate: Gate) -> Check:
    as_measured = found.value <= limit if at_most else found.value >= limit
    is_open = found.low <= limit <= found.high and found.low < found.high
    passed = as_measured if not is_open or gate.undecided == "measured" else gate.undecided == "pass"
    said = "undecided: the interval lies on both sides of the limit" if is_open else ""
    return Check(name, found.value, limit, at_most, unit, passed, found.low, found.high, is_open, said)


def _latency(subject: Subject, limit: float, gate: Gate) -> Check:
    called = subject.called
    if called.p50 is not None:
        # Where it was measured by the run, on the target; the interval is what two thirds of its rounds lie in.
        width = called.spread or 0.0
        found = Timed(called.p50, called.p50 - width, called.p50 + width, 0)
        return _by_interval("latency", found, limit, True, "ms", gate)
    why = _why_not_timed(subject)
    if why:
        return _missing("latency", limit, True, "ms", subject, gate, why)
    timed = alone(session_of(subject), limit, confidence=gate.confidence, seconds=gate.seconds)
    return _by_interval("latency", timed, limit, True, "ms", gate)


def _slower(subject: Subject, baseline: Subject, gate: Gate) -> Check:
    limit = gate.tolerate.latency
    if _is_same(subject, baseline):
        same = "it is the same file, byte for byte"
        return _beside(Check("latency", 0.0, limit, True, "share", passed=True, said=same))
    for one in (subject, baseline):
        why = _why_not_timed(one)
        if why:
            return _beside(_missing("latency", limit, True, "share", one, gate, why))
    timed = compared(sessions_of(subject, baseline), 1 + limit, confidence=gate.confidence, seconds=gate.seconds)
    grown = Timed(timed.value - 1, timed.low - 1, timed.high - 1, timed.rounds)
    check = _by_interval("latency", grown, limit, True, "share", gate)
    return _beside(check)


def _why_not_timed(subject: Subject) -> str:
    if subject.called.runtime != "onnxruntime":
        return f"{subject.called.runtime} is not timed here: gate on the device, with both files built there"
    if not subject.file:
        return "its file isn't there to be timed"
    return "" if subject.file.endswith(".onnx") else "only ONNX files are timed"
