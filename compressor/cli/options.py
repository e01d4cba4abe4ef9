"""The options that several commands share, and the job they describe."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from compressor import registry
from compressor.assignments import parse_assignments
from compressor.cli.completion import PROFILE_OPTION
from compressor.cli.goals import GOAL_OPTIONS, goals_of
from compressor.errors import InputError

if TYPE_CHECKING:
    from compressor.data import Data
    from compressor.models import Form, TorchModel
    from compressor.pipeline import Job

# More would be a slip of the keys: each is a whole run.
MOST_SEEDS = 1000
Command = TypeVar("Command", bound=Callable[..., Any])


def _checked_seed(ctx: click.Context, option: click.Parameter, seed: int) -> int:
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed {str(seed)[:20]}: wanted 0 to {2**32 - 1}", "--seed 0")
    return seed


MODEL_OPTIONS = (
    click.option("--data", metavar="SPEC", help="Data spec; without it, the one in the model file."),
    click.option("--data-arg", "data_args", multiple=True, metavar="K=V", help="Argument of the data source."),
    click.option("--task", metavar="NAME", help="What the network does; without it, as the model file says."),
    click.option("--factory", metavar="MODULE:CALLABLE", help="What builds the network of a bare state_dict."),
    click.option("--factory-arg", "factory_args", multiple=True, metavar="K=V", help="Argument of the factory."),
    click.option(
        "--output", default="", metavar="KEY", help="Which part of its output the logits are: logits, 0; else as told."
    ),
    click.option("--trust", is_flag=True, help="Load files that run code when they are read (pickles)."),
    click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1."),
    click.option(
        "--seed",
        default=0,
        callback=_checked_seed,
        show_default=True,
        help="Seeds data order, augmentation and fresh weights.",
    ),
)
JOB_OPTIONS = (
    PROFILE_OPTION,
    *MODEL_OPTIONS,
    click.option("--teacher", "teachers", multiple=True, metavar="FILE[@WEIGHT]", help="Distil from this instead."),
    click.option(
        "--unlabeled", metavar="SPEC", help="More inputs, without labels: a folder of images, a table of texts, ..."
    ),
    click.option("--student", metavar="SPEC|FILE", help="The network to distil into: same, auto, a factory, a file."),
    click.option("--out", metavar="DIR", help="The run's folder; runs/<model>-<profile> if not given."),
    click.option("--set", "overrides", multiple=True, metavar="K=V", help="Change the profile: prune.ratio=0.5."),
    click.option("--quick", is_flag=True, help="Little data and few epochs; marked so in the report."),
    click.option(
        "--control",
        multiple=True,
        metavar="[KIND]",
        help="Everything once more without distillation, for comparison; with KIND only that stage.",
    ),
    click.option("--seeds", default=1, show_default=True, metavar="N", help="Run N seeds and report their mean."),
    click.option("--stop-before", metavar="KIND", help="Leave out this stage and all after it."),
    click.option("--without", multiple=True, metavar="KIND", help="Leave out this stage alone."),
    click.option("--fresh", is_flag=True, help="Redo every stage, whatever is cached."),
    *GOAL_OPTIONS,
)


class ControlCommand(click.Command):
    """A command whose ``--control`` may stand alone: what follows is its value only if it names a stage."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell a bare ``--control`` out before the rest is parsed."""

        def next_of(place: int) -> str:
            return args[place + 1] if place + 1 < len(args) else ""

        spelled = [
            "--control=run" if arg == "--control" and next_of(place) not in registry.kinds() else arg
            for place, arg in enumerate(args)
        ]
        return super().parse_args(ctx, spelled)


def add_options(options: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    """A decorator that adds these options to a command, in this order."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@dataclass(frozen=True)
class ModelOptions:
    """A model file and the data to use it with, as typed."""

    model: str
    data: str | None
    data_args: tuple[str, ...]
    task: str | None
    factory: str | None
    factory_args: tuple[str, ...]
    output: str
    trust: bool
    device: str
    seed: int

    def load_model(self) -> Form:
        """Read the model file."""
        from compressor.loading import load_file
        from compressor.reading import placed

        return load_file(
            placed(self.model, "model", "the path of a model file"),
            factory=self.factory,
            factory_args=parse_assignments(self.factory_args, "--factory-arg"),
            task=self.task,
            trust=self.trust,
        )

    def load_data(self, model: Form) -> Data:
        """Read the data: the spec that was typed, else the one that the model names.

        Raises:
            InputError: Neither says which data.
        """
        from compressor.data import fitted
        from compressor.tasks import modality_of

        args = parse_assignments(self.data_args, "--data-arg")
        if self.data is None and model.info.data is None:
            raise InputError(
                f"which data? {self.model} names none",
                "--data digits, a folder of train/ and test/, FILE.npz, fashion-mnist or package.module:factory",
            )
        spec = self.data or model.info.data or ""
        if self.data is None:
            args = {**model.info.data_args, **args}
        modality = modality_of(self.task or model.info.task)
        return fitted(modality.read(spec, args, model.info, self.seed), model.info)


@dataclass(frozen=True)
class JobOptions(ModelOptions):
    """A whole run, as typed."""

    profile: str
    teachers: tuple[str, ...]
    unlabeled: str | None
    student: str | None
    out: str | None
    overrides: tuple[str, ...]
    quick: bool
    control: tuple[str, ...]
    seeds: int
    stop_before: str | None
    without: tuple[str, ...]
    fresh: bool
    max_drop: str | None
    max_size: str | None
    max_latency: str | None
    max_params: str | None
    max_macs: str | None
    minimize: str | None
    maximize: str | None
    hours: str | None
    confidence: str | None

    def job(self, command: str) -> Job:
        """Read everything the options name; the profile first, since it is read in no time."""
        from compressor.models import TorchModel
        from compressor.pipeline import Job
        from compressor.profile import load_profile
        from compressor.reading import placed
        from compressor.tasks import make_task

        profile = load_profile(self.profile, self.overrides)
        profile = replace(profile, budget=goals_of(vars(self), profile.budget))
        out = (
            placed(self.out, "--out", "another --out")
            if self.out
            else Path("runs") / f"{Path(self.model).stem}-{profile.name}"
        )
        check_writable(out)
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise InputError(f"--seeds {self.seeds}: wanted 1 to {MOST_SEEDS}", "--seeds 3")
        model = self.load_model()
        if not isinstance(model, TorchModel):
            raise InputError(
                f"{self.model} holds a finished {type(model).__name__}, which can't be compressed further",
                f"compress measure {self.model}, or give the torch checkpoint it was made from",
            )
        data = self.load_data(model)
        task = make_task(self.task or model.info.task)
        if self.unlabeled is not None:
            typed = parse_assignments(self.data_args, "--data-arg")
            columns = {name: column for name, column in typed.items() if name in ("text", "pair", "tokens")}
            data = task.modality.read_unlabeled(data, self.unlabeled, columns, seed=self.seed)
        return Job(
            model=model,
            data=data,
            profile=profile,
            task=task,
            out=out,
            teachers=tuple(self._teacher(text, task.name) for text in self.teachers),
            student=self._student(task.name),
            seed=self.seed,
            seeds=self.seeds,
            device=self.device,
            quick=self.quick,
            control=self.control,
            stop_before=self.stop_before,
            without=self.without,
            fresh=self.fresh,
            command=command,
            output=self.output,
        )

    def _teacher(self, text: str, task: str) -> Any:
        from compressor.context import Teacher
        from compressor.loading import load_file
        from compressor.reading import placed

        path, weight = split_weight(text)
        placed(str(path), "--teacher", "--teacher with the path of a model file")
        return Teacher(load_file(path, task=task, trust=self.trust), weight)

    def _student(self, task: str) -> TorchModel | str | None:
        from compressor.reading import placed

        if self.student is None or not placed(self.student, "--student", "--student auto").exists():
            return self.student
        from compressor.loading import load_file
        from compressor.models import TorchModel

        loaded = load_file(Path(self.student), task=task, trust=self.trust)
        if not isinstance(loaded, TorchModel):
            raise InputError(
                f"--student {self.student}: a {type(loaded).__name__} can't be trained", "--student with a checkpoint"
            )
        return loaded


def split_weight(text: str) -> tuple[Path, float]:
    """``FILE[@WEIGHT]`` as a path and a weight; 1 where there is none.

    Raises:
        InputError: The weight isn't a positive number.
    """
    path, at, weight = text.rpartition("@")
    if not at or Path(text).exists():
        return Path(text), 1.0
    try:
        value = float(weight)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"--teacher {text}: got the weight '{weight}', wanted a number above 0", f"--teacher {path}@1")
    return Path(path), value


def check_writable(folder: Path) -> None:
    """Refuse a folder that can't be written to, before any work and without leaving anything.

    Raises:
        InputError: Saying what is in the way.
    """
    ancestor = folder.absolute()
    while not ancestor.exists() and not ancestor.is_symlink():
        ancestor = ancestor.parent
    hint = "--out with a folder that can be written to"
    if not ancestor.is_dir():
        raise InputError(f"can't write to {folder}: {ancestor} is not a folder", hint)
    try:
        handle, probe = tempfile.mkstemp(prefix=".compress-", dir=ancestor)
    except OSError as error:
        raise InputError(f"can't write to {folder}: {error.strerror} in {ancestor}", hint) from None
    os.close(handle)
    Path(probe).unlink()
