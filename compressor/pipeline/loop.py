"""The loop: one arm of a run from the reference through every stage, each from cache or done and measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from compressor.context import RunContext, ShowProgress, Teacher
from compressor.copies import copy_of
from compressor.digests import module_digest
from compressor.measure import Snapshot, snapshot
from compressor.models import Form, TorchModel
from compressor.pipeline.cache import StageFolder, stage_key
from compressor.pipeline.folder import REFERENCE
from compressor.pipeline.job import Job
from compressor.pipeline.layers import layers_of
from compressor.pipeline.plan import output_notes, teacher_notes
from compressor.pipeline.rehearsal import rehearse
from compressor.pipeline.step import Current, Measure, do_step, facts_of
from compressor.report import StageRecord


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
    facts = facts_of(job, teachers)
    parent = module_digest(job.model.module)
    if not arm.records:
        measure_reference(job, folder, teachers, progress, arm)
    reference = arm.snapshots[0]
    current = Current(replace(job.model, module=copy_of(job.model.module)), None, job.model.builder)
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
            done = do_step(stage, name, current, place, job, teachers, progress, _on_test(name, place, reference))
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
        current = Current(None, place.path, job.model.builder)


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
    place = StageFolder(folder / f"{name}-alone", stage_key(stage, arm.digests[index - 1], facts_of(job, ())))
    done = None if job.fresh else place.result()
    if done is None:
        own = TorchModel(copy_of(job.model.module), job.model.info, job.model.builder)
        before = arm.records[index - 1].name
        current = Current(own if index == 1 else None, job.out / before, job.model.builder)
        done = do_step(stage, name, current, place, job, (), progress, _on_test(name, place, arm.snapshots[0]))
    control.records.append(done.record)
    control.snapshots.append(Snapshot.load(place.path))
    control.digests.append(done.content)


def measure_reference(job: Job, folder: Path, teachers: tuple[Teacher, ...], progress: ShowProgress, arm: Arm) -> None:
    """Measure the untouched network, or take what was measured before; the first record of ``arm``.

    Before it is measured all stages are rehearsed: what can't work fails here.
    """
    name = REFERENCE
    place = StageFolder(folder / name, stage_key(None, module_digest(job.model.module), facts_of(job, teachers)))
    done = None if job.fresh else place.result()
    cached = done is not None
    if done is None:
        rehearse(job, progress)
        place.begin(job.fresh)
        start = time.perf_counter()
        ctx = job.context(place.path, job.all_teachers, progress)
        taken = snapshot(name, job.model, ctx, place.path, None)
        taken.save(place.path)
        record = taken.record.model_copy(
            update={
                "kind": "reference",
                "seconds": round(time.perf_counter() - start, 3),
                "notes": [*output_notes(job), *teacher_notes(job)],
                "layers": layers_of(job.model, None, {}),
                "artifact": taken.artifact.path.relative_to(folder).as_posix(),
            }
        )
        done = place.finish(record, module_digest(job.model.module))
    taken = Snapshot.load(place.path)
    arm.records.append(done.record.model_copy(update={"cached": cached}))
    arm.snapshots.append(taken)
    arm.digests.append(done.content)
    if not cached:
        arm.grown()


def _on_test(name: str, place: StageFolder, reference: Snapshot) -> Measure:
    def measure(form: Form, ctx: RunContext) -> tuple[StageRecord, Path | None]:
        taken = snapshot(name, form, ctx, place.path, reference)
        taken.save(place.path)
        return taken.record, taken.artifact.path

    return measure
