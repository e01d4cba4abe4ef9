"""Teachers ready to be asked: frozen, in eval mode, on the training device, whatever form they came in."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from compressor.context import RunContext, Teacher
from compressor.data import Batch
from compressor.errors import PlanError
from compressor.models import OnnxModel, TorchModel
from compressor.runners import OnnxRunner

AskTeacher = Callable[[Batch], Tensor]


def mean_of_teachers(ctx: RunContext) -> AskTeacher:
    """A function from a batch to the teachers' logits: their mean by weight, (N, classes), float32.

    Called under autocast it follows the student's precision.

    Raises:
        PlanError: A teacher's form can't be asked for logits.
    """
    asked = [(_ask(teacher, ctx), teacher.weight) for teacher in ctx.teachers]
    total = sum(weight for _, weight in asked)

    def mean(batch: Batch) -> Tensor:
        with torch.no_grad():
            parts = [ask(batch) * (weight / total) for ask, weight in asked]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    return mean


def _ask(teacher: Teacher, ctx: RunContext) -> AskTeacher:
    if isinstance(teacher.model, TorchModel):
        return _ask_torch(teacher.model.module, ctx)
    if isinstance(teacher.model, OnnxModel):
        return _ask_onnx(teacher.model, ctx)
    raise PlanError(
        f"a {type(teacher.model).__name__} can't teach",
        "--teacher with a checkpoint, a TorchScript file or an ONNX file",
    )


def _ask_torch(module: nn.Module, ctx: RunContext) -> AskTeacher:
    frozen = copy.deepcopy(module).to(ctx.device).eval().requires_grad_(False)
    if any(p.dim() == 4 for p in frozen.parameters()):
        frozen.to(memory_format=torch.channels_last)
    by_precision = {False: frozen}

    def ask(batch: Batch) -> Tensor:
        half = torch.is_autocast_enabled(batch.inputs[0].device.type)
        if half and half not in by_precision:
            by_precision[half] = _with_bf16_kernels(frozen)
        return ctx.task.logits(ctx.task.forward(by_precision[half], batch)).float()

    return ask


def _with_bf16_kernels(module: nn.Module) -> nn.Module:
    """A copy whose kernels are stored in bf16, so that autocast needn't cast them at every step."""
    copied = copy.deepcopy(module)
    for child in copied.modules():
        if isinstance(child, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
            child.to(torch.bfloat16)
    return copied


def _ask_onnx(model: OnnxModel, ctx: RunContext) -> AskTeacher:
    runner = OnnxRunner(model.path, threads=torch.get_num_threads())
    runner.__enter__()

    def ask(batch: Batch) -> Tensor:
        outputs = runner.infer(tuple(np.ascontiguousarray(t.cpu().numpy()) for t in batch.inputs))
        return torch.from_numpy(outputs).to(ctx.device)

    return ask
