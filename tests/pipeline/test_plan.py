"""What a plan finds out without training."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import small

from compressor import pipeline
from compressor.context import Teacher
from compressor.distill import labels_only
from compressor.errors import PlanError
from compressor.export.stage import Export
from compressor.models import TorchModel
from compressor.pipeline import Job
from compressor.pipeline.job import prepared
from compressor.pipeline.plan import teacher_notes
from compressor.prune.stage import Prune
from compressor.training import TrainSettings, fit

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


def test_without(make_job: MakeJob) -> None:
    assert [line.name for line in pipeline.plan(make_job(without=("prune",))).lines] == ["01-export"]
    with pytest.raises(PlanError, match="did you mean 'prune'"):
        pipeline.plan(make_job(without=("prun",)))
    with pytest.raises(PlanError, match="--without prune --stop-before export leaves no stage"):
        pipeline.plan(make_job(without=("prune",), stop_before="export"))


def trained(job: Job, seed: int = 0) -> TorchModel:
    model = small.small_model(seed)
    ctx = job.context(job.out.parent / f"teacher-{seed}", ())
    fit(model.module, ctx, TrainSettings(epochs=12, batch_size=64, precision="fp32", crop=0), labels_only(ctx))
    return model


def test_a_good_teacher_needs_no_words(make_job: MakeJob) -> None:
    job = prepared(make_job())
    assert teacher_notes(replace(job, model=trained(job))) == []


def test_a_teacher_that_knows_nothing_is_said(make_job: MakeJob) -> None:
    job = prepared(make_job())
    # On how many samples, and so the figures, a clock decides each time.
    said = "the teacher is no better than chance on validation"
    (note,) = teacher_notes(job)
    report = pipeline.run(job)
    for notes in ([note], pipeline.plan(job).notes, report.stages[0].notes):
        assert any(one.startswith(said) for one in notes)


def test_a_teacher_below_its_pupil_is_said(make_job: MakeJob) -> None:
    job = prepared(make_job())
    pupil = trained(job)
    notes = teacher_notes(replace(job, model=pupil, teachers=(Teacher(small.small_model(7)),)))
    assert len(notes) == 2 and "worse on validation" in notes[1]
