"""Halving leaves objectives behind, the finalists are repeated, and advice needs more than luck."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import encoders
import pytest
import small_texts

from compressor.context import Progress, Teacher, silent
from compressor.data.load import load_data
from compressor.distill.stage import Distill
from compressor.errors import PlanError
from compressor.loading import load_file
from compressor.pipeline import Job
from compressor.pipeline.job import prepared
from compressor.pipeline.tune import (
    BETWEEN_BLOCKS,
    BETWEEN_MAPS,
    CONTROL,
    ON_CLASSES,
    ON_NUMBERS,
    Tried,
    _advice,
    _Trainings,
    candidates_for,
    tune,
)
from compressor.profile import load_profile
from compressor.tasks import make_task
from compressor.training import TrainSettings

MakeJob = Callable[..., Job]
ONCE = TrainSettings(batch_size=64, precision="fp32", crop=0)


CANDIDATES = ON_CLASSES | BETWEEN_MAPS


def distilling(make_job: MakeJob, **changed: Any) -> Job:
    job = make_job(seeds=2, **changed)
    return replace(job, profile=replace(job.profile, stages=(Distill(train=ONCE), *job.profile.stages)))


def test_every_candidate_is_tried_and_the_best_are_repeated(make_job: MakeJob) -> None:
    said: list[Progress] = []
    tuned = tune(distilling(make_job), samples=200, epochs=4, progress=said.append)
    assert {one.name for one in tuned.tried} == {CONTROL, *CANDIDATES}
    repeated = [one for one in tuned.tried if one.difference is not None]
    assert len(repeated) == 2 and all(one.stderr is not None and one.epochs == 4 for one in repeated)
    assert min(one.epochs for one in tuned.tried) < 4, "halving left none behind"
    assert tuned.advice
    assert {event.what for event in said} >= {CONTROL, *CANDIDATES}
    again = tune(distilling(make_job), samples=200, epochs=4)
    assert again == tuned, "what was trained before is known, and what was left behind is left behind"


def tried(name: str, difference: float, stderr: float) -> Tried:
    return Tried(name, CANDIDATES[name], 8, 0.9, difference, stderr)


def test_advice_is_what_a_profile_takes(make_job: MakeJob) -> None:
    job = distilling(make_job)
    winner = tried("kd_kl, attention", 0.01, 0.002)
    advice, overrides = _advice([winner, tried("kd_kl, alpha 0.9, T 4", 0.004, 0.002)], job)
    assert advice == "kd_kl, attention beats labels alone by +0.0100 ± 0.0020 over 2 seeds"
    kinds = {"distill", "prune"}
    assert {text.partition(".")[0] for text in overrides} == kinds
    profile = load_profile("mobile-cpu", overrides)
    for stage in profile.stages[:2]:
        assert stage.kd.alpha == 0.9 and stage.kd.terms[0].loss == "attention_transfer"  # type: ignore[attr-defined]


def test_a_tie_is_reported_as_a_tie(make_job: MakeJob) -> None:
    advice, overrides = _advice([tried("kd_kl, alpha 0.9, T 4", 0.003, 0.002)], distilling(make_job))
    assert advice.startswith("no objective beat labels alone") and overrides == []


def test_what_cannot_be_tuned_is_refused(make_job: MakeJob) -> None:
    with pytest.raises(PlanError, match="no distill stage"):
        tune(make_job(seeds=2))
    with pytest.raises(PlanError, match="one seed"):
        tune(replace(distilling(make_job), seeds=1))


def text_job(make_job: MakeJob, **changed: Any) -> tuple[Job, Distill]:
    model = small_texts.encoder(num_hidden_layers=2)
    task = make_task("text-classification")
    job = distilling(make_job, model=model, data=small_texts.sentence_data(model), task=task, **changed)
    stage = Distill(layers=1, train=ONCE)
    return prepared(replace(job, profile=replace(job.profile, stages=(stage, *job.profile.stages[1:])))), stage


def test_objectives_on_texts(make_job: MakeJob) -> None:
    job, stage = text_job(make_job)
    found = candidates_for(job, stage)
    assert found == ON_CLASSES | BETWEEN_BLOCKS
    trainings = _Trainings(job, stage, found, 1, silent)
    assert all(0 <= trainings.score(name, 0) <= 1 for name in (CONTROL, "pieces of texts", "hidden states"))


def test_a_teacher_of_other_tokens_is_asked_for_answers_alone(make_job: MakeJob) -> None:
    other = Teacher(small_texts.encoder("roberta", num_hidden_layers=2))
    job, stage = text_job(make_job, teachers=(other,))
    pieces = {"pieces of texts": BETWEEN_BLOCKS["pieces of texts"]}
    assert candidates_for(job, stage) == ON_CLASSES | pieces


def test_objectives_on_numbers(make_job: MakeJob, tmp_path: Path) -> None:
    task = "text-regression"
    model = load_file(encoders.encoder_folder(tmp_path / "network", task=task, num_hidden_layers=2))
    data = load_data(str(encoders.rated_folder(tmp_path / "data")), args={"target": "rating"})
    job, stage = text_job(make_job)
    job = prepared(replace(job, model=model, data=data, task=make_task(task)))
    assert candidates_for(job, stage) == ON_NUMBERS | BETWEEN_BLOCKS
