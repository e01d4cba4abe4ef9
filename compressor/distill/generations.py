"""Born-again networks (Furlanello et al. 2018, https://arxiv.org/abs/1805.04770): students that teach successors."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from compressor.context import RunContext, Teacher
from compressor.copies import copy_of
from compressor.data import SplitName
from compressor.distill.recover import recover
from compressor.distill.settings import KdSettings
from compressor.distill.teachers import mean_of_teachers
from compressor.factories import build
from compressor.factories.answers import answering
from compressor.models import TorchModel
from compressor.stage import StageResult
from compressor.training import FitResult

if TYPE_CHECKING:
    from compressor.distill.stage import Distill

ENSEMBLE_BATCH = 500


# Labels count as much as the generation before, as in the paper: a teacher that is no better than its student
# costs it accuracy where it has most of the loss.
ALPHA = 0.5

Trained = tuple[str, TorchModel, FitResult]


def born_again(student: TorchModel, ctx: RunContext, settings: "Distill") -> StageResult:
    """Train generation after generation of one architecture and keep the best by validation.

    Args:
        student: The architecture.
        ctx: The run.
        settings: Generations, ensemble, training and distillation.

    Returns:
        The best, with every generation's score and that of the mean of their answers.
    """
    trained = train_generations(student, ctx, settings)
    everyone = tuple(Teacher(model) for _, model, _ in trained)
    metrics: dict[str, Any] = {"ensemble_validation_score": score_of_mean(replace(ctx, teachers=everyone))}
    if settings.ensemble:
        taught_by = everyone if ctx.teachers else ()
        trained.append(_train("of-ensemble", student, replace(ctx, teachers=taught_by), settings, len(trained) + 1))
    sign = 1 if ctx.task.higher_is_better else -1
    name, model, result = max(trained, key=lambda one: sign * one[2].score)
    scores = {who: fit.score for who, _, fit in trained}
    metrics |= {
        "generations": scores,
        "kept": name,
        "validation_score": result.score,
        "best_epoch": result.best_epoch + 1,
        "steps": sum(fit.steps for _, _, fit in trained),
        "history": result.history,
    }
    listed = ", ".join(f"{who} {score:.4f}" for who, score in scores.items())
    together = metrics["ensemble_validation_score"]
    notes = [f"kept {name}: on validation {listed}; the mean of all {together:.4f}"]
    if kd_between_generations(settings.kd) != settings.kd:
        notes.append(f"kd.alpha is {ALPHA:g} between generations, where none is set")
    return StageResult(model, metrics, notes)


def train_generations(student: TorchModel, ctx: RunContext, settings: "Distill") -> list[Trained]:
    """Train one architecture several times, each time from fresh weights; name, network and training of each.

    The run's teachers teach the first, the first teaches the second, and so on. Without teachers (the
    control) every generation learns from labels alone, so their best is the best of as many attempts.
    """
    trained: list[Trained] = []
    teachers = ctx.teachers
    for number in range(1, settings.generations + 1):
        trained.append(_train(f"generation-{number}", student, replace(ctx, teachers=teachers), settings, number))
        if ctx.teachers:
            teachers = (Teacher(trained[-1][1]),)
    return trained


def _train(name: str, student: TorchModel, ctx: RunContext, settings: "Distill", number: int) -> Trained:
    own = replace(student, module=_fresh(student, ctx.seed * 1000 + number))
    result = recover(own.module, ctx, settings.train, kd_between_generations(settings.kd), name=name)
    return name, own, result


def kd_between_generations(kd: KdSettings) -> KdSettings:
    """The settings with generations' own share of the teacher, where none was set."""
    return kd if "alpha" in kd.model_fields_set else kd.model_copy(update={"alpha": ALPHA})


def _fresh(student: TorchModel, seed: int) -> nn.Module:
    """The same architecture with newly drawn weights: by its factory where that still fits, else layer by layer."""
    copied = copy_of(student.module)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if student.info.factory is not None:
            built = answering(build(student.info.factory), student.info.output)
            if _shapes(built) == _shapes(copied):
                return built
        for child in copied.modules():
            reset = getattr(child, "reset_parameters", None)
            if callable(reset):
                reset()
    return copied


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def score_of_mean(ctx: RunContext, split: SplitName = "validation") -> float:
    """The score of the mean of the run's teachers' logits."""
    ask = mean_of_teachers(ctx)
    batches = ctx.data.batches(split, ENSEMBLE_BATCH)
    outputs = torch.cat([ask(batch.to(ctx.device)).logits.cpu() for batch in batches])
    return ctx.task.score(outputs.numpy(), ctx.data.split(split).labels.numpy(), ctx.data).value
