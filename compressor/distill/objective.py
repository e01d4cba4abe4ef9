"""What a training minimises: labels alone, or labels, the teachers' answers and features mixed."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from compressor.context import RunContext
from compressor.data import Batch, fitted
from compressor.data.labels import labelled
from compressor.distill.losses import cosine, cosine_similarities, decoupled_kd, kd_kl, label_smoothing, logit_mse
from compressor.distill.settings import KdSettings
from compressor.distill.taps import Taps
from compressor.distill.teachers import mean_of_teachers, teacher_of_features
from compressor.distill.terms import make_term
from compressor.errors import PlanError
from compressor.training import Loss, Objective
from compressor.training.layout import Choice

COMPARED = {
    "values": "their squared difference",
    "vectors": "their direction, and by how alike all texts of a batch are",
}
LabelsLoss = Callable[[Tensor, Batch], Tensor]


def labels_only(ctx: RunContext, kd: KdSettings | None = None) -> Objective:
    """Training without a teacher, as the control arm does: the task's own loss, its labels smoothed if so set."""
    of_labels = _labels_loss(ctx, kd or KdSettings())

    def objective(module: nn.Module, batch: Batch, progress: float) -> Loss:
        loss = of_labels(ctx.task.forward(module, batch), batch)
        return Loss(loss, {"labels": loss})

    return objective


class Distillation:
    """``(1 - alpha) * labels + alpha * response + sum of weighted feature terms``, as an objective.

    With ``schedule = "decay"`` alpha falls linearly to 0: a student learns faster from a teacher at first, and is
    kept from passing it at the end (Cho and Hariharan 2019, https://arxiv.org/abs/1910.01348, section 5).

    Args:
        ctx: Gives the task and the teachers, at least one.
        kd: What is mixed.
        student: The network that will be trained, or a graph of it: where feature terms attach. It is
            listened to until ``close``.
        channels_last: The training's setting, which holds for the teachers too.

    Attributes:
        ask: The teachers; may be put behind a cache.
        helpers: Regressors, to be trained along.

    Raises:
        PlanError: A teacher can't be asked, or a layer isn't there.
    """

    def __init__(self, ctx: RunContext, kd: KdSettings, student: nn.Module, channels_last: Choice = "auto") -> None:
        self._ctx, self._kd = ctx, kd
        self._labels = _labels_loss(ctx, kd)
        self._some_unlabeled = ctx.data.unlabeled > 0
        self.terms = [make_term(term, student, ctx) for term in kd.terms]
        pairs = [pair for term in self.terms for pair in term.pairs]
        if pairs:
            ctx.task.modality.check_same(ctx.data, fitted(ctx.data, teacher_of_features(ctx).model.info))
        self.ask = mean_of_teachers(ctx, [pair.teacher for pair in pairs], kd.teacher_weights, channels_last)
        self._taps = Taps(student, [pair.student for pair in pairs])
        self.helpers = nn.ModuleList(term.regressors for term in self.terms)

    def __call__(self, module: nn.Module, batch: Batch, progress: float) -> Loss:
        """The loss of one batch when this share of the training is done."""
        kd = self._kd
        outputs = self._ctx.task.forward(module, batch)
        features = self._taps.take()
        answers = self.ask(batch)
        mask = self._ctx.task.mask(batch)
        terms = self._on_labels(outputs, batch)
        logits, wanted, labels = self._rows(self._ctx.task.logits(outputs, batch), answers.logits, batch)
        counted = self._counted(wanted, labels)
        if kd.response == "none":
            pass
        elif counted is None:
            terms["kd"] = self._response(logits, wanted, labels)
        elif bool(counted.any()):
            share = float(counted.float().mean())
            terms["kd"] = share * self._response(logits[counted], wanted[counted], labels[counted])
        # Inputs without labels have nobody but the teacher to learn from, to the end.
        decays = kd.schedule == "decay" and not self._some_unlabeled
        alpha = kd.alpha * (1 - progress) if decays else kd.alpha
        weights = {"labels": 1 - alpha, "kd": alpha}
        for term in self.terms:
            terms[term.settings.loss] = term.value(features, answers.features, mask)
            weights[term.settings.loss] = term.weight(progress)
        parts = [weights[name] * value for name, value in terms.items()]
        # Where no sample of the batch counts the step changes nothing.
        total = torch.stack(parts).sum() if parts else 0.0 * outputs.sum()
        return Loss(total, terms, weights)

    def _on_labels(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The labels' loss on the samples that have one; no term where none has."""
        known = labelled(batch.labels)
        if not self._some_unlabeled or bool(known.all()):
            return {"labels": self._labels(outputs, batch)}
        if not bool(known.any()):
            return {}
        return {"labels": self._labels(outputs[known], replace(batch, inputs=()).of(known))}

    def _rows(self, logits: Tensor, wanted: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Both sides' answers and the labels, a row for each that can be compared: of words those that both have."""
        counted = self._ctx.task.counted(batch)
        if counted is None:
            return logits, wanted, batch.labels
        # A teacher that cuts texts earlier gives zeros for the words that it doesn't see.
        both = counted & (wanted != 0).any(dim=-1)
        labels = batch.labels if batch.labels.dim() == both.dim() else batch.labels[:, None].expand_as(both)
        return logits[both], wanted[both], labels[both]

    def _counted(self, wanted: Tensor, labels: Tensor) -> Tensor | None:
        """Which rows the teachers teach, bool; None for all: those with a label, or a sure answer."""
        if not self._kd.min_confidence:
            return None if len(wanted) else torch.zeros(0, dtype=torch.bool)
        sure = wanted.softmax(dim=-1).amax(dim=-1) >= self._kd.min_confidence
        return sure | labelled(labels)

    def _response(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        if self._ctx.task.answers == "vectors" and self._kd.response != "logit_mse":
            alike = cosine_similarities(student, teacher)
            # Vectors of several teachers, and of another width, lie in no space that the student's could lie in.
            return alike + cosine(student, teacher) if _one_space(student, teacher, self._ctx) else alike
        if self._ctx.task.answers == "values" or self._kd.response == "logit_mse":
            return logit_mse(student, teacher)
        if self._kd.response == "decoupled_kd":
            of_labels = torch.where(labelled(labels), labels, teacher.argmax(-1))
            return decoupled_kd(student, teacher, of_labels, self._kd.temperature)
        return kd_kl(student, teacher, self._kd.temperature)

    def close(self) -> None:
        """Leave the student as it was found."""
        self._taps.close()


def _one_space(student: Tensor, teacher: Tensor, ctx: RunContext) -> bool:
    return len(ctx.teachers) == 1 and student.shape[-1] == teacher.shape[-1]


def _labels_loss(ctx: RunContext, kd: KdSettings) -> LabelsLoss:
    _check_settings(ctx, kd)
    if not kd.label_smoothing:
        return ctx.task.loss

    def smoothed(outputs: Tensor, batch: Batch) -> Tensor:
        logits, counted = ctx.task.logits(outputs, batch), ctx.task.counted(batch)
        if counted is None:
            return label_smoothing(logits, batch.labels, kd.label_smoothing)
        return label_smoothing(logits[counted], batch.labels[counted], kd.label_smoothing)

    return smoothed


def _check_settings(ctx: RunContext, kd: KdSettings) -> None:
    """Refuse what has a meaning for texts, or for class probabilities, alone.

    Raises:
        PlanError: Naming the setting.
    """
    if kd.phrases and not ctx.task.modality.has_pieces:
        raise PlanError(f"kd.phrases={kd.phrases} cuts texts, and '{ctx.data.source}' has none", "leave kd.phrases out")
    if ctx.task.answers == "classes":
        return
    asked = {
        "response='decoupled_kd'": kd.response == "decoupled_kd",
        "teacher_weights='confidence'": kd.teacher_weights == "confidence",
        f"label_smoothing={kd.label_smoothing:g}": kd.label_smoothing > 0,
        f"min_confidence={kd.min_confidence:g}": kd.min_confidence > 0,
    }
    for setting, is_set in asked.items():
        if is_set:
            raise PlanError(
                f"kd.{setting} is about class probabilities, and answers of {ctx.task.name} are {ctx.task.answers}",
                f"leave kd.{setting.partition('=')[0]} out: such answers are compared by {COMPARED[ctx.task.answers]}",
            )


def describe(student: nn.Module, ctx: RunContext, kd: KdSettings) -> list[str]:
    """One line a feature term for the plan, with the layers that it pairs, and what vectors are compared by.

    Raises:
        PlanError: A setting doesn't fit the task's answers or the teachers', or layers aren't there.
    """
    _check_settings(ctx, kd)
    if not ctx.teachers:
        return []
    lines = [str(make_term(term, student, ctx)) for term in kd.terms]
    if kd.phrases:
        lines.append(f"kd.phrases: {kd.phrases * len(ctx.data.train)} pieces join {len(ctx.data.train)} training texts")
    if ctx.task.answers != "vectors" or kd.response == "none":
        return lines
    batch = ctx.data.batch("train", torch.arange(1)).to(ctx.device)
    ours, theirs = ctx.task.trial(student, ctx.data), mean_of_teachers(ctx)(batch).logits
    if _one_space(ours, theirs, ctx):
        return lines
    who = "the teacher's" if len(ctx.teachers) == 1 else f"those of {len(ctx.teachers)} teachers end to end"
    widths = f"the student's vectors have {ours.shape[-1]} numbers, {who} {theirs.shape[-1]}"
    if kd.response == "logit_mse":
        raise PlanError(
            f"kd.response='logit_mse' compares vectors number by number: {widths}",
            "leave kd.response out, which then compares how alike texts are, or one teacher of the student's width",
        )
    return [*lines, f"kd: {widths}: how alike texts are is compared, not the vectors themselves"]
