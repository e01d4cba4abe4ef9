"""Figures beside limits and beside a baseline."""

from pathlib import Path
from typing import Any

import pytest
from written_runs import TARGET, write_run

from compressor.errors import InputError
from compressor.gate import Check, Gate, Score, Subject, checked, subject_of
from compressor.gate.subject import Called

FIGURES = Subject(
    name="ours",
    size_bytes=1_000_000,
    params=250_000,
    macs=10_000_000,
    score=Score(name="accuracy", value=0.9, stderr=0.001, drop=0.005, drop_stderr=0.001),
    called=Called(p50=2.0, spread=0.1),
)


def only(subject: Subject, **asked: Any) -> Check:
    (found,) = checked(subject, None, Gate.model_validate(asked))
    return found


@pytest.mark.parametrize(
    ("asked", "passed", "is_open"),
    [
        ({"max_size": "1MB"}, True, False),
        ({"max_size": "0.99MB"}, False, False),
        ({"max_params": "250k"}, True, False),
        ({"max_macs": "9M"}, False, False),
        ({"max_latency": "3ms"}, True, False),
        ({"max_latency": "1.95ms"}, False, True),
        ({"max_latency": "2.05ms"}, True, True),
        ({"min_score": 0.85}, True, False),
        ({"min_score": 0.899}, True, True),
        ({"min_score": 0.95}, False, False),
        ({"max_score_drop": 0.01}, True, False),
        ({"max_score_drop": 0.004}, False, True),
        ({"max_score_drop": 0.004, "undecided": "pass"}, True, True),
        ({"min_score": 0.899, "undecided": "fail"}, False, True),
    ],
)
def test_limits(asked: dict[str, Any], passed: bool, is_open: bool) -> None:
    found = only(FIGURES, **asked)
    assert (found.passed, found.is_open) == (passed, is_open)


@pytest.mark.parametrize(
    "asked", [{"max_size": "1MB"}, {"max_latency": "1ms"}, {"min_score": 0.1}, {"max_score_drop": 1.0}]
)
def test_a_figure_that_is_missing_fails_unless_it_may(asked: dict[str, Any]) -> None:
    nothing = Subject(name="ours")
    found = only(nothing, **asked)
    assert not found.passed and found.value is None and found.said
    assert only(nothing, **asked, allow_unmeasured=True).passed


def test_a_score_that_is_to_be_small() -> None:
    assert FIGURES.score is not None
    error = FIGURES.model_copy(update={"score": FIGURES.score.model_copy(update={"higher_is_better": False})})
    assert only(error, min_score=0.95).passed
    assert not only(error, min_score=0.85).passed


def test_a_run_without_a_result_fails() -> None:
    found = only(Subject(name="ours", failed="the run is interrupted"), max_size="1MB")
    assert not found.passed and found.name == "run"


def test_nothing_asked() -> None:
    with pytest.raises(InputError, match="nothing to check"):
        checked(FIGURES, None, Gate())


def test_beside_a_baseline(tmp_path: Path) -> None:
    old = subject_of(write_run(tmp_path / "old"))
    same = {check.name.split()[0]: check for check in checked(old, old, Gate())}
    assert set(same) == {"size", "params", "macs", "latency", "score"}
    assert all(check.passed and not check.is_open for name, check in same.items() if name != "score")
    assert same["score"].passed
    grown = subject_of(write_run(tmp_path / "grown", layers=12, score=0.8))
    found = {check.name.split()[0]: check for check in checked(grown, old, Gate(seconds=0.2))}
    assert not any(check.passed for check in found.values())
    assert found["params"].value == pytest.approx(5.0) and found["params"].before == 288
    assert found["score"].value == pytest.approx(0.1) and not found["score"].is_open
    shrunk = {check.name: check for check in checked(old, grown, Gate(seconds=0.2))}
    assert all(check.passed for check in shrunk.values())


def test_what_may_grow_is_said_per_figure(tmp_path: Path) -> None:
    old, new = (subject_of(write_run(tmp_path / name, layers=layers)) for name, layers in (("old", 20), ("new", 21)))
    tolerant = Gate.model_validate({"tolerate": {"size": "10%", "params": "10%", "macs": "4%"}, "seconds": 0.2})
    found = {check.name.split()[0]: check.passed for check in checked(new, old, tolerant)}
    assert found["size"] and found["params"] and not found["macs"]


def test_a_baseline_without_its_file_can_t_be_timed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", says="one")
    write_run(tmp_path / "old", says="another")
    (tmp_path / "old" / "01-export" / "model.onnx").unlink()
    found = {check.name: check for check in checked(subject_of(run), subject_of(tmp_path / "old"), Gate())}
    slower = found["latency against the baseline"]
    assert not slower.passed and "isn't there" in slower.said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"profile": {"target": {**TARGET, "runtime": "tensorrt"}}}, "another target: runtime"),
        ({"profile": {"target": {**TARGET, "batch_size": 8}}}, "another target: batch size"),
        ({"profile": {"target": {**TARGET, "threads": 2}}}, "another target: threads"),
        ({"status": "interrupted"}, "has no result"),
    ],
)
def test_a_baseline_of_another_kind(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    run, old = write_run(tmp_path / "run"), write_run(tmp_path / "old", **changed)
    with pytest.raises(InputError, match=said):
        checked(subject_of(run), subject_of(old), Gate())


def test_a_baseline_of_another_task_or_of_other_data(tmp_path: Path) -> None:
    ours = subject_of(write_run(tmp_path / "run"))
    assert ours.score is not None
    other = ours.model_copy(update={"score": ours.score.model_copy(update={"name": "mse"})})
    with pytest.raises(InputError, match="another task"):
        checked(ours, other, Gate())
    elsewhere = ours.model_copy(update={"score": ours.score.model_copy(update={"data": "xyz"})})
    score = next(check for check in checked(ours, elsewhere, Gate()) if check.name.startswith("score"))
    assert not score.passed and "other data" in score.said
