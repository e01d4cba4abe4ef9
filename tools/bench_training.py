"""What the training loop costs beyond its arithmetic: a step of ``fit`` with distillation against a bare loop's.

    OMP_NUM_THREADS=1 python tools/bench_training.py

Both do the same forward passes, losses, autocast and clipping on Fashion-MNIST batches from the same reader, a
ResNet-18 teaching a narrow one. Steps alternate in pairs whose order is swapped each time; the figure is the ratio of
the median CPU times of the process, on one thread. The bare loop against itself, paired in the same way, shows what
the ratio is worth.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from bench_vision import FACTORY, INPUT, TASK
from torch import Tensor, nn
from torch.nn import functional

from compressor.context import RunContext, Teacher
from compressor.data import Augment, Batch
from compressor.data.load import load_data
from compressor.distill import Distillation, KdSettings
from compressor.factories import build
from compressor.models import FactoryRef, ModelInfo, TorchModel
from compressor.target import Target
from compressor.tasks import make_task
from compressor.training import Loss, TrainSettings, fit

SETTINGS = TrainSettings(epochs=1, precision="bf16")
KD = KdSettings()
WARM_UP = 10
Step = Callable[[], None]


class EnoughError(Exception):
    """Ends a training that has been measured."""


class Pairs:
    """CPU seconds of two kinds of step, taken in turn: first, second, second, first, first, ..."""

    def __init__(self, pairs: int) -> None:
        self.wanted = pairs
        self.seconds: tuple[list[float], list[float]] = ([], [])

    @property
    def full(self) -> bool:
        """Whether every pair has been taken."""
        return all(len(times) >= WARM_UP + self.wanted for times in self.seconds)

    def timed(self, which: int, step: Step) -> None:
        """Run a step and note its time."""
        start = time.process_time()
        step()
        self.seconds[which].append(time.process_time() - start)

    def ratio(self) -> tuple[float, float]:
        """Median of the first over median of the second, and a standard error from ten blocks of pairs."""
        first, second = (times[WARM_UP : WARM_UP + self.wanted] for times in self.seconds)
        size = max(1, self.wanted // 10)
        blocks = [
            statistics.median(first[at : at + size]) / statistics.median(second[at : at + size])
            for at in range(0, self.wanted, size)
        ]
        error = statistics.stdev(blocks) / len(blocks) ** 0.5 if len(blocks) > 1 else float("nan")
        return statistics.median(first) / statistics.median(second), error


def bare_step(student: nn.Module, teacher: nn.Module, batches: Iterator[Batch], steps: int) -> Step:
    """One step as anyone would write it."""
    student = copy.deepcopy(student).to(memory_format=torch.channels_last).train()
    teacher = copy.deepcopy(teacher).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(student.parameters(), lr=SETTINGS.lr, weight_decay=SETTINGS.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, SETTINGS.lr, total_steps=steps)

    def step() -> None:
        batch = next(batches)
        images: Tensor = batch.inputs[0].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = student(images)
            with torch.no_grad():
                wanted = teacher(images)
            soft = functional.kl_div(
                functional.log_softmax(logits.float() / KD.temperature, -1),
                functional.log_softmax(wanted.float() / KD.temperature, -1),
                reduction="batchmean",
                log_target=True,
            )
            hard = functional.cross_entropy(logits, batch.labels)
            loss = (1 - KD.alpha) * hard + KD.alpha * KD.temperature**2 * soft
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), SETTINGS.clip_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def against_itself(bare: Step, again: Step, pairs: int) -> Pairs:
    """The bare loop in both places."""
    taken = Pairs(pairs)
    for number in range(WARM_UP + pairs):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            taken.timed(which, (bare, again)[which])
    return taken


def against_fit(student: nn.Module, ctx: RunContext, bare: Step, pairs: int) -> Pairs:
    """The steps of ``fit``, from one call of its objective to the next, with bare steps in between."""
    taken = Pairs(pairs)
    objective = Distillation(ctx, KD, student)
    resumed: float | None = None

    def interrupted(module: nn.Module, batch: Batch, progress: float) -> Loss:
        nonlocal resumed
        if resumed is not None:
            taken.seconds[0].append(time.process_time() - resumed)
        # fit, bare, bare, fit, fit, bare, bare, ...
        for _ in range(2 if len(taken.seconds[0]) % 2 else 0):
            taken.timed(1, bare)
        if taken.full:
            raise EnoughError
        resumed = time.process_time()
        return objective(module, batch, progress)

    try:
        fit(student, ctx, SETTINGS, interrupted)
    except EnoughError:
        return taken
    raise RuntimeError("the training split has too few batches for so many pairs")


def main() -> None:
    """Print both ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--width", type=int, default=24, help="of the student; the teacher has 64")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = load_data("fashion-mnist", inputs=INPUT)
    teacher = TorchModel(build(FACTORY).eval(), ModelInfo(factory=FACTORY, inputs=(INPUT,)))
    narrow = {**FACTORY.arguments, "width": arguments.width}
    student = build(FactoryRef(reference=FACTORY.reference, arguments=narrow))
    augment = Augment(SETTINGS.crop, data.flip)
    steps = data.steps_per_epoch(SETTINGS.batch_size)

    def bare() -> Step:
        return bare_step(student, teacher.module, data.training_batches(SETTINGS.batch_size, 0, 0, augment), steps)

    with tempfile.TemporaryDirectory() as folder:
        ctx = RunContext(
            task=make_task(TASK),
            data=data,
            target=Target(runtime="onnxruntime"),
            reference=teacher,
            teachers=(Teacher(teacher),),
            workdir=Path(folder),
        )
        same = against_itself(bare(), bare(), arguments.pairs)
        ours = against_fit(copy.deepcopy(student), ctx, bare(), arguments.pairs)
    print("| pair | ratio of median CPU times | ms a step |\n| --- | --- | --- |")
    for name, taken in (("bare / bare", same), ("fit / bare", ours)):
        ratio, error = taken.ratio()
        medians = " / ".join(f"{1000 * statistics.median(times):.1f}" for times in taken.seconds)
        print(f"| {name} | {ratio:.4f} ± {error:.4f} | {medians} |")


if __name__ == "__main__":
    main()
