"""What a run will take: time and memory, from a few steps of each stage's network as the rehearsal made it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from compressor.context import RunContext
from compressor.copies import copy_of
from compressor.data import Batch
from compressor.distill import Distillation, KdSettings
from compressor.measure.snapshot import PARITY_SAMPLES
from compressor.memory import peak_memory
from compressor.models import QuantizedModel, TorchForm, TorchModel
from compressor.pipeline.foresight import repeats
from compressor.pipeline.job import WHOLE_RUN, Job
from compressor.pipeline.rehearsal import Rehearsed, training_of
from compressor.training import TrainSettings
from compressor.training.kernels import has_bf16_kernels
from compressor.training.layout import Layout, choose_layout
from compressor.training.precision import autocast
from compressor.training.probe import Allowance, seconds_of

# Of a file's latency against the reference's, and of the export stage's int8 against fp32.
SECONDS_OF_A_TIMING = 3.0
# For all timed steps together. It is a plan's: who reads it waits for it.
PROBE_SECONDS = 4.0
# What a calibrated or scored network adds to its largest layer while it is called: the layer's input, and its own copy.
LIVE_LAYERS = 3


@dataclass(frozen=True)
class Cost:
    """What one stage's network costs.

    Args:
        step: Seconds of a training step; 0 without training.
        precision: The one that it takes so long in.
        sample: Seconds of a sample forward.
        training_bytes: What a step on a whole batch needs beyond what the process holds already.
        scoring_bytes: What scoring needs.
    """

    step: float
    precision: str
    sample: float
    training_bytes: int
    scoring_bytes: int


def estimate(job: Job, rehearsed: list[Rehearsed]) -> tuple[float, int]:
    """Seconds of the whole run and its memory at the highest, in bytes.

    Time is that of every step and every sample that is scored or calibrated with, at the cost of the network as
    it is in that stage, with its teachers, and of what the rehearsal took, which the run does once more; the steps
    that are timed take a few seconds, all stages together.

    Args:
        job: Prepared.
        rehearsed: Its stages.
    """
    held = peak_memory()
    seconds = sum(one.seconds for one in rehearsed)
    highest = held
    export_seconds = rehearsed[-1].seconds if rehearsed else 0.0
    timed = [one for one in rehearsed if isinstance(one.rehearsal.model, (TorchModel, QuantizedModel))]
    test = len(job.data.test)
    known: float | None = None
    precisions: tuple[str, ...] = ("fp32", "bf16")
    for one in timed:
        form = one.rehearsal.model
        assert isinstance(form, (TorchModel, QuantizedModel))
        ctx = job.context(Path(), job.all_teachers, info=form.info)
        most = PROBE_SECONDS / len(timed)
        cost = _cost(form, ctx, *training_of(one.stage), one.rehearsal.trainings, precisions, most)
        if cost.step:
            # The same teachers and mostly the same kernels: what wins once isn't asked again.
            precisions = (cost.precision,)
        train, _ = training_of(one.stage)
        trainings, times = repeats(job, rehearsed.index(one))
        steps = one.rehearsal.trainings * train.epochs * job.data.steps_per_epoch(train.batch_size) if train else 0
        controls = sum(name in (one.stage.kind, WHOLE_RUN) for name in job.control)
        stage = trainings * steps * cost.step + times * (one.rehearsal.forwards * cost.sample + one.seconds)
        measuring = export_seconds + SECONDS_OF_A_TIMING + (test + min(test, PARITY_SAMPLES)) * cost.sample
        # The reference is measured too, before the first stage.
        seconds += (1 + controls) * (stage + measuring) + (measuring if known is None else 0.0)
        known = cost.sample
        highest = max(highest, held + cost.training_bytes, held + cost.scoring_bytes)
    for one in rehearsed:
        if one not in timed:
            # Its file is compared with torch and with float, and measured.
            samples = one.rehearsal.forwards + test
            times = repeats(job, rehearsed.index(one))[1]
            seconds += times * (2 * one.seconds + 2 * SECONDS_OF_A_TIMING + samples * (known or 0.0))
    return seconds * job.seeds, highest


def seconds_of_step(job: Job, train: TrainSettings, kd: KdSettings, most: float) -> float:
    """How long a training step of the untouched network takes with its teachers.

    Args:
        job: Prepared.
        train: Batch size and precision.
        kd: The objective.
        most: Seconds to find out; in too few, small parts of a batch stand for it, which say two or three times what
            a whole one takes.
    """
    ctx = job.context(job.out, job.all_teachers)
    return _cost(job.model, ctx, train, kd, 1, ("fp32", "bf16"), most).step


def _cost(
    form: TorchForm,
    ctx: RunContext,
    train: TrainSettings | None,
    kd: KdSettings,
    trainings: int,
    precisions: tuple[str, ...],
    most: float,
) -> Cost:
    """Of a step in the precision that is the faster, and of a sample."""
    if train is None or not trainings:
        train, trainings = TrainSettings(), 0
    module = copy_of(form.module).train()
    batch = next(ctx.data.training_batches(train.batch_size, ctx.seed, epoch=0))
    layout = Layout(choose_layout(module, ctx, train.channels_last, batch)[0])
    layout.place(module, ctx.device)
    frozen = copy_of(module).eval()
    objective = Distillation(ctx, kd, module, train.channels_last)
    objective.helpers.to(ctx.device)
    if train.precision != "auto" or not has_bf16_kernels(ctx.device):
        precisions = ("fp32",)
    saved = Saved(module)

    def step_in(precision: str) -> Callable[[Batch], None]:
        def step(part: Batch) -> None:
            with saved.watching(len(part.labels)), autocast(ctx.device, precision):
                loss = objective(module, part, 0.0).total
            loss.backward()
            module.zero_grad(set_to_none=True)

        return step

    def score(part: Batch) -> None:
        with torch.no_grad():
            ctx.task.forward(frozen, part)

    works: list[Callable[[Batch], None]] = [score]
    if trainings:
        works += [step_in(precision) for precision in precisions]
    try:
        scored, *steps = (
            seconds_of(work, batch, layout, ctx, Allowance(float("inf"), most / len(works))) for work in works
        )
    finally:
        objective.close()
    size = len(batch.labels)
    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    called_with = ctx.task.modality.evaluation_batch
    return Cost(
        step=min(steps, default=0.0),
        precision=precisions[steps.index(min(steps))] if steps else precisions[0],
        sample=scored / size,
        # Gradients, two moments, the best weights so far and those of the start.
        training_bytes=int((saved.a_sample + LIVE_LAYERS * saved.largest) * size + 5 * weights) if trainings else 0,
        scoring_bytes=int(LIVE_LAYERS * saved.largest * min(called_with, len(ctx.data.validation))),
    )


class Saved:
    """What the autograd graph keeps of a step's forward pass, a sample; looked at in the first step alone.

    Attributes:
        a_sample: Bytes in all.
        largest: Bytes of the largest tensor.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self.a_sample = self.largest = 0.0

    @contextmanager
    def watching(self, samples: int) -> Iterator[None]:
        """Around the forward pass of so many samples."""
        if self.a_sample:
            yield
            return
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield
        for parameter in self._module.parameters():
            sizes.pop(parameter.untyped_storage().data_ptr(), None)
        self.a_sample = sum(sizes.values()) / samples
        self.largest = max(sizes.values(), default=0) / samples
