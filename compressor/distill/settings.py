"""The settings of distillation, the same in every stage that trains."""

from typing import Literal

from pydantic import Field, model_validator

from compressor.settings import Settings

FeatureLoss = Literal[
    "hint", "attention_transfer", "rkd_distance", "rkd_angle", "similarity_preserving",
    "hidden_states", "cosine", "attention_matrices",
]  # fmt: skip


class FeatureTerm(Settings):
    """One loss on values inside the networks, on top of the mix of labels and answers."""

    loss: FeatureLoss = Field(description="one of compressor.distill.losses on features, attention or relations")
    weight: float = Field(default=1.0, gt=0, description="what it counts in the total, at its highest")
    schedule: Literal["constant", "warm-up", "decay"] = Field(
        default="constant",
        description="'warm-up' rises from 0 over the first tenth of the steps, 'decay' falls to 0 at the last",
    )
    layers: Literal["auto"] | tuple[tuple[str, str], ...] = Field(
        default="auto",
        description="pairs of module paths, [student's, teacher's]; 'auto' pairs the last layers of each resolution",
    )


class KdSettings(Settings):
    """How much of the loss is the teacher's, and of what it consists."""

    alpha: float = Field(
        default=0.9, ge=0, le=1, description="share of the distillation term; the labels' loss has the rest"
    )
    schedule: Literal["constant", "decay"] = Field(
        default="constant",
        description="of alpha: 'decay' lets it fall to 0 at the last step, for a student that comes near its teacher "
        "and would be held back by it; not with inputs without labels, which have nobody else to learn from",
    )
    temperature: float = Field(
        default=1.0, gt=0, description="softens both sides' class probabilities; a small student does best with 1"
    )
    response: Literal["kd_kl", "decoupled_kd", "logit_mse", "none"] = Field(
        default="kd_kl",
        description="the loss between the answers: Hinton's, decoupled, or squared difference, which answers that "
        "are numbers always have; of vectors 'kd_kl' means one minus the cosine, and how alike the texts of a batch "
        "are, the latter alone where widths differ; 'none' with alpha 1 leaves the terms alone, for a first phase",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="of the labels' loss, with or without a teacher; 0 leaves it to the task"
    )
    teacher_weights: Literal["fixed", "confidence"] = Field(
        default="fixed",
        description="of several teachers: 'confidence' also weighs each sample by how sure a teacher is of it",
    )
    cache: Literal["off", "auto", "on"] = Field(
        default="off",
        description="keep the teachers' answers for 'views' fixed views of each sample; 'auto' does where they "
        "cost more than the student, by a short timing",
    )
    views: int = Field(default=8, ge=1, description="augmented views of each sample that are cached")
    min_confidence: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="samples without a label count only where the teacher's top probability is at least this",
    )
    phrases: int = Field(
        default=0,
        ge=0,
        description="of texts: so many random pieces of each training text join it without labels, for the teacher's "
        "answers to them: to its own training texts they say little more than the labels",
    )
    terms: tuple[FeatureTerm, ...] = Field(default=(), description="losses on features, on top")

    @model_validator(mode="after")
    def _distinct(self) -> "KdSettings":
        names = [term.loss for term in self.terms]
        if len(set(names)) < len(names):
            raise ValueError("terms has the same loss twice: give one term several pairs of layers")
        if self.response == "none" and not self.terms:
            raise ValueError("response = 'none' needs terms: there is nothing else to learn from the teacher")
        if self.terms and self.cache == "on":
            raise ValueError("cache = 'on' keeps answers, not the features that terms need: set 'auto' or 'off'")
        return self
