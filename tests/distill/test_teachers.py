"""Teachers in other forms, and in the student's precision."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import small
import torch
from torch import Tensor, nn

from compressor.context import Teacher
from compressor.data import Normalise
from compressor.distill.teachers import mean_of_teachers, teacher_of_features
from compressor.errors import PlanError
from compressor.export.onnx import export_onnx
from compressor.models import EngineModel, TorchModel


def test_an_onnx_file_teaches_like_its_network(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    exported = export_onnx(ctx.reference, tmp_path / "t.onnx", ctx.task.example_inputs(ctx.data))
    batch = ctx.data.batch("train", torch.arange(8))
    from_file = mean_of_teachers(replace(ctx, teachers=(Teacher(exported),)))(batch).logits
    torch.testing.assert_close(from_file, mean_of_teachers(ctx)(batch).logits, rtol=1e-4, atol=1e-4)


def scripted(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cast("nn.Module", torch.jit.trace(module, inputs))


def exported(module: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    return torch.export.export(module, inputs).module()


@pytest.mark.parametrize("form", [scripted, exported])
def test_a_finished_program_teaches(form: Callable[..., nn.Module], tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    program = form(ctx.reference.module.eval(), ctx.task.example_inputs(ctx.data, 8))
    teacher = replace(ctx.reference, module=program)
    batch = ctx.data.batch("train", torch.arange(8))
    logits = mean_of_teachers(replace(ctx, teachers=(Teacher(teacher),)))(batch).logits
    torch.testing.assert_close(logits, mean_of_teachers(ctx)(batch).logits, rtol=1e-4, atol=1e-4)


def test_under_autocast_it_is_asked_in_bf16(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    ask = mean_of_teachers(ctx)
    batch = ctx.data.batch("train", torch.arange(8))
    exact = ask(batch).logits
    with torch.autocast("cpu", torch.bfloat16):
        half = ask(batch).logits
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    torch.testing.assert_close(half, exact, rtol=0.1, atol=0.1)
    assert ctx.reference.module.conv1.weight.dtype == torch.float32


def test_an_engine_is_refused(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    engine = EngineModel(tmp_path / "x.engine", ctx.reference.info)
    with pytest.raises(PlanError, match="can't teach"):
        mean_of_teachers(replace(ctx, teachers=(Teacher(engine),)))


def test_a_sure_teacher_counts_more_where_it_is_sure(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    teachers = []
    for index in range(2):
        model = small.small_model(seed=index)
        with torch.no_grad():
            model.module.fc.weight.zero_()
            model.module.fc.bias.zero_()
            model.module.fc.bias[index] = 0.5 if index else 8.0
        teachers.append(Teacher(model))
    ctx = replace(ctx, teachers=tuple(teachers))
    batch = ctx.data.batch("train", torch.arange(4))
    even = mean_of_teachers(ctx)(batch).logits
    sure = mean_of_teachers(ctx, weighing="confidence")(batch).logits
    torch.testing.assert_close(even[:, :2], torch.tensor([4.0, 0.25]).expand(4, 2))

    def certainty(largest: float) -> float:
        p = torch.softmax(torch.tensor([largest, *[0.0] * 9]), 0)
        return float(1 + (p * p.log()).sum() / torch.tensor(10.0).log())

    first, second = certainty(8.0), certainty(0.5)
    wanted = torch.tensor([8.0 * first, 0.5 * second]) / (first + second)
    torch.testing.assert_close(sure[:, :2], wanted.expand(4, 2), rtol=1e-4, atol=1e-4)


def test_features_come_from_the_heaviest_that_has_layers(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    exported = export_onnx(ctx.reference, tmp_path / "t.onnx", ctx.task.example_inputs(ctx.data))
    light, heavy = Teacher(small.small_model(1), 1.0), Teacher(small.small_model(2), 2.0)
    ctx = replace(ctx, teachers=(Teacher(exported, 5.0), light, heavy))
    assert teacher_of_features(ctx) is heavy
    batch = ctx.data.batch("train", torch.arange(4))
    answers = mean_of_teachers(ctx, ["stages.1"])(batch)
    assert answers.features["stages.1"].shape == (4, 32, 4, 4)
    with pytest.raises(PlanError, match="no layers to learn from"):
        mean_of_teachers(replace(ctx, teachers=(Teacher(exported),)), ["stages.1"])


def test_a_teacher_is_shown_and_answers_in_its_own_terms(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    batch = ctx.data.batch("train", torch.arange(8))
    order = [3, 0, 1, 2, 9, 8, 7, 6, 5, 4]
    spec = ctx.reference.info.inputs[0].model_copy(update={"mean": (0.1,), "std": (0.9,)})
    module = copy.deepcopy(ctx.reference.module)
    *_, last = (layer for layer in module.modules() if isinstance(layer, torch.nn.Linear))
    last.weight.data, last.bias.data = last.weight.data[order], last.bias.data[order]
    info = ctx.reference.info.model_copy(update={"classes": tuple(map(str, order)), "inputs": (spec,)})
    answers = mean_of_teachers(replace(ctx, teachers=(Teacher(TorchModel(module, info)),)))(batch).logits
    raw = ctx.data.train.fetch(torch.arange(8))[0]
    with torch.no_grad():
        expected = ctx.reference.module(Normalise((0.1,), (0.9,))(raw))
    torch.testing.assert_close(answers, expected, rtol=1e-4, atol=1e-4)
