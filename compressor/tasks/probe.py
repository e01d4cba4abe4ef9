"""A few real samples through a network, before anything is built on its answers.

What a forward gives is made one tensor of logits where that can be done, by a rule that is said; what can't be
compressed whatever is done (answers at random, answers that depend on the other samples of a batch, weights that
aren't numbers) is refused. Nothing is trained or captured here.
"""

import inspect
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from compressor.copies import copy_of
from compressor.data import Batch, Data
from compressor.errors import InputError, PlanError
from compressor.factories.answers import copied_answering, taken
from compressor.factories.text_network import is_text_network
from compressor.models import OutputRule, TorchModel
from compressor.tasks import Task, in_mode
from compressor.tasks.outputs import choose, end_of, idle_heads, kind_of, listed, tensors_in, uncalled
from compressor.tasks.weights import check_weights

SAMPLES = 4
# Another batch size takes other kernels: the same sums in another order. Of the largest answer.
SAME = 1e-3
ALONE = ", given a single sample,"


def settled(
    model: TorchModel, task: Task, data: Data, *, who: str = "the network", asked: str = "", learns: bool = True
) -> TorchModel:
    """A network that gives one tensor of finite logits, a row a sample, or a refusal.

    Args:
        model: Left untouched; copied where its forward gives something else.
        task: What it does.
        data: As this network sees it.
        who: What messages call it.
        asked: Which part of the output the answers are, where the user said so: ``"logits"``, ``"0"``.
        learns: False for a teacher: it needs no trainable weights, and no training mode.

    Raises:
        PlanError: What can't be compressed, with what to change.
        InputError: No such part as was asked for.
    """
    check_weights(model.module, who, learns)
    if is_text_network(model.info.factory):
        # This package's own module around a network of transformers: what its forward does is known.
        return model
    with torch.random.fork_rng(devices=[]):
        return _probed(model, _Probe(model.module, task, data, who), asked, learns)


def _probed(model: TorchModel, probe: "_Probe", asked: str, learns: bool) -> TorchModel:
    probe.check_signature()
    rule = model.info.output
    if rule is None:
        rule = probe.rule(asked, learns)
        module = copied_answering(model.module, rule) if rule.changes else model.module
        output = None if rule == OutputRule() else rule
        model = replace(model, module=module, info=model.info.model_copy(update={"output": output}))
    elif asked not in ("", rule.eval, rule.training):
        raise InputError(
            f"--output {asked}: when {probe.who} was saved its answers were taken from '{rule.eval or rule.training}'",
            "leave --output out, or give the file that it was trained from",
        )
    replace(probe, module=model.module).check()
    return model


@dataclass(frozen=True)
class _Probe:
    """A network and a few real samples."""

    module: nn.Module
    task: Task
    data: Data
    who: str

    @property
    def batch(self) -> Batch:
        return self.data.batch("train", torch.arange(min(SAMPLES, len(self.data.train))))

    def inputs(self, rows: int | None = None) -> tuple[Tensor, ...]:
        """One call's, cut to the first rows: padding stays, so that samples are what they were."""
        return tuple(tensor[:rows] for tensor in self.task.inputs(self.batch))

    def call(self, module: nn.Module, inputs: tuple[Tensor, ...], training: bool = False, how: str = "") -> Any:
        with in_mode(module, training):
            return self.task.attempt(lambda: module(*inputs), self.batch, self.data, f"{self.who}{how}")

    def check_signature(self) -> None:
        """Refuse a forward that wants other arguments than a batch has."""
        given = self.inputs(1)
        try:
            signature = inspect.signature(self.module.forward)
        except (TypeError, ValueError):
            return
        try:
            signature.bind(*given)
        except TypeError as error:
            raise PlanError(
                f"{self.who}'s forward{signature} can't be called with the {len(given)} "
                f"input{'s'[: len(given) > 1]} of this data: {error}",
                "a forward whose other arguments have defaults, or a module around the network that gives them",
            ) from None

    def rule(self, asked: str, learns: bool) -> OutputRule:
        """How this network's answers are had."""
        output = in_training = self.call(self.module, self.inputs())
        unused: tuple[str, ...] = ()
        if learns and len(self.inputs()[0]) > 1:
            in_training, unused = self._learning()
        plain = isinstance(output, Tensor) and isinstance(in_training, Tensor)
        if asked and plain:
            raise InputError(f"--output {asked}: the forward of {self.who} gives one tensor", "leave --output out")
        paths = self._path(output, asked), self._path(in_training, asked)
        rule = OutputRule(eval=paths[0], training=paths[1], dropped=unused)
        answers = self._rows_of(taken(output, rule.eval))
        learned = self._rows_of(taken(in_training, rule.training))
        if answers.shape != learned.shape:
            raise PlanError(
                f"{self.who} gives {kind_of(learned)} in training mode and {kind_of(answers)} in eval mode",
                "a forward that gives logits of one shape in both modes",
            )
        if not plain:
            rule = rule.model_copy(update={"dropped": self._idle_heads(rule)})
        rule = rule.model_copy(update={"keeps_batch": self._loses_batch(rule, answers)})
        rule = rule.model_copy(update={"ends": self._end(rule, answers)})
        if rule.ends in ("softmax", "sigmoid") and self.task.own_loss:
            raise PlanError(
                f"{self.who} ends in {rule.ends} and the loss is your own: distillation needs logits, "
                "which that loss may not be meant for",
                f"a forward without the {rule.ends}, and a loss that takes logits",
            )
        return rule

    def _learning(self) -> tuple[Any, tuple[str, ...]]:
        """What forward gives in training mode; and heads of training alone that samples of this size don't get through.

        Inception's needs larger images than the rest of it.
        """
        how = " in training mode"
        try:
            # BatchNorm counts on in training mode.
            return self.call(copy_of(self.module), self.inputs(), training=True, how=how), ()
        except PlanError:
            heads = uncalled(self.module, lambda: self.call(self.module, self.inputs()))
            if not heads:
                raise
            without = copied_answering(self.module, OutputRule(dropped=heads))
            return self.call(without, self.inputs(), training=True, how=how), heads

    def _path(self, output: Any, asked: str) -> str:
        """Where in an output the answers are."""
        if isinstance(output, Tensor):
            return ""
        keys = ", ".join(path for path, _ in tensors_in(output))
        hint = f"--output KEY with one of: {keys}" if keys else "a forward that returns logits"
        if asked:
            try:
                found = taken(output, asked)
            except (LookupError, TypeError):
                found = None
            if not isinstance(found, Tensor):
                raise InputError(f"--output {asked}: the forward of {self.who} gives {listed(output)}", hint)
            return asked
        columns = len(self.data.classes)
        path = choose(output, self._may_answer, columns)
        if path is None:
            wanted = f"{self.task.rank} axes, a row a sample" + (f", {columns} columns" if columns else "")
            raise PlanError(
                f"the forward of {self.who} gives {listed(output)}: "
                f"it can't be told which are the answers (wanted floats of {wanted})",
                hint,
            )
        return path

    def _may_answer(self, tensor: Tensor) -> bool:
        return tensor.is_floating_point() and tensor.dim() == self.task.rank and len(tensor) == len(self.inputs()[0])

    def _rows_of(self, answers: Any) -> Tensor:
        """Answers that are a tensor of floats with a row a sample."""
        rows = len(self.inputs()[0])
        if not isinstance(answers, Tensor) or not answers.is_floating_point():
            given = kind_of(answers) if isinstance(answers, Tensor) else listed(answers)
            raise PlanError(
                f"the forward of {self.who} gives {given}, wanted floats",
                "a forward that returns logits, as they are before argmax or rounding",
            )
        if answers.dim() == 0 or len(answers) != rows:
            raise PlanError(
                f"the forward of {self.who} gives {kind_of(answers)} for {rows} samples, wanted a row for each",
                "a forward whose output's first axis is the batch",
            )
        return answers

    def _loses_batch(self, rule: OutputRule, answers: Tensor) -> bool:
        """Whether one sample alone needs squeeze() to leave it its axis."""
        if len(answers) < 2:
            return False
        try:
            alone = self.call(copied_answering(self.module, rule), self.inputs(1), how=ALONE)
            reason = None
        except PlanError as error:
            alone, reason = None, error
        if alone is not None and alone.shape[1:] == answers.shape[1:] and alone.dim() == answers.dim():
            return False
        try:
            kept = copied_answering(self.module, rule.model_copy(update={"keeps_batch": True}))
            keeping = self.call(kept, self.inputs(1), how=ALONE)
        except PlanError:
            raise reason or self._without_batch(answers, alone) from None
        if keeping.shape[1:] == answers.shape[1:] and keeping.dim() == answers.dim():
            return True
        raise reason or self._without_batch(answers, alone)

    def _without_batch(self, answers: Tensor, alone: Any) -> PlanError:
        return PlanError(
            f"the forward of {self.who} gives {kind_of(answers)} for {len(answers)} samples and "
            f"{kind_of(alone)} for one",
            "a forward whose output's first axis is the batch, whatever its size",
        )

    def _end(self, rule: OutputRule, answers: Tensor) -> Literal["", "softmax", "log_softmax", "sigmoid"]:
        if self.task.answers != "classes" or answers.dim() != self.task.rank or answers.shape[-1] < 2:
            return ""
        found = end_of(answers)
        if found or not bool(((answers >= 0) & (answers <= 1)).all()):
            return found
        # Values between 0 and 1 may be anything: a sigmoid is the end where what goes into one gives just these.
        before = self.call(copied_answering(self.module, rule.model_copy(update={"ends": "sigmoid"})), self.inputs())
        return "sigmoid" if torch.equal(before.sigmoid(), answers) else ""

    def _idle_heads(self, rule: OutputRule) -> tuple[str, ...]:
        """Submodules that are called, though the answers are the same to the bit without them."""
        copied = copied_answering(self.module, rule)
        called: set[nn.Module] = set()
        hooks = [child.register_forward_pre_hook(lambda own, _: called.add(own)) for child in copied.modules()]

        def learn() -> Tensor:
            with torch.enable_grad():
                answers: Tensor = copied.requires_grad_()(*self.inputs())
                answers.sum().backward()
            return answers.detach()

        with in_mode(copied, training=False):
            answers = self.task.attempt(learn, self.batch, self.data, self.who)
        self.call(copied, self.inputs(), training=True)
        for hook in hooks:
            hook.remove()
        heads = (*rule.dropped, *idle_heads(copied, called))
        without = copied_answering(self.module, rule.model_copy(update={"dropped": heads}))
        try:
            same = torch.equal(self.call(without, self.inputs()), answers)
            self.call(without, self.inputs(), training=True)
        except PlanError:
            return rule.dropped
        return heads if same else rule.dropped

    def check(self) -> None:
        """Refuse answers that aren't finite, differ from call to call, or depend on the rest of the batch."""
        answers = self._rows_of(self.call(self.module, self.inputs()))
        finite = answers.isfinite().flatten(1).all(dim=1)
        if not bool(finite.all()):
            raise PlanError(
                f"{self.who} answers NaN or infinity to {int((~finite).sum())} of {len(finite)} training samples",
                "a network that scores on this data, and the mean and std that it was trained with",
            )
        tolerance = SAME * float(answers.abs().max())
        again = self.call(self.module, self.inputs())
        if _differ(answers, again, tolerance):
            raise PlanError(
                f"{self.who} answers at random: the same samples are answered otherwise at a second call",
                "a forward without random numbers in eval mode: nn.Dropout, or dropout(..., training=self.training)",
            )
        for rows in (2, 1):
            if rows >= len(answers):
                continue
            fewer = self.call(self.module, self.inputs(rows), how=ALONE if rows == 1 else "")
            if _differ(answers[:rows], fewer, tolerance):
                raise PlanError(
                    f"what {self.who} answers to a sample depends on the rest of its batch: the first {rows} of "
                    f"{len(answers)} are answered otherwise without the others",
                    "a network without statistics over the batch in eval mode (BatchNorm with "
                    "track_running_stats=True), and whose forward leaves the batch axis alone",
                )


def _differ(one: Tensor, other: Tensor, tolerance: float) -> bool:
    return one.shape != other.shape or float((one - other).abs().max()) > tolerance
