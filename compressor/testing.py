"""Contract tests for authors of stages, tasks and losses: subclass one, give it your object, run pytest.

class TestFold(StageContract):
    stage = Fold()

    def model(self):
        return my_small_model()

    def context(self, workdir):
        return my_context(workdir)
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from compressor.context import RunContext
from compressor.data import Data
from compressor.models import Form, QuantizedModel, TorchModel
from compressor.stage import Stage, StageResult
from compressor.tasks import Task

Given = TypeVar("Given")

__all__ = ["LossContract", "StageContract", "TaskContract"]


def content_of(form: Form) -> str:
    """A hash over everything a form holds: its tensors, or its file."""
    digest = hashlib.sha256()
    if isinstance(form, (TorchModel, QuantizedModel)):
        for name, tensor in form.module.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    else:
        digest.update(form.path.read_bytes())
    return digest.hexdigest()


class StageContract:
    """What every stage keeps. ``stage`` has the settings that make it quickest."""

    stage: Stage

    def model(self) -> Form:
        """A small model in a form that the stage accepts, equal at every call."""
        raise NotImplementedError

    def context(self, workdir: Path) -> RunContext:
        """A context with little data, equal at every call but for ``workdir``."""
        raise NotImplementedError

    def test_settings_are_frozen_and_survive_json(self) -> None:
        """Settings can't be changed, come back from JSON equal, and unknown ones are refused."""
        kind = type(self.stage)
        assert kind.model_validate_json(self.stage.model_dump_json()) == self.stage
        try:
            kind.model_validate({**self.stage.model_dump(), "no_such_setting": 1})
        except ValidationError:
            pass
        else:
            raise AssertionError(f"{kind.__name__} takes a setting that it doesn't have")
        for name in kind.model_fields:
            try:
                setattr(self.stage, name, None)
            except ValidationError:
                continue
            raise AssertionError(f"{kind.__name__}.{name} can be changed")

    def test_every_setting_says_what_it_is(self) -> None:
        """Each field has a description: help, schema and docs print it."""
        silent = [name for name, setting in type(self.stage).model_fields.items() if not setting.description]
        assert not silent, f"no Field(description=...) for {silent}"

    def test_forms_agree_with_annotations(self) -> None:
        """``accepts`` is what ``run`` says it takes."""
        annotation = get_type_hints(type(self.stage).run)["model"]
        assert set(self.stage.accepts) == set(get_args(annotation) or (annotation,))

    def test_run_keeps_the_contract(self, tmp_path: Path) -> None:
        """The form is as declared, the reference untouched, files only in its folder, equal seeds equal results."""
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        first = self._run(tmp_path / "first", elsewhere)
        second = self._run(tmp_path / "second", elsewhere)
        assert type(first.model) is self.stage.produces
        assert content_of(first.model) == content_of(second.model), "the same seed gave another result"
        assert all(isinstance(note, str) and note for note in first.notes)
        assert {path.name for path in tmp_path.iterdir()} == {"elsewhere", "first", "second"}
        assert not any(elsewhere.iterdir()), "wrote outside ctx.workdir"

    def test_rehearsal_keeps_the_contract(self, tmp_path: Path) -> None:
        """A rehearsal trains nothing and gives the form that ``run`` gives, or the one that it was handed."""
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        rehearsal = self._in_folder(self.stage.rehearse, tmp_path / "own", elsewhere)
        assert type(rehearsal.model) in (self.stage.produces, *self.stage.accepts)
        assert all(isinstance(text, str) and text for text in [*rehearsal.notes, *rehearsal.layers.values()])
        assert {path.name for path in tmp_path.iterdir()} == {"elsewhere", "own"}
        assert not any(elsewhere.iterdir()), "wrote outside ctx.workdir"

    def _run(self, workdir: Path, current: Path) -> StageResult:
        return self._in_folder(self.stage.run, workdir, current)

    def _in_folder(self, work: Callable[[Any, RunContext], Given], workdir: Path, current: Path) -> Given:
        workdir.mkdir()
        ctx = self.context(workdir)
        before = content_of(ctx.reference)
        model = self.model()
        assert type(model) in self.stage.accepts
        here = Path.cwd()
        os.chdir(current)
        try:
            result = work(model, ctx)
        finally:
            os.chdir(here)
        assert content_of(ctx.reference) == before, "the reference was changed"
        return result


class TaskContract:
    """What every task keeps."""

    task: Task

    def module(self) -> nn.Module:
        """A small network for the task."""
        raise NotImplementedError

    def data(self) -> Data:
        """Little data that fits the network."""
        raise NotImplementedError

    def test_check_takes_what_fits(self) -> None:
        """``check`` is silent on a network and data that fit, and leaves the network's mode alone."""
        module = self.module().train()
        self.task.check(module, self.data())
        assert module.training

    def test_loss_trains(self) -> None:
        """The loss is a finite scalar, and every trained weight gets a gradient."""
        module = self.module().train()
        batch = self.data().batch("train", torch.arange(4))
        loss = self.task.loss(self.task.forward(module, batch), batch)
        assert loss.dim() == 0 and torch.isfinite(loss)
        loss.backward()
        assert all(p.grad is not None for p in module.parameters() if p.requires_grad)

    def test_logits_are_a_row_per_sample(self) -> None:
        """Response-based distillation gets (N, classes), or (N, rows, classes) and which rows count."""
        module = self.module().eval()
        batch = self.data().batch("train", torch.arange(4))
        logits = self.task.logits(self.task.forward(module, batch), batch)
        counted = self.task.counted(batch)
        assert len(logits) == 4
        assert logits.dim() == 2 if counted is None else counted.shape == logits.shape[:2]

    def test_score_has_its_error(self) -> None:
        """A score has a standard error, and is the mean of its samples where it has any."""
        data = self.data()
        batch = data.batch("test", torch.arange(len(data.test)))
        with torch.no_grad():
            outputs = self.task.logits(self.task.forward(self.module().eval(), batch), batch).numpy()
        score = self.task.score(outputs, data.test.labels.numpy(), data)
        assert score.stderr >= 0
        if score.per_sample is not None:
            assert len(score.per_sample) == len(data.test)
            assert np.isclose(score.per_sample.mean(), score.value)

    def test_training_betters_the_score(self) -> None:
        """``higher_is_better`` says which way the score counts: on what is trained on it gets no worse."""
        data, module = self.data(), self.module().train()
        batch = data.batch("train", torch.arange(min(16, len(data.train))))
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
        scores = []
        for step in range(61):
            outputs = self.task.forward(module, batch)
            if step in (0, 60):
                found = self.task.logits(outputs, batch).detach().numpy()
                scores.append(self.task.score(found, batch.labels.numpy(), data).value)
            optimizer.zero_grad()
            self.task.loss(outputs, batch).backward()
            optimizer.step()
        assert scores[1] >= scores[0] if self.task.higher_is_better else scores[1] <= scores[0]


class LossContract:
    """What every distillation loss keeps: ``loss(student, teacher, *extras)``, each tensor with a row per sample.

    Args:
        loss: The function.
        student_shape: Of one sample of what the student gives.
        teacher_shape: Of one sample of what the teacher gives.
        over_pairs: Whether it compares samples with one another; then it is no mean over samples.
    """

    loss: Callable[..., Any]
    student_shape: tuple[int, ...] = (5,)
    teacher_shape: tuple[int, ...] = (5,)
    over_pairs: bool = False

    def extras(self, count: int) -> tuple[Tensor, ...]:
        """Further arguments for so many samples, such as labels or masks."""
        return ()

    def best(self, teacher: Tensor, extras: tuple[Tensor, ...]) -> tuple[Tensor, float]:
        """What a perfect student would give, and the loss of it: by default the teacher's own and 0."""
        return teacher, 0.0

    def _value(self, student: Tensor, teacher: Tensor, extras: tuple[Tensor, ...]) -> Tensor:
        value: Tensor = type(self).loss(student, teacher, *extras)
        return value

    def _sides(self, count: int = 6) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        generator = torch.Generator().manual_seed(0)
        student = torch.randn(count, *self.student_shape, generator=generator)
        return student, torch.randn(count, *self.teacher_shape, generator=generator), self.extras(count)

    def test_is_least_where_both_agree(self) -> None:
        """A float32 scalar, at its known least value for a perfect student, above it for another."""
        student, teacher, extras = self._sides()
        perfect, least = self.best(teacher, extras)
        value = self._value(student, teacher, extras)
        assert value.dim() == 0 and value.dtype == torch.float32
        assert abs(float(self._value(perfect, teacher, extras)) - least) < 1e-5
        assert float(value) > least + 1e-3

    def test_gradient_reaches_the_student_alone(self) -> None:
        """The teacher is only looked at."""
        student, teacher, extras = self._sides()
        student.requires_grad_()
        teacher.requires_grad_()
        self._value(student, teacher, extras).backward()
        assert student.grad is not None and bool(student.grad.abs().sum() > 0)
        assert teacher.grad is None

    def test_order_of_the_batch_is_nothing(self) -> None:
        """The same samples in another order have the same loss, and each its own gradient."""
        order = torch.tensor([3, 0, 5, 1, 4, 2])
        values, gradients = [], []
        for chosen in (torch.arange(6), order):
            student, teacher, extras = self._sides()
            student = student[chosen].requires_grad_()
            value = self._value(student, teacher[chosen], tuple(extra[chosen] for extra in extras))
            value.backward()
            assert student.grad is not None
            values.append(value.detach())
            gradients.append(student.grad)
        torch.testing.assert_close(values[0], values[1])
        torch.testing.assert_close(gradients[0][order], gradients[1], rtol=1e-4, atol=1e-6)

    def test_is_a_mean_over_samples(self) -> None:
        """A batch twice over has the same loss: the learning rate needn't follow the batch size."""
        if self.over_pairs:
            return
        student, teacher, extras = self._sides()
        doubled = tuple(torch.cat([extra, extra]) for extra in extras)
        twice = self._value(torch.cat([student, student]), torch.cat([teacher, teacher]), doubled)
        torch.testing.assert_close(twice, self._value(student, teacher, extras))

    def test_stays_finite(self) -> None:
        """Extreme values and half precision give no inf or nan, nor do their gradients."""
        student, teacher, extras = self._sides()
        for scale, dtype in ((1e4, torch.float32), (1e4, torch.bfloat16), (0.0, torch.bfloat16)):
            given = (student * scale).to(dtype).requires_grad_()
            value = self._value(given, (teacher * scale).to(dtype), extras)
            value.backward()
            assert torch.isfinite(value), f"{value} at {scale} in {dtype}"
            assert given.grad is not None and bool(torch.isfinite(given.grad).all()), f"gradient at {scale} in {dtype}"
