"""What can be said of a search before it begins: what it looks for, how much work that is, what it can't reach."""

from dataclasses import replace
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from compressor.copies import copy_of
from compressor.data import fitted
from compressor.distill.stage import Distill, StudentBudget
from compressor.errors import PlanError, StageError
from compressor.measure import costs_of
from compressor.pipeline.job import Job
from compressor.pipeline.summary import budget_checks
from compressor.prune.budget import HIGHEST
from compressor.prune.stage import Prune
from compressor.report import StageRecord
from compressor.runners import available
from compressor.stage import Stage
from compressor.target import Goals

if TYPE_CHECKING:
    from compressor.models import Form

# Of a search in whole trainings of a network with half of the channels, and in files that are written and measured; the
# second pair is that of a quick run.
WHOLE, QUICK = (4.0, 14), (2.0, 4)
# Of the open distillation's training: a short one for each of two students, and a longer one for the better.
STUDENTS = 1.0
# A limit that no relative keeps: the one nearest to it is the smallest.
SMALLEST = {"params": 2.0}
# Of the samples, two networks that score alike answer so many differently, about.
DISAGREE = 0.05


def place_of_search(job: Job) -> int | None:
    """Which stage is searched: of several prune stages that are told no amount the last; None where there is none.

    A wider search looks for the amount of any prune stage.
    """
    prunes = [(place, stage) for place, stage in enumerate(job.stages) if isinstance(stage, Prune)]
    places = [place for place, stage in prunes if stage.is_open or job.trials]
    return places[-1] if places else None


def is_open(job: Job) -> bool:
    """Whether a stage is left to what the goals allow: a prune stage without an amount, in a run with goals."""
    return bool(job.profile.budget.limits()) and place_of_search(job) is not None


def repeats(job: Job, place: int) -> tuple[float, int]:
    """How often a stage of the profile trains and is done, by its place: once each where nothing is searched."""
    searched = place_of_search(job) if is_open(job) else None
    if searched is None:
        return 1.0, 1
    trainings, files = QUICK if job.quick else WHOLE
    if place == searched:
        return trainings, ceil(trainings)
    if place > searched:
        return 1.0, files
    stage = job.stages[place]
    if isinstance(stage, Distill) and stage.is_open and job.student is None:
        return (0.0, 0) if job.quick else (STUDENTS, 2)
    return 1.0, 1


def search_notes(job: Job) -> list[str]:
    """What a search is for and whether its validation split can tell what it is asked; for the plan and the report."""
    if not is_open(job):
        return []
    goals = job.profile.budget
    objective = {"size": "the smallest file", "latency": "the fastest file", "score": "the best score"}
    limits = ", ".join(f"{name} <= {limit:g}" for name, limit in goals.limits().items())
    notes = [f"how much is pruned is searched: {objective[goals.objective]} with {limits}"]
    reason = available(job.profile.target)
    if goals.objective == "latency" and reason is not None:
        notes.append(
            f"latency can't be measured here ({reason}): of two files the one with fewer MACs counts as faster"
        )
    samples = len(job.data.validation)
    if goals.score_drop:
        wanted = ceil(16 * DISAGREE / goals.score_drop**2)
        if samples < wanted:
            error = (DISAGREE / samples) ** 0.5
            notes.append(
                f"the validation split has {samples} samples, which tell a drop to about {error:.4f} (one standard "
                f"error), of {goals.score_drop:g} that may go: about {wanted:,} would tell half of it from none; "
                "--confidence 0.95 is more careful"
            )
    return notes


def check_limits(job: Job) -> None:
    """Refuse limits that the network can't keep with as much cut as can be.

    Raises:
        PlanError: Naming the limit and what is reached.
    """
    if not is_open(job) or not job.profile.budget.limits().keys() - {"score_drop"}:
        return
    place = place_of_search(job)
    assert place is not None
    searched = job.stages[place]
    assert isinstance(searched, Prune)
    prune = searched.opened().model_copy(update={"ratio": HIGHEST})
    before, after = job.stages[:place], (prune, *job.stages[place + 1 :])
    told = tuple(stage for stage in before if not (isinstance(stage, Distill) and stage.is_open))
    chains = [(*told, *after)]
    if len(told) < len(before) and job.student is None:
        # The smallest relative may be smaller than anything that is cut out of the network.
        tiny = StudentBudget(**SMALLEST, nearest=True)
        smaller = (one.model_copy(update={"budget": tiny}) if isinstance(one, Distill) else one for one in before)
        chains.append((*smaller, *after))
    reference = _costs(job, ())
    for number, stages in enumerate(chains, 1):
        try:
            check_reachable(job.profile.budget, reference, _costs(job, stages))
        except StageError:
            # Rounding leaves the network as it is: what that costs is found by the search.
            return
        except PlanError:
            if number == len(chains):
                raise
            continue
        return


def _costs(job: Job, stages: tuple[Stage, ...]) -> StageRecord:
    """Of the file that stages make of the reference, without training."""
    form: Form = replace(job.model, module=copy_of(job.model.module))
    with TemporaryDirectory() as folder:
        ctx = job.context(Path(folder), job.all_teachers)
        for stage in stages:
            form = stage.rehearse(form, replace(ctx, data=fitted(job.data, form.info))).model
        return costs_of(form, replace(ctx, data=fitted(job.data, form.info)), None)


def check_reachable(goals: Goals, reference: StageRecord, smallest: StageRecord) -> None:
    """Refuse limits that not even the smallest network keeps.

    Args:
        goals: The run's.
        reference: The untouched network's record.
        smallest: What a file costs of which as much was cut as can be.

    Raises:
        PlanError: Naming the limit and what is reached.
    """
    for check in budget_checks(goals, [reference, smallest]):
        if check.met is False and check.name != "score_drop":
            raise PlanError(
                f"no part of this network keeps {check.name} = {check.limit:g}: with as much cut as can be, "
                f"{check.value:.4g} is left",
                f"--set budget.{check.name}={(check.value or 0) * 1.1:.3g}, or a smaller network of its family",
            )
