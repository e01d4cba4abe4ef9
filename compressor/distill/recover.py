"""Recovery: training after a compression, with the run's teachers, for every stage that needs it."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from compressor.context import RunContext
from compressor.data.unlabeled import only_labelled
from compressor.distill.cache import cached, worth_caching
from compressor.distill.objective import Distillation, labels_only
from compressor.distill.settings import KdSettings
from compressor.training import FitResult, TrainSettings, fit
from compressor.training.checkpoint import put_back


def recover(
    module: nn.Module,
    ctx: RunContext,
    train: TrainSettings,
    kd: KdSettings,
    *,
    name: str = "recover",
    before_epoch: Callable[[int], None] | None = None,
    start_score: float | None = None,
) -> FitResult:
    """Train a network in place against the run's teachers, or on labels alone where there are none.

    The control arm of a run is the same call with the same settings and no teachers.

    Args:
        module: Trained in place.
        ctx: The run.
        train: How long and how.
        kd: alpha and temperature.
        name: One per training within a stage.
        before_epoch: See ``training.fit``.
        start_score: What the module scores on validation as it is: where no epoch reaches that, its weights
            are put back, and the result's ``best_epoch`` is -1. A trained network can lose more to a few
            steps at a high learning rate than they win back. None keeps the best epoch whatever it scores.
    """
    if start_score is None:
        return _fit(module, ctx, train, kd, name, before_epoch)
    start = {key: value.detach().clone() for key, value in module.state_dict().items()}
    result = _fit(module, ctx, train, kd, name, before_epoch)
    improved = result.score >= start_score if ctx.task.higher_is_better else result.score <= start_score
    if improved:
        return result
    put_back(module, start)
    return replace(result, best_epoch=-1, score=start_score)


def _fit(
    module: nn.Module,
    ctx: RunContext,
    train: TrainSettings,
    kd: KdSettings,
    name: str,
    before_epoch: Callable[[int], None] | None,
) -> FitResult:
    ctx = replace(ctx, data=ctx.task.modality.pieces(ctx.data, kd.phrases, ctx.seed))
    if not ctx.teachers:
        ctx = replace(ctx, data=only_labelled(ctx.data))
        return fit(module, ctx, train, labels_only(ctx, kd), name=name, before_epoch=before_epoch)
    if not ctx.task.modality.augmented:
        # Each sample has one view.
        kd = kd.model_copy(update={"views": 1})
    objective = Distillation(ctx, kd, module, train.channels_last)
    views = None
    if kd.cache != "off" and _caches(module, objective, ctx, kd, train, name):
        views, objective.ask = kd.views, cached(objective.ask, ctx, kd, train)
    try:
        return fit(
            module,
            ctx,
            train,
            objective,
            name=name,
            before_epoch=before_epoch,
            helpers=objective.helpers,
            views=views,
        )
    finally:
        objective.close()


def _caches(
    module: nn.Module, objective: Distillation, ctx: RunContext, kd: KdSettings, train: TrainSettings, name: str
) -> bool:
    worth, _ = ctx.decisions.settle_because(
        f"{name}.kd.cache", lambda: worth_caching(module, objective.ask, ctx, kd, train), setting="kd.cache"
    )
    return worth
