"""What a wide search chooses among: chains of stages, written as a few numbers that a sampler can draw."""

import math
from dataclasses import dataclass
from typing import Any

from compressor.data import fitted
from compressor.distill.recover_stage import Recover
from compressor.distill.stage import Distill, StudentBudget
from compressor.errors import CompressError
from compressor.extras import require
from compressor.measure import count_params
from compressor.pipeline.job import Job
from compressor.pipeline.search.moves import SHORT, WHOLE, Moves
from compressor.pipeline.search.random_cuts import LARGEST
from compressor.pipeline.search.work import Node
from compressor.prune.budget import HIGHEST
from compressor.prune.stage import Prune
from compressor.stage import Stage

MOST_CUTS = 3
# Rankings that need nothing but the network and its data; what the profile sets is always among the choices.
IMPORTANCES, SCOPES = ("magnitude", "taylor"), ("local", "global")
ALPHAS, TEMPERATURES = (0.5, 0.9), (1.0, 4.0)
# What a chain begins with: what the profile has before its prune stage, the same without its students, or a student
# of so much of the reference's parameters.
AS_TOLD, REFERENCE = "as told", "reference"
STUDENTS = {"student 0.5": 0.5, "student 0.25": 0.25}
# All of that: a study of other choices is another study.
CHOICES = (MOST_CUTS, HIGHEST, LARGEST, IMPORTANCES, SCOPES, ALPHAS, TEMPERATURES, AS_TOLD, REFERENCE, STUDENTS)
Params = dict[str, Any]


@dataclass(frozen=True)
class Space:
    """The choices of one search.

    Args:
        starts: ``AS_TOLD``, ``REFERENCE`` and keys of ``STUDENTS``.
        importances: Of ``Prune``.
        scopes: Of ``Prune``.
        alphas: Of ``KdSettings``.
        temperatures: Of ``KdSettings``.
    """

    starts: tuple[str, ...]
    importances: tuple[str, ...]
    scopes: tuple[str, ...]
    alphas: tuple[float, ...]
    temperatures: tuple[float, ...]

    def distributions(self) -> dict[str, Any]:
        """The same for Optuna. Channels are drawn evenly in their logarithm: halving them is one step anywhere."""
        kinds = require("optuna").distributions
        choices = {
            "start": self.starts,
            "importance": self.importances,
            "scope": self.scopes,
            "alpha": self.alphas,
            "temperature": self.temperatures,
            "recovery": ("short", "long"),
        }
        return {
            "cuts": kinds.IntDistribution(1, MOST_CUTS),
            "keep": kinds.FloatDistribution(1 - HIGHEST, LARGEST, log=True),
            **{name: kinds.CategoricalDistribution(values) for name, values in choices.items()},
        }

    def near(self, moves: Moves, file: Node) -> Params:
        """The point of the space that comes nearest to what another search found."""
        ratios = [stage.ratio or 0.0 for stage in file.stages if isinstance(stage, Prune)]
        keep = math.prod(1 - ratio for ratio in ratios)
        return {
            "start": AS_TOLD,
            "cuts": min(max(1, len(ratios)), MOST_CUTS),
            "keep": min(max(keep, 1 - HIGHEST), LARGEST),
            "importance": moves.prune.importance,
            "scope": moves.prune.scope,
            "alpha": moves.prune.kd.alpha,
            "temperature": moves.prune.kd.temperature,
            "recovery": "long" if any(isinstance(stage, Recover) for stage in file.stages) else "short",
        }


def space_of(job: Job, before: tuple[Stage, ...], prune: Prune) -> Space:
    """What there is to choose for a job: students where smaller relatives exist, temperatures where there are classes.

    Args:
        job: Prepared.
        before: The profile's stages before the searched one.
        prune: The searched one.
    """
    plain = (REFERENCE,) if any(isinstance(stage, Distill) for stage in before) else ()
    softened = TEMPERATURES if job.task.answers == "classes" else ()
    return Space(
        starts=(AS_TOLD, *plain, *(name for name in STUDENTS if _has_student(job, prune, name))),
        importances=_with(prune.importance, IMPORTANCES),
        scopes=_with(prune.scope, SCOPES if job.task.modality.global_ranking else ()),
        alphas=_with(prune.kd.alpha, ALPHAS),
        temperatures=_with(prune.kd.temperature, softened),
    )


def chain(moves: Moves, params: Params) -> tuple[Prune | Recover, ...]:
    """The stages of one point, after what it starts from: cuts of equal shares, each trained for a short while.

    A long recovery is a whole training after the last of them, so that both share all that comes before it.
    """
    kd = moves.prune.kd.model_copy(update={"alpha": params["alpha"], "temperature": params["temperature"]})
    changed = {"importance": params["importance"], "scope": params["scope"], "kd": kd}
    epochs = moves.epochs(SHORT)
    one = moves.cutting(params["keep"] ** (1 / params["cuts"]), epochs).model_copy(update=changed)
    cuts: tuple[Prune | Recover, ...] = (one,) * int(params["cuts"])
    if params["recovery"] == "short":
        return cuts
    train = moves.prune.train.model_copy(update={"epochs": moves.epochs(WHOLE)})
    return (*cuts, Recover(train=train, kd=kd))


def beginning(stages: tuple[Stage, ...], prune: Prune, start: str) -> tuple[Stage, ...]:
    """The stages before the searched one, with another student in place of the profile's, or none.

    Args:
        stages: The profile's, before the searched one.
        prune: The searched one: where nothing is distilled, a student is trained as it says.
        start: One of ``Space.starts``.
    """
    if start == AS_TOLD:
        return stages
    if start == REFERENCE:
        return tuple(stage for stage in stages if not isinstance(stage, Distill))
    asked = {"student": "auto", "layers": None, "budget": StudentBudget(params=STUDENTS[start])}
    if not any(isinstance(stage, Distill) for stage in stages):
        stages = (Distill(train=prune.train, kd=prune.kd), *stages)
    return tuple(stage.model_copy(update=asked) if isinstance(stage, Distill) else stage for stage in stages)


def _with(own: Any, choices: tuple[Any, ...]) -> tuple[Any, ...]:
    return (own, *(choice for choice in choices if choice != own))


def _has_student(job: Job, prune: Prune, start: str) -> bool:
    """Whether there is a smaller relative to begin with; whoever named a student wants that one."""
    if job.student is not None:
        return False
    stage = next(stage for stage in beginning((), prune, start) if isinstance(stage, Distill))
    try:
        student = stage.student_for(job.model, job.context(job.out, job.all_teachers)).model
        job.task.check(student.module, fitted(job.data, student.info))
    except CompressError:
        return False
    return count_params(student.module) < count_params(job.model.module)
