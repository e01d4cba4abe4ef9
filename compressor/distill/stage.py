"""The distill stage: train a student against the run's teachers."""

from dataclasses import replace
from typing import ClassVar

from pydantic import Field, model_validator

from compressor.context import RunContext
from compressor.data import fitted
from compressor.distill.generations import born_again
from compressor.distill.layers import Choice
from compressor.distill.objective import describe
from compressor.distill.recover import recover
from compressor.distill.settings import KdSettings
from compressor.distill.students import (
    Chosen,
    auto_student,
    fewer_layers,
    inherit,
    named_student,
    same_architecture,
    some_layers,
)
from compressor.factories.text_network import is_text_network
from compressor.models import TorchModel
from compressor.stage import Rehearsal, Stage, StageResult
from compressor.target import Budget
from compressor.tasks.outputs import described
from compressor.tasks.probe import settled
from compressor.training import TrainSettings, evaluate


class StudentBudget(Budget):
    """What the student may have: ``macs`` and ``params``, which are known before it is trained."""

    nearest: bool = Field(
        default=False, description="where no relative is so small, the smallest there is, and say so; else refuse"
    )

    def limits(self) -> dict[str, float]:
        """The limits that are set."""
        return {key: value for key in ("macs", "params") if (value := getattr(self, key)) is not None}


class Distill(Stage):
    """Response-based distillation into a student (Hinton et al. 2015)."""

    kind: ClassVar[str] = "distill"
    accepts: ClassVar[tuple[type, ...]] = (TorchModel,)
    produces: ClassVar[type] = TorchModel
    one_of: ClassVar[tuple[str, ...]] = ("student", "layers")

    student: str = Field(
        default="same",
        description="'same' (self-distillation), 'auto' (the largest smaller relative within the budget; of a text "
        "network the most of its layers), or a network of a known library: 'torchvision:NAME', 'timm:NAME'",
    )
    layers: int | tuple[int, ...] | None = Field(
        default=None,
        description="of a text network, in place of 'student': how many of the reference's layers it has, or which, "
        "from 0",
    )
    choice: Choice = Field(
        default="spread",
        description="of a number of layers: 'spread' takes the first, the last and evenly between; 'measured' leaves "
        "out one after another, each time the one that the training batches miss least",
    )
    budget: StudentBudget = Field(
        default=StudentBudget(), description="what an 'auto' student may have at most: macs, params"
    )
    inherit: bool = Field(
        default=True, description="start from the reference's tensors where name and shape are the same"
    )
    generations: int = Field(
        default=1,
        ge=1,
        description="born-again networks: each generation is taught by the one before, from fresh weights; the best "
        "on validation is the result. Every one of them trains for train.epochs, with kd.alpha 0.5 if none is set",
    )
    ensemble: bool = Field(
        default=False, description="one more student, taught by the mean of all generations' answers"
    )
    train: TrainSettings = Field(default=TrainSettings(), description="how long and how")
    kd: KdSettings = Field(default=KdSettings(), description="alpha and temperature")

    @model_validator(mode="after")
    def _several(self) -> "Distill":
        if self.ensemble and self.generations < 2:
            raise ValueError("ensemble = true needs generations of at least 2")
        if self.layers is not None and self.student != "same":
            raise ValueError(f"layers are taken out of the reference: student = 'same', not '{self.student}'")
        return self

    @property
    def is_open(self) -> bool:
        """Whether which student it is, and whether one at all, is left to the run's goals."""
        return self.student == "auto" and not self.budget.limits()

    def rehearse(self, model: TorchModel, ctx: RunContext) -> Rehearsal:
        """Choose and build the student, and show it the data."""
        chosen = self.student_for(model, ctx)
        ctx = replace(ctx, data=fitted(ctx.data, chosen.model.info))
        ctx.task.check(chosen.model.module, ctx.data)
        trainings = self.generations + self.ensemble
        return Rehearsal(
            chosen.model,
            [f"student: {chosen.reason}", *describe(chosen.model.module, ctx, self.kd)],
            trainings=trainings,
            # And once before the first epoch, or of each generation for the mean of their answers.
            forwards=(trainings * self.train.epochs + self.generations) * len(ctx.data.validation),
        )

    def run(self, model: TorchModel, ctx: RunContext) -> StageResult:
        """Train the student; its best epoch by validation is the result, of several generations the best of them."""
        chosen = self.student_for(model, ctx)
        student = chosen.model
        ctx = replace(ctx, data=fitted(ctx.data, student.info))
        if self.generations > 1:
            return born_again(student, ctx, self)
        notes = [f"student: {chosen.reason}"]
        if self.inherit and not chosen.weighted:
            shared = inherit(student.module, model.module)
            notes.append(f"{shared} weight tensors of the student start from the reference's")
        before = evaluate(student.module.to(ctx.device), ctx).value
        result = recover(student.module, ctx, self.train, self.kd, name="distill", start_score=before)
        if result.best_epoch < 0:
            notes.append("no epoch beat the weights that the student started from on validation: they were kept")
        metrics = {
            "validation_before": before,
            "validation_score": result.score,
            "best_epoch": result.best_epoch + 1,
            "steps": result.steps,
            "history": result.history,
        }
        return StageResult(student, metrics, notes)

    def student_for(self, model: TorchModel, ctx: RunContext) -> Chosen:
        """The network to train: as the settings choose it, or the one that the run was given."""
        if ctx.student is not None:
            # A text network's layers of the same name needn't stand in the same place.
            return Chosen(
                ctx.student, "the network given with --student", weighted=is_text_network(ctx.student.info.factory)
            )
        if self.layers is not None:
            return some_layers(model, self.layers, self.choice, ctx)
        if self.student == "same":
            return same_architecture(model)
        if self.student == "auto" and ctx.task.modality.relatives(model.info) == "shallower":
            return fewer_layers(model, self.budget.limits(), self.choice, ctx, nearest=self.budget.nearest)
        if self.student == "auto":
            chosen = auto_student(model, self.budget.limits(), ctx, nearest=self.budget.nearest)
        else:
            chosen = named_student(self.student, model, ctx.seed)
        student = settled(chosen.model, ctx.task, ctx.data, who="the student")
        said = described(student.info.output) if student.info.output != model.info.output else []
        return replace(chosen, model=student, reason="; ".join([chosen.reason, *said]))
