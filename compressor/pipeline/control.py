"""The control: the same training without teachers, for a whole run or single stages."""

from dataclasses import replace

from compressor.context import RunContext, ShowProgress
from compressor.data.unlabeled import only_labelled
from compressor.errors import InputError, did_you_mean
from compressor.measure import Snapshot, paired_drop, score_outputs
from compressor.pipeline.job import WHOLE_RUN, Job, report_progress
from compressor.pipeline.loop import Arm, run_alone, run_arm
from compressor.pipeline.summary import kd_comparison
from compressor.report import KdComparison, StageRecord


def check_control(job: Job) -> None:
    """Refuse stages that have nothing to compare.

    Raises:
        InputError: ``--control`` names a stage that the profile doesn't have, or that doesn't distil.
        DataError: It would have nothing to learn from.
    """
    if job.control:
        only_labelled(job.data)
    distilling = [stage.kind for stage in job.stages if "kd" in type(stage).model_fields]
    for name in job.control:
        if name != WHOLE_RUN and name not in distilling:
            raise InputError(
                f"--control {name}: the profile has no stage of that kind that distils{did_you_mean(name, distilling)}",
                f"--control alone for the whole run, or one of: {', '.join(distilling)}",
            )


def run_control(job: Job, arm: Arm, progress: ShowProgress, control: Arm) -> None:
    """Run what ``job.control`` asks for; ``control`` grows by what is compared, record by record.

    A whole run without teachers goes its own way from the first stage on. A single stage starts from what
    the run itself handed to it, so that the difference is that stage's alone.
    """
    if WHOLE_RUN in job.control:
        report_progress(job, progress, "the same without distillation")
        run_arm(replace(job, control=()), job.out / "control", (), progress, control)
        return
    for index, stage in enumerate(job.stages, 1):
        if stage.kind in job.control:
            report_progress(job, progress, f"{stage.kind} once more, without distillation")
            run_alone(job, index, job.out / "control", progress, arm, control)


def with_control(arm: Arm, control: Arm, ctx: RunContext) -> list[StageRecord]:
    """The arm's records, each with its score beside that of the same stage without distillation."""
    others = dict(zip((record.name for record in control.records), control.snapshots, strict=True))
    compared = []
    for record, taken in zip(arm.records, arm.snapshots, strict=True):
        other = others.get(record.name) if record.kind != "reference" else None
        kd = None if other is None else compare(taken, other, ctx)
        compared.append(record.model_copy(update={"kd": kd}))
    return compared


def compare(taken: Snapshot, without: Snapshot, ctx: RunContext) -> KdComparison:
    """Both scores and their difference, paired over the samples of the test split; above 0 distillation won."""
    scores = [score_outputs(one.outputs, ctx) for one in (taken, without)]
    difference, stderr = paired_drop(scores[0], scores[1], ctx.task.higher_is_better)
    return kd_comparison(scores[0].value, scores[1].value, 1, difference, stderr)
