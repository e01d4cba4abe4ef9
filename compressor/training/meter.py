"""What a training has to say while it runs, read from the device as seldom as a report is due."""

import time
from dataclasses import replace

import torch
from torch import Tensor

from compressor.context import Progress, RunContext
from compressor.training.objective import Loss
from compressor.training.settings import TrainSettings

REPORT_SECONDS = 1.0


def reads_at_once(device: str) -> bool:
    """Whether a value is read from a device without a wait for what it has yet to compute."""
    return device == "cpu"


class Meter:
    """Counts steps and reports at most once a second: mean loss, throughput, time left.

    On a CPU each loss is read at once. Elsewhere reading waits for the device, so losses stay there until a report
    is due or the epoch ends, and a loss that isn't finite is found then, with the step that it was of.

    Args:
        ctx: Gives device and progress.
        name: The training's.
        settings: Epochs and batch size.
        steps_per_epoch: So many.
        samples: Of the training split.

    Attributes:
        step: Of this epoch, counted so far.
        norms: Of each term's gradient in the epoch's first step.
    """

    def __init__(self, ctx: RunContext, name: str, settings: TrainSettings, steps_per_epoch: int, samples: int) -> None:
        self._ctx, self._name, self._settings = ctx, name, settings
        self._steps_per_epoch = steps_per_epoch
        self._batch = min(settings.batch_size, samples)
        self._at_once = reads_at_once(ctx.device)
        self.step = 0
        self._epoch = 0
        self._score: float | None = None

    def start_epoch(self, epoch: int) -> None:
        """Begin to count anew."""
        self._epoch, self.step = epoch, 0
        self.norms: dict[str, float] = {}
        self._started = self._reported = time.perf_counter()
        self._sums: dict[str, float] = {}
        self._unread: list[dict[str, Tensor]] = []

    def count(self, loss: Loss) -> None:
        """Take note of a step's loss.

        Raises:
            NotFiniteError: This loss or, where they are read later, one before it.
        """
        self._unread.append({"loss": loss.total.detach(), **{key: term.detach() for key, term in loss.terms.items()}})
        self.step += 1
        due = time.perf_counter() - self._reported >= REPORT_SECONDS
        if self._at_once or due:
            self.read()
        if due:
            self._report()

    def read(self) -> None:
        """Add up what was noted since the last time, with one wait for the device.

        Raises:
            NotFiniteError: A loss isn't finite.
        """
        unread, self._unread = self._unread, []
        first = self.step - len(unread)
        # Numbers of a GPU have at most fp32; not every device has more.
        exact = torch.float64 if self._at_once else torch.float32
        flat = [value.to(exact).reshape(()) for row in unread for value in row.values()]
        numbers = iter(torch.stack(flat).tolist() if flat else [])
        for place, row in enumerate(unread):
            values = {key: next(numbers) for key in row}
            if not abs(values["loss"]) < float("inf"):
                raise NotFiniteError(first + place, {key: values[key] for key in row if key != "loss"})
            for key, value in values.items():
                self._sums[key] = self._sums.get(key, 0.0) + value

    def end_epoch(self, score: float) -> dict[str, float]:
        """Report the epoch's end; gives it in numbers."""
        self._score = score
        row = self.row(score)
        self._report(row)
        return row

    def repeat(self, history: list[dict[str, float]]) -> None:
        """Report the ends of epochs that are gone on from: who follows a training hears all of its scores."""
        for epoch, row in enumerate(history, 1):
            said = Progress(self._name, self._steps_per_epoch, self._steps_per_epoch, epoch, self._settings.epochs)
            self._ctx.progress(replace(said, loss=row["loss"], score=row["score"]))

    def row(self, score: float) -> dict[str, float]:
        """The epoch in numbers."""
        means = {key: total / self.step for key, total in self._sums.items()}
        norms = {f"gradient of {key}": norm for key, norm in self.norms.items()}
        return {**means, **norms, "score": score, "seconds": time.perf_counter() - self._started}

    def _report(self, row: dict[str, float] | None = None) -> None:
        self._reported = time.perf_counter()
        per_step = (self._reported - self._started) / max(1, self.step)
        total = self._settings.epochs * self._steps_per_epoch
        left = total - self._epoch * self._steps_per_epoch - self.step
        self._ctx.progress(
            Progress(
                what=self._name,
                step=self.step,
                steps=self._steps_per_epoch,
                epoch=self._epoch + 1,
                epochs=self._settings.epochs,
                loss=self._sums.get("loss", 0.0) / max(1, self.step),
                score=self._score,
                samples_per_second=self._batch / per_step if per_step else None,
                seconds_left=left * per_step,
                row=row,
            )
        )


class NotFiniteError(ArithmeticError):
    """A loss that isn't finite: of which step of the epoch, from 0, and its terms."""

    def __init__(self, step: int, terms: dict[str, float]) -> None:
        super().__init__(f"step {step}: {terms}")
        self.step, self.terms = step, terms
