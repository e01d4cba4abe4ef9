"""The pre-flight: everything that can be known to fail, before anything is trained."""

import time
from dataclasses import dataclass, replace

from compressor.context import Progress, RunContext, ShowProgress, silent
from compressor.data import fitted
from compressor.data.load import shorten
from compressor.measure import score_form
from compressor.models import FORM_NAMES, Form, TorchModel
from compressor.pipeline.estimate import estimate
from compressor.pipeline.foresight import check_limits, search_notes
from compressor.pipeline.job import Job, prepared
from compressor.pipeline.rehearsal import rehearse
from compressor.tasks.outputs import described

# Of the validation split, for what is said of teachers; fewer where they are slow.
TEACHER_SAMPLES, LEAST_SAMPLES, FEW = 1000, 50, 2
TEACHER_SECONDS = 2.0


@dataclass(frozen=True)
class PlanLine:
    """One stage of the plan.

    Args:
        name: ``"02-prune"``.
        kind: ``"prune"``.
        accepts: The forms it takes, in words.
        produces: The form it gives.
        notes: What the stage found out about this model.
        layers: What becomes of each layer: pruned or kept, int8 or float, and why.
    """

    name: str
    kind: str
    accepts: str
    produces: str
    notes: list[str]
    layers: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """A run that was checked.

    Args:
        lines: One per stage.
        notes: About the data and the run.
        seconds: Of the whole run, about; see ``estimate``.
        memory_bytes: The run's memory at its highest, about.
    """

    lines: list[PlanLine]
    notes: list[str]
    seconds: float
    memory_bytes: int


def plan(job: Job, progress: ShowProgress = silent) -> Plan:
    """Rehearse a run: every stage's work but for the training, on what the stage before it made.

    Raises:
        PlanError: The stages don't chain, or one can't do its work on this model.
        DataError: The data doesn't fit the network.
    """
    job = prepared(job)
    rehearsed = rehearse(job, progress)
    check_limits(job)
    progress(Progress("timing steps"))
    seconds, memory = estimate(job, rehearsed)
    progress(Progress("asking the teachers"))
    lines = [
        PlanLine(
            name=one.name,
            kind=one.stage.kind,
            accepts=one.stage.accepted_names(),
            produces=FORM_NAMES[one.stage.produces],
            notes=one.rehearsal.notes,
            layers=one.rehearsal.layers,
        )
        for one in rehearsed
    ]
    notes = [*job.file_notes, *job.data.notes, *output_notes(job), *teacher_notes(job), *search_notes(job)]
    return Plan(lines, notes, seconds, memory)


def output_notes(job: Job) -> list[str]:
    """How the answers of networks are had whose forward doesn't give one tensor of logits."""
    notes = described(job.model.info.output)
    for number, teacher in enumerate(job.teachers, 1):
        who = f"teacher {number}" if len(job.teachers) > 1 else "the teacher"
        notes += [f"{who}: {line}" for line in described(teacher.model.info.output)]
    if isinstance(job.student, TorchModel):
        notes += [f"the student: {line}" for line in described(job.student.info.output)]
    return notes


def teacher_notes(job: Job) -> list[str]:
    """What would make a teacher useless, said before anything is trained.

    A teacher that is no better than chance, or worse than the network that it is to teach. Scored on at most so many
    validation samples.
    """
    data = shorten(job.data, len(job.data.train), _affordable(job))
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


def _affordable(job: Job) -> int:
    """How many validation samples every network can be asked in a few seconds, and no more than tell enough."""
    start = time.perf_counter()
    for form in (job.model, *(teacher.model for teacher in job.teachers)):
        few = replace(job, data=shorten(job.data, len(job.data.train), FEW)).context(job.out, job.all_teachers)
        score_form(form, _in_its_terms(few, form), "validation")
    each = (time.perf_counter() - start) / FEW
    return max(LEAST_SAMPLES, min(TEACHER_SAMPLES, int(TEACHER_SECONDS / each)))
