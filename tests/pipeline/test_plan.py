"""What a plan finds out without training."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from compressor import pipeline
from compressor.errors import PlanError
from compressor.export.stage import Export
from compressor.pipeline import Job
from compressor.prune.stage import Prune

MakeJob = Callable[..., Job]


def test_it_lists_stages_and_estimates(make_job: MakeJob) -> None:
    job = make_job()
    planned = pipeline.plan(job)
    assert [line.name for line in planned.lines] == ["01-prune", "02-export"]
    assert "can lose channels" in planned.lines[0].notes[0]
    assert planned.seconds is not None
    assert planned.seconds > 0
    assert not job.out.exists()


def test_stages_that_do_not_chain(make_job: MakeJob) -> None:
    job = make_job()
    stages = (Export(), Prune(ratio=0.5))
    with pytest.raises(PlanError, match="don't chain"):
        pipeline.plan(replace(job, profile=replace(job.profile, stages=stages)))


def test_stop_before(make_job: MakeJob) -> None:
    assert [line.kind for line in pipeline.plan(make_job(stop_before="export")).lines] == ["prune"]
    with pytest.raises(PlanError, match="did you mean 'export'"):
        pipeline.plan(make_job(stop_before="exprt"))
    with pytest.raises(PlanError, match="leaves no stage"):
        pipeline.plan(make_job(stop_before="prune"))
