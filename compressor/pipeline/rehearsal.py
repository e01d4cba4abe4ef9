"""A run without its training: every stage's work on copies, each handed what the one before it made."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from compressor.context import Progress, RunContext, ShowProgress, silent
from compressor.copies import copy_of
from compressor.distill import Distillation, KdSettings
from compressor.errors import DiskFullError, InputError, MissingError, PlanError, StageError
from compressor.export.onnx import export_onnx
from compressor.measure import try_file
from compressor.models import FORM_NAMES, Form, QuantizedModel, TorchModel
from compressor.pipeline.agreement import check_answers
from compressor.pipeline.job import Job
from compressor.profile import chain_faults
from compressor.stage import Rehearsal, Stage
from compressor.training import TrainSettings
from compressor.user_code import called, reason_of

# Samples of the step that is tried.
TRIED = 4
# Bytes of an ONNX file: protobuf counts them in 31 bits.
LARGEST_FILE = 2**31


@dataclass(frozen=True)
class Rehearsed:
    """One stage that was rehearsed.

    Args:
        name: ``"02-prune"``.
        stage: Its settings.
        rehearsal: What it made of the model, and said.
        seconds: What that took: what the stage will take besides training and scoring.
    """

    name: str
    stage: Stage
    rehearsal: Rehearsal
    seconds: float


def rehearse(job: Job, progress: ShowProgress = silent) -> list[Rehearsed]:
    """Do every stage's work on copies, a step of each training, one export and one call of the file.

    Args:
        job: Prepared; its model is left untouched.
        progress: Told of the stage, so that it is known where this process was if it is killed.

    Raises:
        PlanError: The stages don't chain, or one can't do its work on what it would be handed.
        DataError: The data doesn't fit the network.
    """
    faults = chain_faults(job.profile)
    if faults:
        raise PlanError("the stages don't chain:\n  " + "\n  ".join(faults), "compress stages list")
    _check_size(job.model)
    hint = "a network that takes its data's samples"
    with called("trying the network fails", hint, PlanError, among_ours=True):
        job.task.check(job.model.module, job.data)
        if job.teachers:
            check_answers(job.context(job.out, job.all_teachers))
    current: Form = replace(job.model, module=copy_of(job.model.module))
    done: list[Rehearsed] = []
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        for index, stage in enumerate(job.stages, 1):
            name = f"{index:02d}-{stage.kind}"
            progress(Progress(f"{name} (the check before the run)"))
            if not isinstance(current, stage.accepts):
                said = f"not tried: the stage before it doesn't show what it makes of a {FORM_NAMES[type(current)]}"
                done.append(Rehearsed(name, stage, Rehearsal(current, [said], trainings=0), 0.0))
                continue
            ctx = job.context(Path(folder) / name, job.all_teachers, info=current.info)
            ctx.workdir.mkdir()
            torch.manual_seed(job.seed)
            start = time.perf_counter()
            with named(name):
                made = stage.rehearse(current, ctx)
            seconds = time.perf_counter() - start
            done.append(Rehearsed(name, stage, made, seconds))
            with named(name):
                _try_step(made, stage, ctx)
            current = made.model
        if isinstance(current, (TorchModel, QuantizedModel)):
            with named("measuring the last stage"):
                done[-1] = _with_export(done[-1], current, job, Path(folder))
    return done


def training_of(stage: Stage) -> tuple[TrainSettings | None, KdSettings]:
    """How a stage trains, None where it doesn't, and what it distils."""
    train, kd = getattr(stage, "train", None), getattr(stage, "kd", None)
    return (train if isinstance(train, TrainSettings) else None), (kd if isinstance(kd, KdSettings) else KdSettings())


@contextmanager
def named(name: str) -> Iterator[None]:
    """Whatever fails inside is a plan that can't work, and says in which stage.

    Raises:
        PlanError: With the stage's name.
    """
    try:
        yield
    except (InputError, MissingError, DiskFullError):
        raise
    except (PlanError, StageError) as error:
        said = error.message.removeprefix(f"{name.partition('-')[2]}: ")
        message = said if said.startswith(name) else f"{name}: {said}"
        if isinstance(error, PlanError):
            error.message, error.args = message, (message,)
            raise
        raise PlanError(message, error.hint) from error
    except (Exception, SystemExit) as error:
        raise PlanError(
            f"{name} fails on this network: {reason_of(error)}",
            f"--without {name.partition('-')[2]}, or change what it names in the network's code",
        ) from error


def _check_size(reference: TorchModel) -> None:
    """The reference is measured as a file in float32, before anything is made smaller."""
    # Tied weights are one tensor.
    held = sum(4 * tensor.numel() for tensor in [*reference.module.parameters(), *reference.module.buffers()])
    if held >= LARGEST_FILE:
        raise PlanError(
            f"{reference.info.source or 'the network'} holds {held / 1e9:.1f} GB in float32, and an ONNX file "
            f"{LARGEST_FILE / 1e9:.1f} GB at most: it can't be measured as one",
            "a smaller network of its family, with this one as --teacher",
        )


def _try_step(made: Rehearsal, stage: Stage, ctx: RunContext) -> None:
    """Forward, loss against the teachers and backward of a copy, on a few samples."""
    train, kd = training_of(stage)
    if train is None or not made.trainings or not isinstance(made.model, (TorchModel, QuantizedModel)):
        return
    ctx = replace(ctx, data=ctx.data.seen_by(made.model.info.tokenizer))
    module = copy_of(made.model.module).to(ctx.device).train()
    objective = Distillation(ctx, kd, module, train.channels_last)
    try:
        batch = next(ctx.data.training_batches(min(TRIED, train.batch_size), ctx.seed, epoch=0))
        objective.helpers.to(ctx.device)
        objective(module, batch.to(ctx.device), 0.0).total.backward()
    finally:
        objective.close()


def _with_export(last: Rehearsed, form: TorchModel | QuantizedModel, job: Job, folder: Path) -> Rehearsed:
    """The last stage with what its file says, which is measured even where no stage exports."""
    ctx = job.context(folder, (), info=form.info)
    inputs = ctx.task.example_inputs(ctx.data, max(2, ctx.target.batch_size))
    start = time.perf_counter()
    exported = export_onnx(form, folder / "model.onnx", inputs, opset=ctx.target.opset)
    notes = [*last.rehearsal.notes, *try_file(form, exported, inputs)]
    seconds = last.seconds + time.perf_counter() - start
    return replace(last, rehearsal=replace(last.rehearsal, notes=notes), seconds=seconds)
