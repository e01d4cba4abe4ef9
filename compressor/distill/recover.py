"""Recovery: training after a compression, with the run's teachers, for every stage that needs it."""

from collections.abc import Callable

from torch import nn

from compressor.context import RunContext
from compressor.distill.objective import distillation, labels_only
from compressor.distill.settings import KdSettings
from compressor.training import FitResult, TrainSettings, fit


def recover(
    module: nn.Module,
    ctx: RunContext,
    train: TrainSettings,
    kd: KdSettings,
    *,
    name: str = "recover",
    before_epoch: Callable[[int], None] | None = None,
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
    """
    objective = distillation(ctx, kd) if ctx.teachers else labels_only(ctx)
    return fit(module, ctx, train, objective, name=name, before_epoch=before_epoch)
