"""run(): every arm and seed of a job, and the report they leave."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from compressor.context import ShowProgress, silent
from compressor.digests import file_digest, module_digest
from compressor.errors import InputError
from compressor.memory import peak_memory
from compressor.models import EngineModel, OnnxModel, TorchModel
from compressor.pipeline.control import check_control, run_control, with_control
from compressor.pipeline.environment import describe_environment
from compressor.pipeline.folder import claim, point_to
from compressor.pipeline.foresight import check_limits, is_open
from compressor.pipeline.job import Job, prepared, report_progress
from compressor.pipeline.lineage import NAME as LINEAGE
from compressor.pipeline.lineage import write_lineage
from compressor.pipeline.loop import Arm, measure_reference, run_arm
from compressor.pipeline.model_card import write_card
from compressor.pipeline.search import Searched, begun, search
from compressor.pipeline.summary import (
    artifact_of,
    budget_checks,
    fitted_to_validation,
    mean_over_seeds,
    ratios,
    status_of,
    with_error,
)
from compressor.pipeline.tracking import Tracked, tracked
from compressor.profile import Profile
from compressor.report import Artifact, Report, ScoreInfo, Status
from compressor.report_html import write_html
from compressor.writing import write_atomically

UNFINISHED = "not finished: the run is still going on, or was killed; run again to go on"


def run(job: Job, progress: ShowProgress = silent) -> Report:
    """Run a job and write ``report.json`` and ``report.html`` into its folder.

    Stages whose settings, input, data and code are unchanged come from the folder. With several
    seeds each has a folder of its own and the report holds the means.

    Returns:
        The report; its status is ``ok`` or ``budget_missed``.

    Raises:
        CompressError: A stage failed, or the plan can't work. A report of what was done is written
            first where at least the reference was measured.
    """
    claim(job.out)
    job = prepared(job)
    check_control(job)
    with tracked(job, progress) as trackers:
        return _run(job, progress, trackers)


def _run(job: Job, progress: ShowProgress, trackers: Tracked) -> Report:
    if not point_to(job.out):
        report_progress(job, progress, f"{job.out.parent / 'last'} is not a run's: it is left as it is")
    if job.seeds == 1:
        report = _run_seed(job, progress, trackers)[0]
        trackers.finish(report, job.out)
        return report
    reports, paths, profile = [], [], job.profile
    for index in range(job.seeds):
        path = f"seed-{job.seed + index}"
        # What the first seed's search found is what the others repeat: a spread is that of one way.
        one = replace(job, seed=job.seed + index, seeds=1, out=job.out / path, profile=profile)
        one = replace(one, trials=0 if index else job.trials)
        report_progress(job, progress, f"seed {index + 1} of {job.seeds}")
        report, profile = _run_seed(one, progress, trackers.of_seed(path))
        reports.append(report)
        paths.append(path)
    report = mean_over_seeds(reports, job.profile.budget, job.command, paths)
    _write(report, job.out)
    write_lineage(report, job.out)
    trackers.finish(report, job.out)
    return report


def _run_seed(job: Job, progress: ShowProgress, trackers: Tracked) -> tuple[Report, Profile]:
    """The report, and the profile with the stages that were done."""

    # Written after every stage, so that it is right even where this process is killed in the next.
    def write_so_far() -> None:
        _write_partial(job, arm, control, searched, "interrupted", UNFINISHED)
        trackers.measured(arm.records, searched)

    followed = trackers.follow(progress)
    arm, control, searched = Arm([], [], [], write_so_far), Arm([], [], []), Searched(write_so_far)
    try:
        with begun(job) as opened:
            if is_open(job):
                check_limits(job)
                measure_reference(job, job.out, job.all_teachers, followed, arm)
                job = search(job, arm.snapshots[0], followed, searched, opened)
            run_arm(job, job.out, job.all_teachers, followed, arm)
            run_control(job, arm, trackers.follow(progress, "control/"), control)
    except KeyboardInterrupt:
        _write_partial(job, arm, control, searched, "interrupted", "interrupted; run again to go on")
        raise
    except BaseException as error:
        _write_partial(job, arm, control, searched, "failed", str(error) or type(error).__name__)
        raise
    trackers.measured(arm.records, searched)
    trackers.measured(control.records, searched, "control/")
    report = _report(job, arm, control, searched, None, trackers.notes)
    _write(report, job.out)
    write_card(report, job.out)
    write_lineage(report, job.out)
    return report, job.profile


def _write_partial(job: Job, arm: Arm, control: Arm, searched: Searched, status: Status, note: str) -> None:
    if arm.records:
        (job.out / LINEAGE).unlink(missing_ok=True)
        _write(_report(job, arm, control, searched, status, [note]), job.out)


def _report(job: Job, arm: Arm, control: Arm, searched: Searched, status: Status | None, notes: list[str]) -> Report:
    records = arm.records
    if control.records:
        records = with_control(arm, control, job.context(job.out, job.all_teachers))
    checks = budget_checks(job.profile.budget, records) if status is None else []
    if searched.report is not None and any(point.chosen and point.meets for point in searched.report.front):
        checks = [with_error(check, records[-1]) for check in checks]
    test = job.data.test
    return Report(
        status=status or status_of(checks),
        profile=job.profile.as_dict(),
        seed=job.seed,
        quick=job.quick,
        environment=describe_environment(job.device),
        command=job.command,
        model={
            **job.model.info.model_dump(mode="json", exclude={"tokenizer"}),
            "sha256": job.model.info.sha256 or module_digest(job.model.module),
        },
        teachers=[_described(teacher.model, teacher.weight) for teacher in job.all_teachers],
        data={
            "source": job.data.source,
            "fingerprint": job.data.fingerprint,
            "counts": {name: len(job.data.split(name)) for name in ("train", "validation", "test")},
            "unlabeled": job.data.unlabeled,
            "classes": list(job.data.classes),
            "flip": job.data.flip,
            "notes": list(job.data.notes),
        },
        score=ScoreInfo(
            name=job.task.score_name, higher_is_better=job.task.higher_is_better, split="test", count=len(test)
        ),
        stages=records,
        artifacts=_artifacts(job.out, arm, searched),
        ratios=ratios(records),
        budget=checks,
        search=searched.report,
        peak_memory_bytes=peak_memory(),
        notes=[
            *job.file_notes,
            *notes,
            *(fitted_to_validation(searched.report, records[-1]) if status is None else []),
        ],
    )


def _artifacts(out: Path, arm: Arm, searched: Searched) -> list[Artifact]:
    """The file of the last record, where it is not the reference itself; while a search goes on, its best so far."""
    if len(arm.records) < 2:
        return [] if searched.best is None else [searched.best]
    record, taken = arm.records[-1], arm.snapshots[-1]
    path = taken.artifact.path
    return [artifact_of(record, path.relative_to(out).as_posix(), taken.artifact.precision, file_digest(path))]


def _described(model: Any, weight: float) -> dict[str, Any]:
    info: dict[str, Any] = {"source": model.info.source, "weight": weight}
    if isinstance(model, TorchModel):
        info["sha256"] = model.info.sha256 or module_digest(model.module)
    elif isinstance(model, (OnnxModel, EngineModel)):
        info["sha256"] = file_digest(model.path)
    return info


def _write(report: Report, out: Path) -> None:
    """Write both files, unless what is there says the same: a run from cache rewrites nothing."""
    path = out / "report.json"
    if path.exists() and (out / "report.html").exists() and _same(path, report):
        return
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(path, report.model_dump_json(indent=2).encode())
    write_html(report, out / "report.html")


def _same(path: Path, report: Report) -> bool:
    try:
        known = Report.read(path)
    except InputError:
        return False
    return _measured(known) == _measured(report)


def _measured(report: Report) -> Report:
    """The report without what differs between a run and the same from cache: marks, memory, times, how it was typed."""
    stages = [record.model_copy(update={"cached": False}) for record in report.stages]
    search = report.search and report.search.model_copy(update={"seconds": {}})
    return report.model_copy(update={"stages": stages, "command": "", "peak_memory_bytes": None, "search": search})
