"""The settings of distillation, the same in every stage that trains."""

from pydantic import BaseModel, ConfigDict, Field


class KdSettings(BaseModel):
    """How much of the loss is the teacher's, and how soft its outputs are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(
        default=0.9, ge=0, le=1, description="share of the distillation term; the labels' loss has the rest"
    )
    temperature: float = Field(default=4.0, gt=0, description="softens both sides' class probabilities")
