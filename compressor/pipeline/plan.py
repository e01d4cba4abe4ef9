"""The pre-flight: everything that can be known to fail, before anything is trained."""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from compressor.context import RunContext
from compressor.data import Batch, fitted
from compressor.data.load import shorten
from compressor.distill import Distillation, KdSettings
from compressor.distill.stage import Distill
from compressor.errors import PlanError
from compressor.measure import score_form
from compressor.memory import peak_memory
from compressor.models import FORM_NAMES, Form, TorchModel
from compressor.pipeline.agreement import check_answers
from compressor.pipeline.job import WHOLE_RUN, Job, prepared
from compressor.profile import chain_faults
from compressor.training import TrainSettings
from compressor.training.kernels import has_bf16_kernels
from compressor.training.layout import Layout, choose_layout
from compressor.training.precision import autocast
from compressor.training.probe import MOST_SECONDS, Allowance, time_steps
from compressor.user_code import called

TEACHER_SAMPLES = 1000


@dataclass(frozen=True)
class PlanLine:
    """One stage of the plan.

    Args:
        name: ``"02-prune"``.
        kind: ``"prune"``.
        accepts: The forms it takes, in words.
        produces: The form it gives.
        notes: What the stage found out about this model.
    """

    name: str
    kind: str
    accepts: str
    produces: str
    notes: list[str]


@dataclass(frozen=True)
class Plan:
    """A run that was checked.

    Args:
        lines: One per stage.
        notes: About the data and the run.
        seconds: Training time, about: from a few steps of the student with its teachers; None without training,
            or where a few samples already take longer than an estimate may.
        memory_bytes: Peak memory of the process after such a step.
    """

    lines: list[PlanLine]
    notes: list[str]
    seconds: float | None
    memory_bytes: int | None


def plan(job: Job) -> Plan:
    """Check a run without training: forms chain, data fits, every stage can do what it is set to.

    Raises:
        PlanError: The stages don't chain, or one can't do its work on this model.
        DataError: The data doesn't fit the network.
    """
    job = prepared(job)
    lines = check(job)
    seconds, memory = _estimate(job)
    notes = [*job.data.notes, *teacher_notes(job)]
    if seconds is None and memory is not None:
        notes.append(f"the training's time isn't estimated: a few samples of a step take over {MOST_SECONDS:g} s")
    return Plan(lines, notes, seconds, memory)


def check(job: Job) -> list[PlanLine]:
    """The checks of ``plan`` on a prepared job, without the estimate."""
    faults = chain_faults(job.profile)
    if faults:
        raise PlanError("the stages don't chain:\n  " + "\n  ".join(faults), "compress stages list")
    lines = []
    hint = "a network that takes its data's samples; compress plan tries it without training"
    with called("trying the network fails", hint, PlanError, among_ours=True), tempfile.TemporaryDirectory() as folder:
        job.task.check(job.model.module, job.data)
        ctx = job.context(Path(folder), job.all_teachers)
        if job.teachers:
            check_answers(ctx)
        for index, stage in enumerate(job.stages, 1):
            probe = replace(job.model, module=copy.deepcopy(job.model.module))
            lines.append(
                PlanLine(
                    name=f"{index:02d}-{stage.kind}",
                    kind=stage.kind,
                    accepts=stage.accepted_names(),
                    produces=FORM_NAMES[stage.produces],
                    notes=stage.check(probe, ctx),
                )
            )
    return lines


def teacher_notes(job: Job) -> list[str]:
    """What would make a teacher useless, said before anything is trained.

    A teacher that is no better than chance, or worse than the network that it is to teach. Scored on at most so many
    validation samples.
    """
    data = shorten(job.data, len(job.data.train), TEACHER_SAMPLES)
    ctx = replace(job, data=data).context(job.out, job.all_teachers)
    notes = []
    scores = []
    chance = 1 / max(2, len(data.classes))
    for number, teacher in enumerate(job.all_teachers, 1):
        who = f"teacher {number}" if len(job.all_teachers) > 1 else "the teacher"
        score = score_form(teacher.model, _in_its_terms(ctx, teacher.model), "validation")
        scores.append(score.value)
        if job.task.score_name == "accuracy" and score.value <= chance + 2 * score.stderr:
            notes.append(f"{who} is no better than chance on validation ({score.value:.4f} of {chance:.4f})")
    pupil = job.student if isinstance(job.student, TorchModel) else job.model
    own = (
        score_form(pupil, _in_its_terms(ctx, pupil), "validation")
        if job.teachers or isinstance(job.student, TorchModel)
        else None
    )
    best = max(scores) if job.task.higher_is_better else min(scores)
    if own is not None and (best < own.value if job.task.higher_is_better else best > own.value):
        notes.append(
            f"every teacher is worse on validation ({best:.4f}) than the network it is to teach ({own.value:.4f})"
        )
    return notes


def _in_its_terms(ctx: RunContext, form: Form) -> RunContext:
    return replace(ctx, data=fitted(ctx.data, form.info))


def _estimate(job: Job) -> tuple[float | None, int | None]:
    """Every epoch at the cost of a step of the student with its teachers, in the faster precision.

    The student is the one that the distill stage would train; pruning makes it cheaper still. Each control
    without teachers costs at most as much again.
    """
    total = 0.0
    network = job.model
    trained = sum(hasattr(stage, "train") for stage in job.stages)
    with tempfile.TemporaryDirectory() as folder:
        ctx = job.context(Path(folder), job.all_teachers)
        for stage in job.stages:
            trainings = 1
            if isinstance(stage, Distill):
                network = stage.student_for(network, ctx).model
                trainings = stage.generations + stage.ensemble
            train = getattr(stage, "train", None)
            if train is not None:
                steps = trainings * train.epochs * job.data.steps_per_epoch(train.batch_size)
                controls = sum(name in (stage.kind, WHOLE_RUN) for name in job.control)
                one = _seconds_per_step(network, ctx, train, Allowance(steps, MOST_SECONDS / trained))
                if one is None:
                    return None, peak_memory()
                total += (1 + controls) * steps * one
    if not total:
        return None, None
    return total * job.seeds, peak_memory()


def _seconds_per_step(model: TorchModel, ctx: RunContext, train: TrainSettings, allowance: Allowance) -> float | None:
    """A step in the precision that the run would train in; None where the first samples took all that is allowed."""
    module = copy.deepcopy(model.module).train()
    batch = next(ctx.data.training_batches(train.batch_size, ctx.seed, epoch=0))
    layout = Layout(choose_layout(module, ctx, train.channels_last, batch)[0])
    layout.place(module, ctx.device)
    objective = Distillation(ctx, KdSettings(), module, train.channels_last)
    precisions = ("fp32", "bf16") if has_bf16_kernels(ctx.device) else ("fp32",)

    def step_in(precision: str) -> Callable[[Batch], None]:
        def step(part: Batch) -> None:
            with autocast(ctx.device, precision):
                loss = objective(module, part, 0.0).total
            loss.backward()

        return step

    works = {name: step_in(name) for name in (precisions if train.precision == "auto" else (train.precision,))}
    seconds = time_steps(works, batch, layout, ctx, allowance).seconds
    objective.close()
    return min(seconds.values(), default=None)
