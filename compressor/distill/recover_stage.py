"""The recover stage: train a network on as it is, against the run's teachers."""

from typing import ClassVar

from pydantic import Field

from compressor.context import RunContext
from compressor.distill.objective import describe
from compressor.distill.recover import recover
from compressor.distill.settings import KdSettings
from compressor.models import TorchModel
from compressor.stage import Rehearsal, Stage, StageResult
from compressor.training import TrainSettings, evaluate


class Recover(Stage):
    """More training of the network that the stages before made; nothing of its structure changes."""

    kind: ClassVar[str] = "recover"
    accepts: ClassVar[tuple[type, ...]] = (TorchModel,)
    produces: ClassVar[type] = TorchModel

    train: TrainSettings = Field(default=TrainSettings(), description="how long and how")
    kd: KdSettings = Field(default=KdSettings(), description="distillation from the run's teachers meanwhile")

    def rehearse(self, model: TorchModel, ctx: RunContext) -> Rehearsal:
        """Nothing but the training can fail."""
        scored = (self.train.epochs + 1) * len(ctx.data.validation)
        return Rehearsal(model, describe(model.module, ctx, self.kd), forwards=scored)

    def run(self, model: TorchModel, ctx: RunContext) -> StageResult:
        """Train on; where no epoch is better on validation, the weights stay as they were."""
        before = evaluate(model.module.to(ctx.device), ctx).value
        result = recover(model.module, ctx, self.train, self.kd, start_score=before)
        notes = ["no epoch was better on validation: the weights stay"] if result.best_epoch < 0 else []
        metrics = {
            "validation_before": before,
            "validation_recovered": result.score,
            "steps": result.steps,
            "history": result.history,
        }
        model.module.cpu()
        return StageResult(model, metrics, notes)
