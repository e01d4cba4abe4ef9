"""What is said of a search before it begins."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from imagined import REFERENCE

from compressor import pipeline
from compressor.distill.stage import Distill
from compressor.errors import PlanError
from compressor.export.stage import Export
from compressor.pipeline import Job
from compressor.pipeline.foresight import (
    QUICK,
    STUDENTS,
    WHOLE,
    check_limits,
    check_reachable,
    repeats,
    search_notes,
)
from compressor.pipeline.job import prepared
from compressor.profile import Profile
from compressor.prune.stage import Prune
from compressor.quantize.stage import Quantize
from compressor.report import StageRecord
from compressor.target import Goals, Target

MakeJob = Callable[..., Job]


def open_job(make_job: MakeJob, goals: Goals, **target: Any) -> Job:
    stages = (Distill(student="auto"), Prune(), Quantize(), Export())
    return make_job(profile=Profile("test", "", Target(runtime=target.pop("runtime", "onnxruntime")), goals, stages))


def test_how_often_each_stage_is_done(make_job: MakeJob) -> None:
    job = open_job(make_job, Goals(score_drop=0.01))
    assert repeats(job, 0) == (STUDENTS, 2)
    assert repeats(job, 1)[0] == WHOLE[0]
    assert repeats(job, 2) == repeats(job, 3) == (1.0, WHOLE[1])
    quick = replace(job, quick=True)
    assert repeats(quick, 0) == (0.0, 0) and repeats(quick, 3) == (1.0, QUICK[1])
    # Without goals, or with an amount, nothing is searched.
    for other in (open_job(make_job, Goals()), make_job(ratio=0.5, budget=Goals(score_drop=0.01))):
        assert [repeats(other, place) for place in range(len(other.stages))] == [(1.0, 1)] * len(other.stages)


@pytest.mark.parametrize(
    ("goals", "said"),
    [
        (Goals(score_drop=0.2), "the smallest file with score_drop <= 0.2"),
        (Goals(score_drop=0.2, minimize="latency"), "the fastest file"),
        (Goals(size_mb=0.1), "the best score with size_mb <= 0.1"),
    ],
)
def test_the_plan_says_what_is_looked_for(make_job: MakeJob, goals: Goals, said: str) -> None:
    assert said in pipeline.plan(open_job(make_job, goals)).notes[-1]


def test_a_split_that_is_too_small_is_said(make_job: MakeJob) -> None:
    (_, note) = search_notes(prepared(open_job(make_job, Goals(score_drop=0.01))))
    assert "128 samples" in note and "about 0.0198" in note and "about 8,000" in note


def test_latency_of_another_device_is_said(make_job: MakeJob) -> None:
    notes = search_notes(open_job(make_job, Goals(score_drop=0.5, minimize="latency"), runtime="tensorrt"))
    assert any("fewer MACs counts as faster" in note for note in notes)


def test_what_nothing_reaches_is_refused_before_any_training(make_job: MakeJob) -> None:
    with pytest.raises(PlanError, match=r"no part of this network keeps size_mb = 1e-05"):
        pipeline.plan(open_job(make_job, Goals(size_mb=0.00001)))
    with pytest.raises(PlanError, match=r"keeps params = 20"):
        check_limits(prepared(open_job(make_job, Goals(params=20))))
    check_limits(prepared(open_job(make_job, Goals(size_mb=0.05))))


def test_what_not_even_the_smallest_keeps() -> None:
    smallest = StageRecord(name="smallest", kind="", seconds=0.0, size_bytes=50_000, params=10_000)
    check_reachable(Goals(size_mb=0.06, score_drop=0.01), REFERENCE, smallest)
    with pytest.raises(PlanError, match=r"no part of this network keeps size_mb = 0\.04"):
        check_reachable(Goals(size_mb=0.04), REFERENCE, smallest)
    with pytest.raises(PlanError, match="params"):
        check_reachable(Goals(params=5000), REFERENCE, smallest)
