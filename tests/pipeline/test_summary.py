"""Ratios, budgets and means over seeds by hand."""

import pytest

from compressor.pipeline.summary import (
    budget_checks,
    fitted_to_validation,
    kd_comparison,
    ratios,
    status_of,
    with_error,
)
from compressor.report import BudgetCheck, FrontPoint, Latency, Search, StageRecord
from compressor.target import Budget


def record(name: str, kind: str, **values: object) -> StageRecord:
    return StageRecord.model_validate({"name": name, "kind": kind, "seconds": 0.0, **values})


def two(p50: float | None = 1.0) -> list[StageRecord]:
    latency = Latency(p50=p50, runtime="r", reference_p50=None if p50 is None else 4.0)
    first = record("00-reference", "reference", params=100, macs=1000, size_bytes=4_000_000, score=0.9)
    last = record(
        "01-x", "x", params=25, macs=100, size_bytes=1_000_000, score=0.88, score_drop=0.02, latency_ms=latency
    )
    return [first, last]


def test_ratios() -> None:
    found = ratios(two())
    assert (found.size, found.latency, found.macs, found.params, found.score_drop) == (4.0, 4.0, 10.0, 4.0, 0.02)


def test_every_unit_of_budget() -> None:
    budget = Budget(score_drop=0.01, latency_ms=2.0, latency=0.3, size_mb=0.5, size=0.25, macs=0.1, params=20)
    checks = {check.name: (check.value, check.met) for check in budget_checks(budget, two())}
    assert checks == {
        "score_drop": (0.02, False),
        "latency_ms": (1.0, True),
        "latency": (0.25, True),
        "size_mb": (1.0, False),
        "size": (0.25, True),
        "macs": (0.1, True),
        "params": (25.0, False),
    }
    assert status_of(budget_checks(budget, two())) == "budget_missed"


def test_what_cannot_be_measured_is_neither_met_nor_missed() -> None:
    checks = budget_checks(Budget(latency_ms=2.0), two(p50=None))
    assert checks[0].value is None
    assert checks[0].met is None
    assert "build_engine.py" in checks[0].hint
    assert status_of(checks) == "ok"


@pytest.mark.parametrize(
    ("difference", "stderr", "words"),
    [(0.01, 0.002, "won"), (-0.01, 0.002, "LOST"), (0.003, 0.002, "no difference"), (0.01, None, "no error")],
)
def test_a_difference_is_put_in_words(difference: float, stderr: float | None, words: str) -> None:
    verdicts = [kd_comparison(0.9 + difference, 0.9, seeds, difference, stderr).verdict for seeds in (1, 3)]
    assert all(words in verdict for verdict in verdicts)
    assert ("one seed" in verdicts[0]) and ("one seed:" not in verdicts[1])


def test_a_missing_reference_latency_gives_no_ratio() -> None:
    assert ratios(two(p50=None)).latency is None
    assert ratios(two()).latency == pytest.approx(4.0)


def test_a_drop_on_test_is_judged_with_its_error_where_another_split_chose() -> None:
    check = BudgetCheck(name="score_drop", limit=0.01, value=0.013, met=False)
    judged = with_error(check, record("x", "x", score_drop_stderr=0.002))
    assert judged.met and "within two standard errors" in judged.hint
    missed = with_error(check, record("x", "x", score_drop_stderr=0.001))
    assert missed.met is False and "validation" in missed.hint
    size = BudgetCheck(name="size_mb", limit=1.0, value=1.1, met=False)
    assert with_error(size, record("x", "x", score_drop_stderr=0.002)) == size
    assert with_error(check, record("x", "x")) == check


@pytest.mark.parametrize(("drop", "warned"), [(0.010, False), (0.030, True)])
def test_a_choice_that_fitted_its_split_is_said(drop: float, warned: bool) -> None:
    point = FrontPoint(
        name="p1",
        made_by=[],
        score=0.9,
        score_drop=0.004,
        score_drop_stderr=0.004,
        size_bytes=1,
        precision="int8",
        epochs=1,
        meets=True,
        on_front=True,
        chosen=True,
        artifact="x",
        sha256="",
    )
    search = Search(
        objective="size", goals={}, split="validation", samples=500, epochs=1, seconds={}, front=[point] * 7
    )
    said = fitted_to_validation(search, record("x", "x", score_drop=drop, score_drop_stderr=0.003))
    assert bool(said) == warned
    assert all("among 7 files by 500 samples" in one for one in said)
