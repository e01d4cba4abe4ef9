"""Which distillation objective suits this student and this data, tried at a small budget before it is believed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from compressor.context import Progress, RunContext, ShowProgress, silent
from compressor.data import fitted
from compressor.data.load import shorten
from compressor.distill import Distillation, KdSettings, recover
from compressor.distill.stage import Distill
from compressor.errors import PlanError
from compressor.extras import require
from compressor.models import TorchModel
from compressor.pipeline.job import Job, prepared

CONTROL = "labels alone"
AfterEpoch = Callable[[int, float], None]
Candidates = dict[str, dict[str, Any]]
# What is tried: what users reach for first. Weights bring a term to about the size of the others.
ON_CLASSES: Candidates = {
    "kd_kl, alpha 0.9, T 1": {},
    "kd_kl, alpha 0.9, T 2": {"temperature": 2.0},
    "kd_kl, alpha 0.9, T 4": {"temperature": 4.0},
    "kd_kl, alpha 0.5, T 2": {"alpha": 0.5, "temperature": 2.0},
    "logit_mse, alpha 0.5": {"alpha": 0.5, "response": "logit_mse"},
    "decoupled_kd, alpha 0.5": {"alpha": 0.5, "response": "decoupled_kd", "temperature": 4.0},
}
ON_NUMBERS: Candidates = {"answers, alpha 0.9": {}, "answers, alpha 0.5": {"alpha": 0.5}}
BETWEEN_MAPS: Candidates = {
    "kd_kl, hint": {"terms": [{"loss": "hint", "weight": 1.0}]},
    "kd_kl, attention": {"terms": [{"loss": "attention_transfer", "weight": 50.0}]},
    "kd_kl, similarities": {"terms": [{"loss": "similarity_preserving", "weight": 500.0}]},
}
BETWEEN_BLOCKS: Candidates = {
    "pieces of texts": {"phrases": 2},
    "hidden states": {"terms": [{"loss": "hidden_states", "weight": 1.0}]},
    "cosine": {"terms": [{"loss": "cosine", "weight": 1.0}]},
    "attention matrices": {"terms": [{"loss": "attention_matrices", "weight": 1.0}]},
}


@dataclass(frozen=True)
class Tried:
    """One objective.

    Args:
        name: In words.
        settings: What to set under ``kd``; None for labels alone.
        epochs: How many it was given before others left it behind; all of them if it was not.
        score: On validation: of its first training, or the mean over seeds of those that were repeated.
        difference: Against labels alone, the mean of paired differences; None where it wasn't repeated.
        stderr: Of that difference.
    """

    name: str
    settings: dict[str, Any] | None
    epochs: int
    score: float
    difference: float | None = None
    stderr: float | None = None


@dataclass(frozen=True)
class Tuned:
    """What was tried, the best first, and what follows from it."""

    tried: list[Tried]
    advice: str
    overrides: list[str]


class _LeftBehindError(Exception):
    """Ends a training that halving gave up."""


def tune(
    job: Job, *, samples: int = 20_000, epochs: int = 8, finalists: int = 2, progress: ShowProgress = silent
) -> Tuned:
    """Try objectives on the student of the profile's distill stage.

    Every candidate trains under successive halving (Jamieson and Talwalkar 2015,
    https://arxiv.org/abs/1502.07943; Optuna's asynchronous form): at each rung all but the better third are
    given up. The finalists and labels alone are then trained to the end under every seed, and compared in
    pairs: one training says little about differences of tenths of a point.

    Args:
        job: The run that it is for; ``seeds`` of at least 2, ``out`` holds the trainings' states.
        samples: Of the training split.
        epochs: Of a whole training.
        finalists: How many are repeated.
        progress: Where reports go.

    Raises:
        MissingError: Optuna isn't installed.
        PlanError: The profile has no distill stage, or there is one seed.
    """
    optuna = require("optuna")
    job = prepared(job)
    stage = next((stage for stage in job.stages if isinstance(stage, Distill)), None)
    if stage is None:
        raise PlanError("tune-kd: the profile has no distill stage to tune", "a profile with one: mobile-cpu")
    if job.seeds < 2:
        raise PlanError("tune-kd: one seed can't tell a difference from luck", "--seeds 3")
    job = replace(job, data=shorten(job.data, samples, len(job.data.validation)))
    candidates = candidates_for(job, stage)
    trainings = _Trainings(job, stage, candidates, epochs, progress)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sign = 1 if job.task.higher_is_better else -1
    study = optuna.create_study(
        direction="maximize" if sign > 0 else "minimize",
        sampler=optuna.samplers.GridSampler({"objective": list(candidates)}, seed=job.seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=max(1, epochs // 4), reduction_factor=3),
    )
    reached: dict[str, tuple[int, float]] = {}

    def objective(trial: Any) -> float:
        name = trial.suggest_categorical("objective", list(candidates))

        def after_epoch(epoch: int, score: float) -> None:
            reached[name] = epoch, score
            trial.report(score, epoch)
            if epoch < epochs and trial.should_prune():
                raise _LeftBehindError

        try:
            return trainings.score(name, job.seed, after_epoch)
        except _LeftBehindError:
            raise optuna.TrialPruned from None

    study.optimize(objective, n_trials=len(candidates))
    finished = [name for name, (epoch, _) in reached.items() if epoch == epochs]
    best = sorted(finished, key=lambda name: -sign * reached[name][1])[:finalists]
    seeds = range(job.seed, job.seed + job.seeds)
    control = [trainings.score(CONTROL, seed) for seed in seeds]
    tried = [Tried(CONTROL, None, epochs, fmean(control))]
    for name, (epoch, score) in reached.items():
        if name not in best:
            tried.append(Tried(name, candidates[name], epoch, score))
            continue
        scores = [trainings.score(name, seed) for seed in seeds]
        differences = [sign * (one - other) for one, other in zip(scores, control, strict=True)]
        error = stdev(differences) / len(differences) ** 0.5
        tried.append(Tried(name, candidates[name], epoch, fmean(scores), fmean(differences), error))
    tried.sort(key=lambda one: (-one.epochs, one.difference is None and one.settings is not None, -sign * one.score))
    return Tuned(tried, *_advice(tried, job))


def candidates_for(job: Job, stage: Distill) -> Candidates:
    """What can be tried: of the objectives for such answers and samples those that fit this student and teacher.

    Features need a teacher with layers, and of texts one that cuts them into the same tokens.
    """
    ctx = job.context(job.out / "tune", job.all_teachers, silent)
    student = stage.student_for(job.model, ctx).model
    ctx = replace(ctx, data=fitted(ctx.data, student.info))
    found = dict(ON_CLASSES if job.task.answers == "classes" else ON_NUMBERS)
    found |= BETWEEN_BLOCKS if job.task.modality.pairing == "blocks" else BETWEEN_MAPS
    return {name: settings for name, settings in found.items() if _fits(settings, student, ctx)}


def _fits(settings: dict[str, Any], student: TorchModel, ctx: RunContext) -> bool:
    try:
        Distillation(ctx, KdSettings.model_validate(settings), student.module).close()
    except PlanError:
        return False
    return True


def _advice(tried: list[Tried], job: Job) -> tuple[str, list[str]]:
    repeated = [one for one in tried if one.difference is not None and one.stderr is not None]
    winner = max(repeated, key=lambda one: one.difference or 0.0)
    assert winner.difference is not None and winner.stderr is not None
    figures = f"{winner.difference:+.4f} ± {winner.stderr:.4f} over {job.seeds} seeds"
    if winner.difference > 2 * winner.stderr:
        kinds = [stage.kind for stage in job.stages if "kd" in type(stage).model_fields]
        settings = winner.settings or {}
        overrides = [f"{kind}.kd.{key}={_toml(value)}" for kind in kinds for key, value in settings.items()]
        return f"{winner.name} beats labels alone by {figures}", overrides
    return (
        f"no objective beat labels alone by more than two standard errors; the best, {winner.name}, by {figures}. "
        "Keep the default, with --control, or try a stronger teacher, more epochs or a smaller student",
        [],
    )


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f"'{value}'" if isinstance(value, str) else str(value)


class _Trainings:
    """Trains the student under an objective and a seed, each pair once."""

    def __init__(self, job: Job, stage: Distill, candidates: Candidates, epochs: int, progress: ShowProgress) -> None:
        self._job, self._stage, self._candidates, self._progress = job, stage, candidates, progress
        self._train = stage.train.model_copy(update={"epochs": epochs})
        self._known: dict[tuple[str, int], float] = {}

    def score(self, name: str, seed: int, after_epoch: AfterEpoch | None = None) -> float:
        """The best validation score of one training; ``after_epoch(epoch, score)`` may end it by raising."""
        if (name, seed) not in self._known:
            self._known[name, seed] = self._train_one(name, seed, after_epoch)
        return self._known[name, seed]

    def _train_one(self, name: str, seed: int, after_epoch: AfterEpoch | None) -> float:
        job = replace(self._job, seed=seed)
        workdir = self._job.out / "tune" / f"{name.replace(', ', '-').replace(' ', '')}-seed-{seed}"
        teachers = () if name == CONTROL else job.all_teachers
        ctx = job.context(workdir, teachers, _heard(self._progress, name, after_epoch))
        student = self._stage.student_for(job.model, ctx).model
        ctx = replace(ctx, data=fitted(ctx.data, student.info))
        kd = KdSettings.model_validate(self._candidates.get(name, {}))
        return recover(student.module, ctx, self._train, kd, name="tune").score


def _heard(show: ShowProgress, name: str, after_epoch: AfterEpoch | None) -> ShowProgress:
    """Progress reports under the objective's name; the end of an epoch is passed on, once."""
    ended = 0

    def progress(event: Progress) -> None:
        nonlocal ended
        show(replace(event, what=name))
        if event.step == event.steps and event.score is not None and event.epoch > ended:
            ended = event.epoch
            if after_epoch is not None:
                after_epoch(event.epoch, event.score)

    return progress
