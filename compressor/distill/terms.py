"""Losses on features as terms of an objective: which layers, through which regressors, with what weight when."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compressor.context import RunContext
from compressor.data import fitted
from compressor.distill import losses
from compressor.distill.pairing import Pair, auto_pairs, encoder_pairs, named_pairs
from compressor.distill.settings import FeatureTerm
from compressor.distill.teachers import teacher_of_features
from compressor.models import TorchModel

WARM_UP = 0.1
# These compare vectors elementwise, so both sides need one width; the others don't.
ELEMENTWISE = ("hint", "hidden_states", "cosine")
# These know padding from tokens.
MASKED = ("hidden_states", "attention_matrices")
RELATIONS = ("rkd_distance", "rkd_angle", "similarity_preserving")


@dataclass(frozen=True)
class Term:
    """A feature loss made ready for one student.

    Args:
        settings: As in the profile.
        pairs: Where it attaches.
        regressors: One per pair: from the student's width to the teacher's.
    """

    settings: FeatureTerm
    pairs: list[Pair]
    regressors: nn.ModuleList

    def value(self, student: dict[str, Tensor], teacher: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """The mean over pairs, unweighted; ``mask`` (N, tokens) says which tokens are no padding."""
        loss = getattr(losses, self.settings.loss)
        masked = (mask,) if self.settings.loss in MASKED else ()
        values: list[Tensor] = [
            loss(regressor(student[pair.student]), teacher[pair.teacher], *masked)
            for pair, regressor in zip(self.pairs, self.regressors, strict=True)
        ]
        return torch.stack(values).mean()

    def weight(self, progress: float) -> float:
        """What it counts when this share of the training is done."""
        share = {
            "constant": 1.0,
            "warm-up": min(1.0, progress / WARM_UP),
            "decay": 1.0 - progress,
        }[self.settings.schedule]
        return self.settings.weight * share

    def __str__(self) -> str:
        """For the plan: the loss, its weight and the pairs."""
        return f"kd: {self.settings.weight:g} x {self.settings.loss}: {'; '.join(map(str, self.pairs))}"


def make_term(settings: FeatureTerm, student: nn.Module, ctx: RunContext) -> Term:
    """Find the layers in both networks and make the regressors, seeded by the run.

    Of the pairs found automatically a hint takes the middle one (FitNets), losses on relations the last,
    attention all of them.

    Args:
        settings: The term.
        student: On any device; what it gives may have been narrowed by pruning.
        ctx: Gives the teachers and example inputs.

    Raises:
        PlanError: Layers aren't there, or there is nothing to pair.
    """
    teacher = teacher_of_features(ctx).model
    assert isinstance(teacher, TorchModel)
    pairs = _pairs(settings, student, teacher.module, ctx)
    with torch.random.fork_rng():
        torch.manual_seed(ctx.seed)
        regressors = [_regressor(pair) if settings.loss in ELEMENTWISE else nn.Identity() for pair in pairs]
    return Term(settings, pairs, nn.ModuleList(regressors))


def _pairs(settings: FeatureTerm, student: nn.Module, teacher: nn.Module, ctx: RunContext) -> list[Pair]:
    theirs = fitted(ctx.data, teacher_of_features(ctx).model.info)
    here = [_on(module, ctx.task.example_inputs(data, 2)) for module, data in ((student, ctx.data), (teacher, theirs))]
    if settings.layers != "auto":
        return named_pairs(student, teacher, settings.layers, here[0], here[1])
    if ctx.task.modality.pairing == "blocks":
        pairs = encoder_pairs(student, teacher, here[0], here[1], attention=settings.loss == "attention_matrices")
    else:
        pairs = auto_pairs(student, teacher, here[0], here[1])
    if settings.loss in RELATIONS:
        return pairs[-1:]
    return [pairs[len(pairs) // 2]] if settings.loss == "hint" else pairs


def _on(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The inputs on the module's device."""
    first = next(module.parameters(), None)
    return inputs if first is None else tuple(tensor.to(first.device) for tensor in inputs)


def _regressor(pair: Pair) -> nn.Module:
    """From the student's width to the teacher's: a 1x1 convolution for maps, else linear; nothing where equal."""
    maps = len(pair.student_shape) == 3
    ours, theirs = (shape[0] if maps else shape[-1] for shape in (pair.student_shape, pair.teacher_shape))
    if ours == theirs:
        return nn.Identity()
    return nn.Conv2d(ours, theirs, 1) if maps else nn.Linear(ours, theirs)
