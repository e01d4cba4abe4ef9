"""Where a network's file and the data disagree on shape, normalisation or classes: said or refused before any work."""

from dataclasses import replace

import torch

from compressor.context import RunContext
from compressor.data import Data, Normalise
from compressor.distill.teachers import mean_of_teachers
from compressor.errors import CompressError, DataError, InputError, PlanError
from compressor.models import ModelInfo, TorchModel
from compressor.tasks import Task, modality_of


def check_trained(info: ModelInfo, task: Task) -> None:
    """Refuse a network that was never trained for its task.

    Raises:
        InputError: Naming the weights that its file lacks.
    """
    if info.untrained:
        raise InputError(
            f"{info.source} has no weights for {', '.join(info.untrained[:3])}: it was never trained for {task.name}",
            f"compress train {info.source} --data ... --out teacher, then compress run ... teacher",
        )


def check_inputs(info: ModelInfo, data: Data, given: ModelInfo | None = None) -> list[str]:
    """Compare what a network's file says of its inputs with the data as that network sees it.

    Args:
        info: What the file says.
        data: As ``fitted`` to it.
        given: What the network says that the data was made for, where ``info`` is of another one, a teacher.

    Returns:
        What is taken for granted, a sentence each.

    Raises:
        DataError: Samples of another shape, or finished inputs that were made for another normalisation.
    """
    if not info.inputs or not modality_of(info.task).one_size:
        return []
    spec, source = info.inputs[0], info.source or "the network"
    have = tuple(data.train.fetch(torch.arange(1))[0].shape[1:])
    if len(have) != len(spec.shape) or any(side not in (-1, own) for side, own in zip(spec.shape, have, strict=True)):
        raise DataError(
            f"{source} takes samples of shape {spec.shape}, '{data.source}' has {have}",
            "data of its shape (--data-arg size=, channels=), or a network made for this data",
        )
    if data.normalise is not None or not spec.mean:
        return []
    own = Normalise(spec.mean, spec.std)
    ours = given.inputs[0] if given is not None and given.inputs else spec
    if (ours.mean, ours.std) != (spec.mean, spec.std):
        raise DataError(
            f"{source} was made for images normalised by {own}, and the floats of '{data.source}' come as they are, "
            "for another network",
            "data of uint8 images, which each network sees as its own file says",
        )
    return [f"the floats of '{data.source}' are taken to be normalised by {own}, as {source} was made for"]


def check_answers(ctx: RunContext) -> None:
    """Ask each teacher for two samples, and compare the number of its outputs with the reference's.

    Raises:
        DataError: A teacher can't take the data.
        PlanError: It has another number of outputs.
    """
    batch = ctx.data.batch("train", torch.arange(min(2, len(ctx.data.train))))
    wanted = ctx.task.logits(ctx.task.trial(ctx.reference.module, ctx.data), batch).shape[-1]
    for teacher in ctx.teachers:
        source = teacher.model.info.source or "a teacher"
        try:
            got = mean_of_teachers(replace(ctx, teachers=(teacher,)))(batch.to(ctx.device)).logits.shape[-1]
        except CompressError:
            raise
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"{source} can't be asked about '{ctx.data.source}': an input of shape "
                f"{tuple(batch.inputs[0].shape[1:])} fails with: {reason}",
                "--teacher with a network made for this data",
            ) from None
        if got != wanted and ctx.task.answers != "vectors":
            raise PlanError(
                f"{source} gives {got} outputs, the network that it is to teach {wanted}, and nothing says which "
                "are the same",
                "--teacher with a file that names its classes, those of the data among them, or with as many outputs",
            )


def extra_outputs(model: TorchModel, data: Data, task: Task) -> list[str]:
    """A sentence where a network has outputs for more classes than the data names."""
    if task.answers != "classes" or not data.classes:
        return []
    outputs = task.trial(model.module, data)
    count = outputs.shape[-1] if outputs.dim() > 1 else 0
    if count <= len(data.classes):
        return []
    return [
        f"the network has {count} outputs and '{data.source}' {len(data.classes)} classes: they are taken to be the "
        f"first {len(data.classes)}, in their order"
    ]
