"""Teachers in other forms, and in the student's precision."""

from dataclasses import replace
from pathlib import Path

import pytest
import small
import torch

from compressor.context import Teacher
from compressor.distill.teachers import mean_of_teachers
from compressor.errors import PlanError
from compressor.export.onnx import export_onnx
from compressor.models import EngineModel


def test_an_onnx_file_teaches_like_its_network(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    exported = export_onnx(ctx.reference, tmp_path / "t.onnx", ctx.task.example_inputs(ctx.data))
    batch = ctx.data.batch("train", torch.arange(8))
    from_file = mean_of_teachers(replace(ctx, teachers=(Teacher(exported),)))(batch)
    torch.testing.assert_close(from_file, mean_of_teachers(ctx)(batch), rtol=1e-4, atol=1e-4)


def test_a_scripted_network_teaches(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    program = torch.export.export(ctx.reference.module.eval(), ctx.task.example_inputs(ctx.data, 8)).module()
    teacher = replace(ctx.reference, module=program)
    batch = ctx.data.batch("train", torch.arange(8))
    logits = mean_of_teachers(replace(ctx, teachers=(Teacher(teacher),)))(batch)
    torch.testing.assert_close(logits, mean_of_teachers(ctx)(batch), rtol=1e-4, atol=1e-4)


def test_under_autocast_it_is_asked_in_bf16(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    ask = mean_of_teachers(ctx)
    batch = ctx.data.batch("train", torch.arange(8))
    exact = ask(batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = ask(batch)
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    torch.testing.assert_close(half, exact, rtol=0.1, atol=0.1)
    assert ctx.reference.module.conv1.weight.dtype == torch.float32


def test_an_engine_is_refused(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    engine = EngineModel(tmp_path / "x.engine", ctx.reference.info)
    with pytest.raises(PlanError, match="can't teach"):
        mean_of_teachers(replace(ctx, teachers=(Teacher(engine),)))
