"""Teachers ready to be asked: frozen, in eval mode, on the training device, whatever form they came in."""

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from compressor.context import RunContext, Teacher
from compressor.copies import copy_of, frozen_copy
from compressor.data import Batch, Data, fitted
from compressor.data.fitting import outputs_by_class
from compressor.distill.taps import Taps
from compressor.errors import PlanError
from compressor.factories.answers import logits_of
from compressor.models import Form, OnnxModel, OutputRule, TorchModel
from compressor.runners import OnnxRunner, as_network
from compressor.tasks import Task
from compressor.tasks.outputs import end_of
from compressor.tasks.probe import SAMPLES, settled
from compressor.training.layout import Choice, Layout, choose_layout


def settled_teacher(model: Form, task: Task, data: Data, who: str) -> Form:
    """A teacher whose answers are logits: a network by ``settled``, a file of probabilities by their logarithms.

    Raises:
        PlanError: It can't teach.
    """
    if isinstance(model, TorchModel):
        return settled(model, task, data, who=who, learns=False)
    if not isinstance(model, OnnxModel) or task.answers != "classes":
        return model
    batch = data.batch("train", torch.arange(min(SAMPLES, len(data.train))))
    with OnnxRunner(model.path, threads=1) as runner:
        answers = task.attempt(lambda: task.forward(as_network(runner), batch), batch, data, who)
    output = OutputRule(ends=end) if (end := end_of(answers)) else None
    return replace(model, info=model.info.model_copy(update={"output": output}))


@dataclass(frozen=True, slots=True)
class Answers:
    """What teachers give for a batch: the task's answers (N, ..., classes) in float32, and features by module path."""

    logits: Tensor
    features: dict[str, Tensor] = field(default_factory=dict)


AskTeacher = Callable[[Batch], Answers]


def mean_of_teachers(
    ctx: RunContext,
    paths: Sequence[str] = (),
    weighing: Literal["fixed", "confidence"] = "fixed",
    channels_last: Choice = "auto",
) -> AskTeacher:
    """A function from a batch to the teachers' answers: the mean of their logits by weight.

    Vectors of several teachers, which mean nothing to one another, are put end to end, so that two texts are as
    alike as the teachers say on average: the cosine of such vectors is the mean by weight of the teachers' cosines.

    Called under autocast it follows the student's precision.

    Args:
        ctx: Gives the teachers, at least one.
        paths: Layers whose outputs are wanted too; they are those of ``teacher_of_features``.
        weighing: ``confidence`` multiplies a teacher's weight, sample by sample, with one minus the entropy of
            its answer over the largest possible, so that it counts where it is sure.
        channels_last: As in ``TrainSettings``; ``"on"`` asks no more of a teacher than ``"auto"``.

    Raises:
        PlanError: A teacher's form can't be asked for logits, or for features.
    """
    inside = teacher_of_features(ctx) if paths else None
    # The setting is about the network that is trained: a teacher that can't follow it is asked in its own layout.
    choice: Choice = "off" if channels_last == "off" else "auto"
    asked = [
        (_ask(teacher, ctx, paths if teacher is inside else (), choice), teacher.weight) for teacher in ctx.teachers
    ]

    def mean(batch: Batch) -> Answers:
        with torch.no_grad():
            answers = [ask(batch) for ask, _ in asked]
            features = {path: value for answer in answers for path, value in answer.features.items()}
            if len(asked) == 1:
                return Answers(answers[0].logits, features)
            if ctx.task.answers == "vectors":
                shares = torch.tensor([weight for _, weight in asked]).div(sum(weight for _, weight in asked)).sqrt()
                parts = [share * answer.logits for share, answer in zip(shares.tolist(), answers, strict=True)]
                return Answers(torch.cat(parts, dim=-1), features)
            logits = torch.stack([answer.logits for answer in answers])
            weights = logits.new_tensor([weight for _, weight in asked]).view(-1, *[1] * (logits.dim() - 1))
            if weighing == "confidence":
                weights = weights * _confidence(logits)
            return Answers((logits * weights).sum(0) / weights.sum(0), features)

    return mean


def teacher_of_features(ctx: RunContext) -> Teacher:
    """The teacher whose features are learned from: the heaviest of those that are torch modules.

    Raises:
        PlanError: None is.
    """
    inside = [teacher for teacher in ctx.teachers if isinstance(teacher.model, TorchModel)]
    if not inside:
        raise PlanError(
            "kd.terms: a teacher in a file that only gives answers has no layers to learn from",
            "a checkpoint or TorchScript file as --teacher, or kd.terms=[]",
        )
    return max(inside, key=lambda teacher: teacher.weight)


def _confidence(logits: Tensor) -> Tensor:
    """(teachers, N, ..., 1): one minus the entropy of each answer, as a share of the largest entropy; above 0."""
    log_p = functional.log_softmax(logits, dim=-1)
    entropy = -(log_p.exp() * log_p).sum(-1, keepdim=True)
    return (1 - entropy / math.log(logits.shape[-1])).clamp(min=1e-6)


def _ask(teacher: Teacher, ctx: RunContext, paths: Sequence[str], choice: Choice) -> AskTeacher:
    """Ask one teacher in its own terms where they aren't the student's: its tokens, its normalisation, its classes."""
    own = fitted(ctx.data, teacher.model.info)
    ask = _ask_form(teacher, ctx, paths, choice)
    if own is ctx.data:
        return ask
    order = outputs_by_class(own, ctx.data)

    def ask_in_its_terms(batch: Batch) -> Answers:
        answers = ask(_seen_by_teacher(batch, own, ctx))
        return answers if order is None else replace(answers, logits=answers.logits[..., order])

    return ask_in_its_terms


def _seen_by_teacher(batch: Batch, own: Data, ctx: RunContext) -> Batch:
    if own.tokenizer is not ctx.data.tokenizer:
        return own.batch("train", batch.indices).to(ctx.device)
    if own.normalise == ctx.data.normalise or own.normalise is None or ctx.data.normalise is None:
        return batch
    # The batch's own views of the images, which augmentation has drawn.
    images, *others = batch.inputs
    return replace(batch, inputs=(own.normalise.again(images, ctx.data.normalise), *others))


def _ask_form(teacher: Teacher, ctx: RunContext, paths: Sequence[str], choice: Choice) -> AskTeacher:
    if isinstance(teacher.model, TorchModel):
        return _ask_torch(teacher.model.module, ctx, paths, choice)
    if isinstance(teacher.model, OnnxModel):
        return _ask_onnx(teacher.model, ctx)
    raise PlanError(
        f"a {type(teacher.model).__name__} can't teach",
        "--teacher with a checkpoint, a TorchScript file or an ONNX file",
    )


# A teacher never changes, and is asked in every stage.
_LAYOUTS: weakref.WeakKeyDictionary[nn.Module, dict[tuple[str, Choice], Layout]] = weakref.WeakKeyDictionary()


def _layout(module: nn.Module, frozen: nn.Module, ctx: RunContext, choice: Choice, batch: Batch) -> Layout:
    """A teacher's, tried once in a process; a resumed run comes to the same, as no clock is asked."""
    known = _LAYOUTS.setdefault(module, {})
    if (ctx.device, choice) not in known:
        known[ctx.device, choice] = Layout(choose_layout(frozen, ctx, choice, batch)[0])
    return known[ctx.device, choice]


def _ask_torch(module: nn.Module, ctx: RunContext, paths: Sequence[str], choice: Choice) -> AskTeacher:
    frozen = frozen_copy(module)
    layouts: list[Layout] = []
    by_precision: dict[bool, tuple[nn.Module, Taps]] = {}

    def ask(batch: Batch) -> Answers:
        if not layouts:
            layouts.append(_layout(module, frozen, ctx, choice, batch))
            layouts[0].place(frozen, ctx.device)
        half = torch.is_autocast_enabled(batch.inputs[0].device.type)
        if half not in by_precision:
            copied = _with_bf16_kernels(frozen) if half else copy_of(frozen)
            by_precision[half] = copied, Taps(copied, paths)
        asked, taps = by_precision[half]
        moved = layouts[0].move(batch, ctx.device)
        return Answers(ctx.task.logits(ctx.task.forward(asked, moved), moved).float(), taps.take())

    return ask


def _with_bf16_kernels(module: nn.Module) -> nn.Module:
    """A copy whose kernels are stored in bf16, so that autocast needn't cast them at every step."""
    copied = copy_of(module)
    for child in copied.modules():
        if isinstance(child, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
            child.to(torch.bfloat16)
    return copied


def _ask_onnx(model: OnnxModel, ctx: RunContext) -> AskTeacher:
    runner = OnnxRunner(model.path, threads=torch.get_num_threads())
    runner.__enter__()
    network = as_network(runner)
    rule = model.info.output

    def ask(batch: Batch) -> Answers:
        outputs = ctx.task.forward(network, batch).to(ctx.device)
        if rule is not None and rule.ends == "softmax":
            outputs = logits_of(outputs, rule.ends)
        return Answers(ctx.task.logits(outputs, batch))

    return ask
