"""The pre-flight: everything that can be known to fail, before anything is trained."""

import copy
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from compressor.context import RunContext
from compressor.distill import Distillation, KdSettings
from compressor.errors import PlanError
from compressor.models import FORM_NAMES, TorchModel
from compressor.pipeline.job import Job, prepared
from compressor.profile import chain_faults

PROBE_STEPS = 3


@dataclass(frozen=True)
class PlanLine:
    """One stage of the plan.

    Args:
        name: ``"02-prune"``.
        kind: ``"prune"``.
        accepts: The forms it takes, in words.
        produces: The form it gives.
        notes: What the stage found out about this model.
    """

    name: str
    kind: str
    accepts: str
    produces: str
    notes: list[str]


@dataclass(frozen=True)
class Plan:
    """A run that was checked.

    Args:
        lines: One per stage.
        notes: About the data and the run.
        seconds: Training time at most, from the reference's own step time; None without training.
        memory_bytes: Peak memory of the process after such a step.
    """

    lines: list[PlanLine]
    notes: list[str]
    seconds: float | None
    memory_bytes: int | None


def plan(job: Job) -> Plan:
    """Check a run without training: forms chain, data fits, every stage can do what it is set to.

    Raises:
        PlanError: The stages don't chain, or one can't do its work on this model.
        DataError: The data doesn't fit the network.
    """
    job = prepared(job)
    lines = check(job)
    seconds, memory = _estimate(job)
    return Plan(lines, list(job.data.notes), seconds, memory)


def check(job: Job) -> list[PlanLine]:
    """The checks of ``plan`` on a prepared job, without the estimate."""
    faults = chain_faults(job.profile)
    if faults:
        raise PlanError("the stages don't chain:\n  " + "\n  ".join(faults), "compress stages list")
    job.task.check(job.model.module, job.data)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        ctx = job.context(Path(folder), job.all_teachers)
        for index, stage in enumerate(job.stages, 1):
            probe = replace(job.model, module=copy.deepcopy(job.model.module))
            lines.append(
                PlanLine(
                    name=f"{index:02d}-{stage.kind}",
                    kind=stage.kind,
                    accepts=stage.accepted_names(),
                    produces=FORM_NAMES[stage.produces],
                    notes=stage.check(probe, ctx),
                )
            )
    return lines


def _estimate(job: Job) -> tuple[float | None, int | None]:
    """An upper bound: every epoch at the cost of the reference's own step with its teacher."""
    trained = [train for stage in job.stages if (train := getattr(stage, "train", None)) is not None]
    if not trained:
        return None, None
    with tempfile.TemporaryDirectory() as folder:
        ctx = job.context(Path(folder), job.all_teachers)
        step = _seconds_per_step(job.model, ctx, trained[0].batch_size)
    steps = sum(train.epochs * job.data.steps_per_epoch(train.batch_size) for train in trained)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return steps * step * job.seeds, peak


def _seconds_per_step(model: TorchModel, ctx: RunContext, batch_size: int) -> float:
    module = copy.deepcopy(model.module).to(ctx.device).train()
    objective = Distillation(ctx, KdSettings(), module)
    batch = next(ctx.data.training_batches(batch_size, ctx.seed, epoch=0)).to(ctx.device)
    times = []
    with torch.random.fork_rng():
        for _ in range(PROBE_STEPS):
            start = time.perf_counter()
            objective(module, batch, 0.0).total.backward()
            times.append(time.perf_counter() - start)
    return statistics.median(times)
