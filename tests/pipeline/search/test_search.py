"""Searches on a small network: what they leave, that they go on, and what they refuse."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compressor import pipeline
from compressor.digests import file_digest
from compressor.distill.stage import Distill
from compressor.errors import InputError, PlanError
from compressor.export.stage import Export
from compressor.pipeline import Job
from compressor.pipeline.foresight import is_open
from compressor.pipeline.search.lock import locked
from compressor.pipeline.search.search import _forget
from compressor.profile import Profile
from compressor.prune.stage import Prune
from compressor.quantize.stage import Quantize
from compressor.report import Report
from compressor.stage import Stage
from compressor.target import Goals, Target
from compressor.training import TrainSettings

ONCE = TrainSettings(epochs=1, batch_size=64, precision="fp32", crop=0, channels_last="off")
MakeJob = Callable[..., Job]


@pytest.fixture
def open_job(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> MakeJob:
    # A network that knows nothing can lose all of its channels; a few cuts show as much as that does.
    monkeypatch.setattr("compressor.pipeline.search.path.MOST_CUTS", 2)

    def make(goals: Goals, opset: int = 20, before: tuple[Stage, ...] = (), **changed: Any) -> Job:
        stages = (
            *before,
            Prune(train=ONCE),
            Quantize(train=ONCE, measure=False, calibration_batches=1),
            Export(prefer="size"),
        )
        profile = Profile("test", "a test", Target(runtime="onnxruntime", opset=opset), goals, stages)
        return make_job(profile=profile, **changed)

    return make


def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where every training from now on writes its state."""
    module = sys.modules["compressor.distill.recover"]
    done: list[str] = []
    real = module.fit

    def counted(network: Any, ctx: Any, *rest: Any, **more: Any) -> Any:
        done.append(ctx.workdir.name)
        return real(network, ctx, *rest, **more)

    monkeypatch.setattr(module, "fit", counted)
    return done


def test_a_search_leaves_a_run_that_meets_its_goals(open_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = open_job(Goals(score_drop=0.9), opset=21, before=(Distill(student="auto", train=ONCE),))
    assert is_open(job)
    trained = trainings(monkeypatch)
    report = pipeline.run(job)
    assert report.status == "ok"
    assert report.search is not None and report.search.objective == "size"
    (chosen,) = [point for point in report.search.front if point.chosen]
    assert chosen.meets and chosen.on_front
    assert [stage.name.partition("-")[2] for stage in report.stages[-2:]] == ["quantize", "export"]
    # Its chain is what the report's stages are, and its file what they made.
    assert len(report.stages) == 1 + len(chosen.made_by)
    assert report.artifacts[0].sha256 == chosen.sha256 == file_digest(job.out / "best" / "model.onnx")
    # Each network was trained once, though the run's own stages need some of them again.
    assert len(trained) == len(set(trained)) > 0
    assert report.search.epochs == len(trained)
    assert min(point.size_bytes for point in report.search.front) == chosen.size_bytes
    # Students of the size of the first cut were tried beside it.
    ways = {point.made_by[0].partition(" ")[0].rstrip(",") for point in report.search.front if point.epochs}
    assert ways >= {"prune", "distill"}
    # Where the target reads them, weights of 4 bits make it smaller yet.
    assert "4 bits in" in chosen.name
    again = pipeline.run(job)
    assert all(record.cached for record in again.stages)
    assert again.search is not None and again.search.front == report.search.front
    assert len(trained) == len(set(trained))


def test_a_search_that_was_ended_goes_on_and_had_something(open_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = open_job(Goals(score_drop=0.9))
    trained = trainings(monkeypatch)
    left = 3

    def end(event: Any) -> None:
        nonlocal left
        left -= event.what == "search"
        if left == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(job, end)
    before = list(trained)
    part = Report.read(job.out / "report.json")
    assert part.status == "interrupted" and part.search is not None
    (best,) = part.artifacts
    assert best.path == "best/model.onnx" and file_digest(job.out / best.path) == best.sha256
    assert any(point.meets and point.sha256 == best.sha256 for point in part.search.front)
    report = pipeline.run(job)
    assert report.status == "ok" and len(set(trained)) == len(trained) > len(before)


def test_the_best_of_a_size_keeps_to_it(open_job: MakeJob) -> None:
    limit = 0.035
    report = pipeline.run(open_job(Goals(size_mb=limit)))
    assert report.status == "ok" and report.search is not None and report.search.objective == "score"
    size = report.artifacts[0].size_bytes
    assert 0.5 * limit * 1e6 < size <= limit * 1e6


def test_a_size_that_nothing_has_is_refused(open_job: MakeJob) -> None:
    with pytest.raises(PlanError, match=r"no part of this network keeps size_mb = 0.0001: .* is left"):
        pipeline.run(open_job(Goals(size_mb=0.0001)))


def test_the_control_goes_the_same_way_without_teachers(open_job: MakeJob) -> None:
    report = pipeline.run(open_job(Goals(score_drop=0.9), control=("run",)))
    compared = [record.kd for record in report.stages[1:]]
    assert all(kd is not None for kd in compared)


def test_other_seeds_repeat_what_the_first_found(open_job: MakeJob) -> None:
    job = open_job(Goals(score_drop=0.9), seeds=2)
    report = pipeline.run(job)
    assert len(report.seeds) == 2
    assert (job.out / "seed-0" / "search").is_dir() and not (job.out / "seed-1" / "search").exists()


def test_nothing_of_the_users_is_written_over_or_deleted(open_job: MakeJob) -> None:
    job = open_job(Goals(score_drop=0.9), fresh=True)
    theirs = [job.out / "search" / "notes.txt", job.out / "search" / "thesis" / "chapter.tex"]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    (job.out / "best").mkdir()
    (job.out / "best" / "model.onnx").write_text("mine")
    with pytest.raises(InputError, match="is not a run's, and would be written over"):
        pipeline.run(job)
    assert (job.out / "best" / "model.onnx").read_text() == "mine"
    ours = job.out / "search" / "prune-0123"
    ours.mkdir()
    (ours / "stage.json").write_text("{}")
    _forget(job.out / "search")
    assert [path.read_text() for path in theirs] == ["mine", "mine"] and not ours.exists()


def test_a_stage_with_an_amount_is_not_searched(make_job: MakeJob) -> None:
    assert not is_open(make_job(ratio=0.5, budget=Goals(score_drop=0.9)))
    # But where a wider search is asked for.
    assert is_open(make_job(ratio=0.5, budget=Goals(score_drop=0.9), trials=1))


def test_a_run_without_goals_takes_half(open_job: MakeJob, tmp_path: Path) -> None:
    job = open_job(Goals())
    assert not is_open(job)
    assert pipeline.run(job).stages[1].metrics["ratio"] == 0.5


def test_a_wider_search_is_no_worse_and_has_baselines(open_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = open_job(Goals(score_drop=0.9), trials=2)
    trained = trainings(monkeypatch)
    report = pipeline.run(job)
    assert report.status == "ok" and report.search is not None
    (chosen,) = [point for point in report.search.front if point.chosen]
    assert chosen.size_bytes == min(point.size_bytes for point in report.search.front)
    assert [row.name for row in report.search.baselines] == ["fixed profile", "random search"]
    assert report.search.baselines[1].epochs >= report.search.epochs
    assert any(note.startswith("study: 2 of 2 trials") for note in report.search.notes)
    assert len(trained) == len(set(trained))
    again = pipeline.run(job)
    assert again.search is not None and again.search.front == report.search.front
    assert again.search.epochs == report.search.epochs
    assert again.search.baselines == report.search.baselines and again.search.notes == report.search.notes
    assert len(trained) == len(set(trained))


def test_a_profile_that_says_an_amount_is_searched_and_counts(make_job: MakeJob) -> None:
    report = pipeline.run(make_job(ratio=0.5, budget=Goals(score_drop=0.9), trials=1))
    assert report.search is not None
    assert ["prune 50%, 1 epochs", "export"] in [point.made_by for point in report.search.front]


def test_a_wider_search_without_goals_has_nothing_to_search(open_job: MakeJob) -> None:
    with pytest.raises(PlanError, match="nothing to search: wanted goals"):
        pipeline.run(open_job(Goals(), trials=1))


@pytest.mark.parametrize("trials", [0, 1])
def test_too_little_time_for_one_step_is_refused(open_job: MakeJob, trials: int) -> None:
    with pytest.raises(PlanError, match=r"--hours 1e-06 is too short for one step: 1 epochs .* take about"):
        pipeline.run(open_job(Goals(score_drop=0.9, hours=1e-6), trials=trials))


def test_two_searches_on_one_folder(open_job: MakeJob) -> None:
    job = open_job(Goals(score_drop=0.9))
    with locked(job.out / "search"), pytest.raises(InputError, match="another process searches in this folder"):
        pipeline.run(job)
    assert not (job.out / "report.json").exists()
