"""What every stage is handed: the run's facts, frozen, and the record of what a clock decided."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from compressor.data import Data
from compressor.digests import seal
from compressor.errors import InputError
from compressor.models import Form, TorchModel
from compressor.reading import read_json
from compressor.target import Budget, Prefer, Target
from compressor.tasks import Task

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of where a stage is. Numbers that aren't known yet are None.

    ``loss`` is the mean over the steps since the last report, ``score`` the validation score of the
    last finished epoch; ``message`` stands alone where there is no count. ``row`` is there in the report that ends an
    epoch: means of the loss and of its terms, the score, seconds.
    """

    what: str
    step: int = 0
    steps: int = 0
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    score: float | None = None
    samples_per_second: float | None = None
    seconds_left: float | None = None
    message: str = ""
    row: dict[str, float] | None = None


ShowProgress = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Ignore progress reports."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model whose outputs the student learns from, and its share in the mean of logits."""

    model: Form
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Decisions:
    """Choices that a clock made, written the moment they are made and read back on resume.

    The file is a JSON object ``{name: {"value": ..., "setting": ..., "reason": ...}}`` with its own digest under
    ``"seal"``; ``setting`` is what pins it, ``reason`` is there where one was given.
    """

    path: Path

    def read(self) -> dict[str, dict[str, Any]]:
        """All decisions so far.

        Raises:
            InputError: The file is damaged, or isn't what was written.
        """
        if not self.path.exists():
            return {}
        hint = "delete the file: what it holds is decided anew"
        decisions: dict[str, Any] = read_json(self.path, dict, hint)
        if decisions.pop("seal", None) != seal(decisions):
            raise InputError(f"{self.path} is not what was written there", hint)
        return decisions

    def settle(self, name: str, decide: Callable[[], T], setting: str) -> T:
        """The recorded value of ``name``, or what ``decide()`` gives, recorded.

        Args:
            name: What is decided, ``"precision"``.
            decide: Makes the choice; its value must survive JSON.
            setting: What to type to pin the choice, ``"train.precision=bf16"``.
        """
        return self.settle_because(name, lambda: (decide(), ""), setting)[0]

    def settle_because(self, name: str, decide: Callable[[], tuple[T, str]], setting: str) -> tuple[T, str]:
        """As ``settle``, of a choice that has a reason; both are recorded and given back."""
        known = self.read()
        if name not in known:
            value, reason = decide()
            known[name] = {"value": value, "setting": setting, **({"reason": reason} if reason else {})}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_suffix(".tmp")
            partial.write_text(json.dumps({**known, "seal": seal(known)}, indent=2))
            os.replace(partial, self.path)
            return value, reason
        return known[name]["value"], known[name].get("reason", "")

    def reasons(self) -> list[str]:
        """A line for each decision that has a reason, for the report."""
        return [
            f"{name} = {json.dumps(made['value']).strip(chr(34))}: {made['reason']} ({made['setting']} pins it)"
            for name, made in self.read().items()
            if "reason" in made
        ]


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run's facts. A stage reads them and changes none.

    Args:
        task: What a batch means.
        data: The three splits.
        target: The device.
        reference: The untouched input model: the yardstick, and the teacher unless others are given.
        workdir: The stage's own folder; it writes nowhere else but into ``shared``.
        budget: What the last artifact may cost.
        teachers: Whose outputs are distilled; empty in the control arm, which trains on labels alone.
        student: The network that ``distill`` trains, already built, or None where the stage chooses.
        device: A torch device, ``"cpu"`` or ``"cuda"``.
        seed: Seeds data order, augmentation and fresh weights.
        prefer: What the run's file is chosen by, speed or size: the export stage's setting.
        control: Whether stages also run their own control comparisons.
        shared: A folder of the run for what several stages use and can be made again; None for ``workdir``.
        progress: Called with reports while a stage works.
    """

    task: Task
    data: Data
    target: Target
    reference: TorchModel
    workdir: Path
    budget: Budget = field(default_factory=Budget)
    teachers: tuple[Teacher, ...] = ()
    student: TorchModel | None = None
    device: str = "cpu"
    seed: int = 0
    prefer: Prefer = "speed"
    control: bool = False
    shared: Path | None = None
    progress: ShowProgress = field(default=silent)

    @property
    def shared_folder(self) -> Path:
        """Where caches go."""
        return self.shared or self.workdir

    @property
    def decisions(self) -> Decisions:
        """What a clock decided in this stage."""
        return Decisions(self.workdir / "decisions.json")
