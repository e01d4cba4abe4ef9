"""Whole runs: what they leave, what a second one redoes, and what a failure keeps."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from compressor import pipeline
from compressor.context import RunContext
from compressor.errors import InputError, StageError
from compressor.export.stage import Export
from compressor.models import TorchModel
from compressor.pipeline import Job
from compressor.prune.stage import Prune
from compressor.report import Report
from compressor.stage import StageResult
from compressor.target import Goals

MakeJob = Callable[..., Job]


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_second_run_redoes_and_rewrites_nothing(make_job: MakeJob) -> None:
    job = make_job(control=("run",))
    first = pipeline.run(job)
    assert [record.name for record in first.stages] == ["00-reference", "01-prune", "02-export"]
    assert first.ratios.size is not None
    assert first.ratios.size > 1.5
    assert first.stages[1].kd is not None
    assert (job.out / "control" / "01-prune" / "model.safetensors").exists()
    layers = [{layer.name: layer for layer in record.layers} for record in first.stages]
    assert layers[0].keys() == layers[1].keys() and layers[1] == {
        name: layer.model_copy(update={"kept": layers[1][name].kept}) for name, layer in layers[2].items()
    }
    assert layers[1]["fc"].kept and layers[1]["conv1"].weights < layers[0]["conv1"].weights
    before = contents(job.out)
    second = pipeline.run(job)
    assert contents(job.out) == before
    assert all(record.cached for record in second.stages)
    assert [record.score for record in second.stages] == [record.score for record in first.stages]
    assert Report.read(job.out / "report.json") == first
    assert (job.out.parent / "last").read_text().strip() == str(job.out)
    # A changed last stage redoes only itself.
    stages = (job.profile.stages[0], Export(prefer="size"))
    third = pipeline.run(replace(job, profile=replace(job.profile, stages=stages)))
    assert [record.cached for record in third.stages] == [True, True, False]


def test_a_single_stage_is_compared_from_the_same_input(make_job: MakeJob) -> None:
    job = make_job(control=("prune",), seeds=2)
    report = pipeline.run(job)
    pruned, exported = report.stages[1], report.stages[2]
    assert pruned.kd is not None and exported.kd is None
    assert pruned.kd.seeds == 2 and pruned.kd.difference == pytest.approx(pruned.kd.with_kd - pruned.kd.without_kd)
    assert pruned.kd.stderr is not None and pruned.kd.verdict
    alone = job.out / "seed-0" / "control" / "02-prune-alone"
    assert not alone.exists() and (alone.with_name("01-prune-alone") / "model.safetensors").exists()
    one = Report.read(job.out / "seed-0" / "report.json").stages[1].kd
    assert one is not None and one.stderr is not None
    before = contents(job.out)
    pipeline.run(job)
    assert contents(job.out) == before


def test_a_control_of_nothing_is_refused(make_job: MakeJob) -> None:
    for name in ("export", "quantize"):
        with pytest.raises(InputError, match=f"--control {name}: the profile has no stage"):
            pipeline.run(make_job(control=(name,)))


def test_a_missed_budget_is_said(make_job: MakeJob) -> None:
    report = pipeline.run(make_job(budget=Goals(size_mb=0.001, score_drop=1.0)))
    assert report.status == "budget_missed"
    assert {check.name: check.met for check in report.budget} == {"score_drop": True, "size_mb": False}


def test_a_failed_stage_keeps_what_was_done_and_is_not_cached(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()

    def fail(self: Export, model: TorchModel, ctx: RunContext) -> StageResult:
        raise StageError("broken on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(Export, "run", fail)
        with pytest.raises(StageError, match="on purpose"):
            pipeline.run(job)
    failed = Report.read(job.out / "report.json")
    assert failed.status == "failed"
    assert [record.name for record in failed.stages] == ["00-reference", "01-prune"]
    report = pipeline.run(job)
    assert report.status == "ok"
    assert [record.cached for record in report.stages] == [True, True, False]
    # What is damaged afterwards is made again, and nothing else.
    (job.out / "02-export" / "snapshot.json").write_text("[" * 10**5)
    (job.out / "report.json").write_text("[]")
    again = pipeline.run(job)
    assert [record.cached for record in again.stages] == [True, True, False]
    assert again.stages[-1].score == report.stages[-1].score
    assert Report.read(job.out / "report.json") == again


def test_seeds_are_averaged(make_job: MakeJob) -> None:
    job = make_job(seeds=2)
    report = pipeline.run(job)
    one, two = (Report.read(job.out / f"seed-{seed}" / "report.json") for seed in (0, 1))
    scores = [one.stages[-1].score, two.stages[-1].score]
    assert None not in scores
    assert report.stages[-1].score == pytest.approx(sum(scores) / 2)  # type: ignore[arg-type]
    assert len(report.seeds) == 2


def test_the_model_that_was_given_is_untouched(make_job: MakeJob) -> None:
    job = make_job()
    before = {key: value.clone() for key, value in job.model.module.state_dict().items()}
    pipeline.run(replace(job, profile=replace(job.profile, stages=(Prune(ratio=0.5, train=_once(job)),))))
    after = job.model.module.state_dict()
    assert all((after[key] == value).all() for key, value in before.items())


def _once(job: Job):  # type: ignore[no-untyped-def]
    return job.profile.stages[0].train  # type: ignore[attr-defined]
