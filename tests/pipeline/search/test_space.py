"""The chains that a study chooses among."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from imagined import Imagined, moves_on

from compressor.distill import KdSettings
from compressor.distill.recover_stage import Recover
from compressor.distill.stage import Distill
from compressor.export.stage import Export
from compressor.pipeline import Job
from compressor.pipeline.search.path import smallest
from compressor.pipeline.search.space import AS_TOLD, MOST_CUTS, REFERENCE, STUDENTS, Space, beginning, chain, space_of
from compressor.prune.stage import Prune
from compressor.training import TrainSettings

MakeJob = Callable[..., Job]
SPACE = Space((AS_TOLD,), ("magnitude",), ("local",), (0.9,), (1.0,))
POINT = {
    "start": AS_TOLD,
    "cuts": 2,
    "keep": 0.25,
    "importance": "taylor",
    "scope": "global",
    "alpha": 0.5,
    "temperature": 4.0,
    "recovery": "long",
}


def test_a_point_as_stages() -> None:
    moves = moves_on(Imagined(), score_drop=0.01)
    first, second, last = chain(moves, POINT)
    assert isinstance(first, Prune) and first == second and isinstance(last, Recover)
    assert first.ratio == 0.5 and first.train.epochs == 2 and last.train.epochs == 8
    assert (first.importance, first.scope, first.kd.alpha, last.kd.temperature) == ("taylor", "global", 0.5, 4.0)
    # A short recovery shares all that comes before a long one.
    assert chain(moves, {**POINT, "recovery": "short"}) == (first, second)


def test_all_points_can_be_drawn_and_what_the_profile_sets_is_one(make_job: MakeJob) -> None:
    prune = Prune(importance="reconstruction", kd=KdSettings(alpha=0.7))
    space = space_of(make_job(), (), prune)
    assert space.importances == ("reconstruction", "magnitude", "taylor") and space.alphas == (0.7, 0.5, 0.9)
    drawn = space.distributions()
    assert set(drawn) == set(POINT)
    assert drawn["keep"].log and drawn["cuts"].high == MOST_CUTS


def test_students_where_there_are_smaller_relatives(make_job: MakeJob) -> None:
    job = make_job()
    assert job.model.info.factory is not None
    space = space_of(job, (Distill(),), Prune())
    assert space.starts[:2] == (AS_TOLD, REFERENCE) and set(space.starts[2:]) <= set(STUDENTS)
    info = job.model.info.model_copy(update={"factory": None})
    alone = replace(job, model=replace(job.model, info=info))
    assert space_of(alone, (), Prune()).starts == (AS_TOLD,)
    # Whoever names a student wants that one.
    assert space_of(replace(job, student=job.model), (), Prune()).starts == (AS_TOLD,)


@pytest.mark.parametrize("before", [(), (Distill(student="same", train=TrainSettings(epochs=3)),)])
def test_what_a_chain_begins_with(before: tuple[Distill, ...]) -> None:
    prune = Prune(train=TrainSettings(epochs=5))
    assert beginning((*before, Export()), prune, AS_TOLD) == (*before, Export())
    assert beginning((*before, Export()), prune, REFERENCE) == (Export(),)
    student, after = beginning((*before, Export()), prune, "student 0.5")
    assert isinstance(student, Distill) and student.student == "auto" and student.budget.params == 0.5
    assert student.train.epochs == (3 if before else 5) and after == Export()


def test_the_nearest_point_to_a_path() -> None:
    work = Imagined(steepness=0.01, free=0.2)
    moves = moves_on(work, score_drop=0.01)
    smallest(moves, work.origin)
    best = moves.judge.best(moves.files)
    assert best is not None
    near = SPACE.near(moves, best)
    made = math.prod(1 - (stage.ratio or 0.0) for stage in chain(moves, near) if isinstance(stage, Prune))
    assert made == pytest.approx(work.keep_of(best), rel=0.02)
