"""What a batch means: forward, loss, the logits to distil, the score. One file a task."""

import contextlib
import functools
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from compressor.data import Batch, Data
from compressor.errors import InputError, PlanError, did_you_mean
from compressor.models import InputSpec
from compressor.tasks.modality import IMAGES, Modality
from compressor.user_code import called

AnswerKind = Literal["classes", "values", "vectors"]


@dataclass(frozen=True, slots=True)
class Score:
    """A score on one split.

    ``per_sample`` holds each sample's contribution (1.0 or 0.0 for accuracy), so that two models on
    the same samples can be compared in pairs; None where a score isn't a mean over samples.
    """

    value: float
    stderr: float
    per_sample: npt.NDArray[np.float64] | None = None
    others: dict[str, float] = field(default_factory=dict)
    per_class: dict[str, float] = field(default_factory=dict)


@contextlib.contextmanager
def in_mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Put a network into a mode for a while; each submodule is in its own again afterwards."""
    # A frozen script has no modes.
    modes = {child: child.training for child in module.modules() if hasattr(child, "training")}
    module.train(training)
    try:
        yield
    finally:
        for child, mode in modes.items():
            child.training = mode


class Task(ABC):
    """One kind of job a network does. Instances are immutable and cheap."""

    name: ClassVar[str]
    # What kind of input its samples are, and all that follows from that.
    modality: ClassVar[Modality] = IMAGES
    # What an answer is, which chooses the loss between two of them: logits of classes, numbers to be met, or vectors
    # of length 1 that are compared with one another.
    answers: ClassVar[AnswerKind] = "classes"
    # How many axes a network's output has.
    rank: ClassVar[int] = 2
    # How messages call an input's axes, and what else could be typed.
    axes: ClassVar[str] = "one sample"
    remedy: ClassVar[str] = "data that the network was made for"
    score_name: str
    higher_is_better: bool = True
    loss_name: str = ""
    # Whether the loss is the user's, and may be meant for something else than logits.
    own_loss: bool = False

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the network is called with for a batch."""
        return batch.inputs

    def forward(self, module: Callable[..., Tensor], batch: Batch) -> Tensor:
        """The outputs of a network, or of whatever is called as one, for a batch; the first axis is its samples."""
        return module(*self.inputs(batch))

    def call(self, batch: Batch) -> tuple[Tensor, ...]:
        """One call as the network's users make it, with as many rows as the batch has samples."""
        return self.inputs(batch)

    def mask(self, batch: Batch) -> Tensor | None:
        """Which tokens of a batch are no padding, (N, tokens); None where samples are all of one size."""
        return None

    def counted(self, batch: Batch) -> Tensor | None:
        """Which rows of the answers are compared, bool (N, rows); None where each sample has one row."""
        return None

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss against the labels, a scalar."""

    @abstractmethod
    def logits(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The answers: what of a batch's outputs is scored and distilled, (N, classes) or (N, rows, classes)."""

    @abstractmethod
    def score(self, outputs: npt.NDArray[np.float32], labels: npt.NDArray[Any], data: Data) -> Score:
        """The score of ``logits`` over a whole split."""

    @abstractmethod
    def check(self, module: nn.Module, data: Data) -> None:
        """Refuse labels or shapes that the network can't take, before any training.

        Raises:
            DataError: Naming what doesn't fit.
            PlanError: The network can't take the data, or gives something else than the task's answers.
        """

    def trial(self, module: nn.Module, data: Data) -> Tensor:
        """What a network gives for two real samples; its mode is restored.

        Raises:
            PlanError: The network can't take them.
        """
        batch = data.batch("train", torch.arange(min(2, len(data.train))))
        with in_mode(module, training=False):
            outputs: Tensor = self.attempt(lambda: self.forward(module, batch), batch, data)
        return outputs

    def attempt(self, call: Callable[[], Any], batch: Batch, data: Data, who: str = "the network") -> Any:
        """What a call of a network gives, without gradients; whatever the network's own code does there is caught.

        Raises:
            PlanError: It raises or ends the process, with the line that does.
        """
        shape = tuple(batch.inputs[0].shape[1:])
        what = f"{who} can't take this data: an input of shape {shape} ({self.axes}) from '{data.source}' fails with"
        with called(what, self.remedy, PlanError), torch.no_grad():
            return call()

    def input_specs(self, data: Data) -> tuple[InputSpec, ...]:
        """What a network for this data expects of one sample."""
        return self.modality.specs(self.example_inputs(data, 1), data)

    def example_inputs(self, data: Data, count: int = 2) -> tuple[Tensor, ...]:
        """Real inputs from the training split, ``count`` of them, on the CPU."""
        return self.call(data.batch("train", torch.arange(min(count, len(data.train)))))


class ScoredTask(Task):
    """A task with several scores of which one leads, and a loss that may be the user's own.

    Args:
        score: Which of ``scores`` leads, the first if none; the others are in the report too.
        loss: In place of ``usual_loss``.

    Raises:
        InputError: No such score.
    """

    scores: ClassVar[tuple[str, ...]]
    usual_loss: ClassVar[Callable[..., Tensor]]

    def __init__(self, score: str | None = None, loss: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        if score is not None and score not in self.scores:
            known = ", ".join(self.scores)
            raise InputError(f"no score '{score}'{did_you_mean(score, self.scores)}", f"one of: {known}")
        self.score_name = score or self.scores[0]
        self._loss: Callable[[Tensor, Tensor], Tensor] = loss or self.usual_loss
        self.own_loss = loss is not None
        self.loss_name = getattr(self._loss, "__qualname__", type(self._loss).__name__)


@functools.cache
def task_classes() -> dict[str, type[Task]]:
    """Every task by its name: each module of this package may have some."""
    found: dict[str, type[Task]] = {}
    for module in sorted(one.name for one in pkgutil.iter_modules(__path__)):
        loaded = importlib.import_module(f"{__name__}.{module}")
        for kind in vars(loaded).values():
            named = isinstance(kind, type) and issubclass(kind, Task) and hasattr(kind, "name")
            if named and kind.__module__ == loaded.__name__:
                found[kind.name] = kind
    return found


def modalities() -> dict[str, Modality]:
    """Every kind of input by its name."""
    return {kind.modality.name: kind.modality for kind in task_classes().values()}


def modality_of(task: str) -> Modality:
    """The kind of input that a task's samples are.

    Raises:
        InputError: No such task.
    """
    return _class_of(task).modality


def make_task(name: str, score: str | None = None, loss: Callable[..., Any] | None = None) -> Task:
    """The task of that name.

    Args:
        name: One of ``task_classes``: ``"image-classification"``, ``"text-classification"``, ...
        score: Which score leads; the task's first where None.
        loss: ``loss(outputs, labels)`` in place of the task's own.

    Raises:
        InputError: No such task or score.
    """
    return _class_of(name)(score=score, loss=loss)  # type: ignore[call-arg]


def _class_of(name: str) -> type[Task]:
    tasks = task_classes()
    if name not in tasks:
        known = ", ".join(sorted(tasks))
        raise InputError(f"no task '{name}'{did_you_mean(name, tasks)}", f"--task with one of: {known}")
    return tasks[name]
