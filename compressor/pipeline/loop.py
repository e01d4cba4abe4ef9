"""The loop: one arm of a run from the reference through every stage, each from cache or done and measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from compressor.context import Progress, ShowProgress, Teacher
from compressor.copies import copy_of
from compressor.data import fitted
from compressor.digests import file_digest, module_digest
from compressor.loading import load_form, save_form
from compressor.measure import Snapshot, snapshot
from compressor.models import EngineModel, Form, OnnxModel, TorchModel
from compressor.pipeline.cache import Done, StageFolder, stage_key
from compressor.pipeline.job import Job
from compressor.pipeline.plan import output_notes, teacher_notes
from compressor.pipeline.rehearsal import rehearse
from compressor.report import Parity, StageRecord
from compressor.stage import Stage


@dataclass
class Arm:
    """What one pass over the stages has measured so far.

    Args:
        records: The reference's first.
        snapshots: Each record's own, for paired comparisons.
        digests: What each stage's result is, by content.
        grown: Called when a stage that was really done has been added.
    """

    records: list[StageRecord]
    snapshots: list[Snapshot]
    digests: list[str]
    grown: Callable[[], None] = lambda: None


def run_arm(job: Job, folder: Path, teachers: tuple[Teacher, ...], progress: ShowProgress, arm: Arm) -> None:
    """Run every stage in turn; ``arm`` grows as stages finish, so it is right after a failure too.

    Args:
        job: Prepared.
        folder: Holds a folder per stage.
        teachers: Empty for the control arm.
        progress: Where reports go.
        arm: Filled in.
    """
    facts = _facts(job, teachers)
    parent = module_digest(job.model.module)
    reference = _reference(job, folder, stage_key(None, parent, facts), progress, arm)
    current = _Current(replace(job.model, module=copy_of(job.model.module)), None, job.model.builder)
    # The check before the reference was measured is one for all stages.
    checked = not arm.records[0].cached
    for index, stage in enumerate(job.stages, 1):
        name = f"{index:02d}-{stage.kind}"
        place = StageFolder(folder / name, stage_key(stage, parent, facts))
        done = None if job.fresh else place.result()
        if done is None:
            if not checked:
                rehearse(job, progress)
                checked = True
            done = _do(stage, name, current, place, job, teachers, progress, reference)
            cached = False
        else:
            cached = True
        taken = Snapshot.load(place.path)
        arm.records.append(done.record.model_copy(update={"cached": cached}))
        arm.snapshots.append(taken)
        arm.digests.append(done.content)
        if not cached:
            arm.grown()
        parent = done.content
        current = _Current(None, place.path, job.model.builder)


def run_alone(job: Job, index: int, folder: Path, progress: ShowProgress, arm: Arm, control: Arm) -> None:
    """One stage once more without teachers, from what the arm's own stage was handed.

    Args:
        job: Prepared.
        index: Which stage, from 1.
        folder: Where it goes, as ``02-prune-alone``.
        progress: Where reports go.
        arm: The finished arm.
        control: Grows by the record and the snapshot, under the stage's own name.
    """
    stage, name = job.stages[index - 1], arm.records[index].name
    # What it is compared with may have trained more: its own comparisons aren't repeated.
    job = replace(job, control=())
    place = StageFolder(folder / f"{name}-alone", stage_key(stage, arm.digests[index - 1], _facts(job, ())))
    done = None if job.fresh else place.result()
    if done is None:
        own = TorchModel(copy_of(job.model.module), job.model.info, job.model.builder)
        before = arm.records[index - 1].name
        current = _Current(own if index == 1 else None, job.out / before, job.model.builder)
        done = _do(stage, name, current, place, job, (), progress, arm.snapshots[0])
    control.records.append(done.record)
    control.snapshots.append(Snapshot.load(place.path))
    control.digests.append(done.content)


@dataclass
class _Current:
    """The form that the next stage is handed: in memory, or in a folder until someone needs it."""

    form: Form | None
    folder: Path | None
    builder: Callable[[], torch.nn.Module] | None

    def load(self) -> Form:
        if self.form is None:
            assert self.folder is not None
            # The run was given its factories by hand, so its own folders may name them.
            self.form = load_form(self.folder, factory=self.builder, trust=True)
        return self.form


def _reference(job: Job, folder: Path, key: str, progress: ShowProgress, arm: Arm) -> Snapshot:
    name = "00-reference"
    place = StageFolder(folder / name, key)
    done = None if job.fresh else place.result()
    cached = done is not None
    if done is None:
        rehearse(job, progress)
        place.begin(job.fresh)
        start = time.perf_counter()
        ctx = job.context(place.path, job.all_teachers, progress)
        taken = snapshot(name, job.model, ctx, place.path, None)
        taken.save(place.path)
        seconds = time.perf_counter() - start
        record = _finished(taken, "reference", seconds, folder, {}, {}, {}, [*output_notes(job), *teacher_notes(job)])
        done = place.finish(record, module_digest(job.model.module))
    taken = Snapshot.load(place.path)
    arm.records.append(done.record.model_copy(update={"cached": cached}))
    arm.snapshots.append(taken)
    arm.digests.append(done.content)
    if not cached:
        arm.grown()
    return taken


def _do(
    stage: Stage,
    name: str,
    current: _Current,
    place: StageFolder,
    job: Job,
    teachers: tuple[Teacher, ...],
    progress: ShowProgress,
    reference: Snapshot,
) -> Done:
    """Run one stage, save its form, measure it, and only then declare it done."""
    progress(Progress(name))
    form = current.load()
    place.begin(job.fresh)
    ctx = job.context(place.path, teachers, _named(progress, name), form.info)
    torch.manual_seed(job.seed)
    start = time.perf_counter()
    result = stage.run(form, ctx)
    seconds = time.perf_counter() - start
    data = fitted(job.data, result.model.info)
    save_form(result.model, place.path, job.task.example_inputs(data, 16))
    taken = snapshot(name, result.model, ctx, place.path, reference)
    taken.save(place.path)
    settings = {"kind": stage.kind, **stage.model_dump(mode="json")}
    record = _finished(
        taken,
        stage.kind,
        seconds,
        place.path.parent,
        settings,
        ctx.decisions.read(),
        result.metrics,
        [*result.notes, *ctx.decisions.reasons()],
    )
    return place.finish(record, _content(result.model, place.path))


def _finished(
    taken: Snapshot,
    kind: str,
    seconds: float,
    folder: Path,
    settings: dict[str, Any],
    decisions: dict[str, Any],
    metrics: dict[str, Any],
    notes: list[str],
) -> StageRecord:
    return taken.record.model_copy(
        update={
            "kind": kind,
            "seconds": round(seconds, 3),
            "settings": settings,
            "decisions": decisions,
            "metrics": metrics,
            "notes": notes,
            "parity": taken.record.parity
            or (Parity.model_validate(metrics["parity"]) if "parity" in metrics else None),
            "artifact": taken.artifact.path.relative_to(folder).as_posix(),
        }
    )


def _content(form: Form, folder: Path) -> str:
    if isinstance(form, (OnnxModel, EngineModel)):
        return file_digest(form.path)
    return file_digest(folder / "model.safetensors")


def _facts(job: Job, teachers: tuple[Teacher, ...]) -> dict[str, Any]:
    """Whatever besides settings and parent changes a stage's result."""
    student = module_digest(job.student.module) if isinstance(job.student, TorchModel) else None
    return {
        "data": job.data.fingerprint,
        "target": job.profile.target.model_dump(mode="json"),
        "reference": module_digest(job.model.module),
        "info": job.model.info.model_dump(mode="json"),
        "teachers": [
            [_form_digest(one.model), one.weight, one.model.info.tokenizer and one.model.info.tokenizer.digest]
            for one in teachers
        ],
        "student": student,
        "task": [job.task.name, job.task.score_name, job.task.loss_name],
        "seed": job.seed,
        "prefer": [job.prefer, job.profile.budget.size, job.profile.budget.size_mb],
        "device": job.device,
        "threads": torch.get_num_threads(),
        "control": bool(job.control),
        "quick": job.quick,
    }


def _form_digest(form: Form) -> str:
    if isinstance(form, (OnnxModel, EngineModel)):
        return file_digest(form.path)
    return module_digest(form.module)


def _named(progress: ShowProgress, name: str) -> ShowProgress:
    def report(event: Progress) -> None:
        what = name if event.what in name else f"{name} {event.what}"
        progress(replace(event, what=what))

    return report
