"""What a training minimises: labels alone, or labels and teacher mixed."""

from torch import nn

from compressor.context import RunContext
from compressor.data import Batch
from compressor.distill.losses import kd_kl
from compressor.distill.settings import KdSettings
from compressor.distill.teachers import mean_of_teachers
from compressor.training import Loss, Objective


def labels_only(ctx: RunContext) -> Objective:
    """The task's own loss: training without a teacher, as the control arm does."""

    def objective(module: nn.Module, batch: Batch) -> Loss:
        loss = ctx.task.loss(ctx.task.forward(module, batch), batch)
        return Loss(loss, {"labels": loss})

    return objective


def distillation(ctx: RunContext, kd: KdSettings) -> Objective:
    """``(1 - alpha) * labels + alpha * kd_kl``, against the mean of the run's teachers.

    Args:
        ctx: Gives the task and the teachers, at least one.
        kd: alpha and temperature.
    """
    teacher = mean_of_teachers(ctx)

    def objective(module: nn.Module, batch: Batch) -> Loss:
        outputs = ctx.task.forward(module, batch)
        labels = ctx.task.loss(outputs, batch)
        response = kd_kl(ctx.task.logits(outputs), teacher(batch), kd.temperature)
        total = (1 - kd.alpha) * labels + kd.alpha * response
        return Loss(total, {"labels": labels, "kd": response})

    return objective
