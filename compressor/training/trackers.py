"""The experiment trackers there are: accelerate's classes for values, each tool's own calls for the rest."""

import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path

from accelerate import tracking as accelerated
from accelerate.state import PartialState

from compressor.errors import InputError, MissingError, did_you_mean
from compressor.extras import require
from compressor.passwords import masked
from compressor.training.mlflow_tracker import MLflow
from compressor.training.tracker import FOREIGN, PATIENCE, PROJECT, Ending, Tracker, key_of, told


class TensorBoard(Tracker):
    """Event files in the run's own folder."""

    module = "tensorboard"

    def start(self, known: str) -> str:
        """A folder for each run: what is logged with other settings isn't drawn into the same curve."""
        place = self.folder / "tensorboard"
        taken = [int(path.name) for path in place.glob("[0-9]*") if path.name.isdecimal()]
        name = known or str(max(taken, default=0) + 1)
        self.inner = accelerated.TensorBoardTracker(name, place)
        self.inner.start()
        return name

    def parameters(self, values: Mapping[str, str]) -> None:
        """As a text: the table of hyperparameters needs the final numbers beside them."""
        rows = (f"| {name} | {value.replace('|', ' ')} |" for name, value in values.items())
        self.inner.log({"parameters": "\n".join(("| name | value |", "| --- | --- |", *rows))}, step=0)

    def summary(self, values: Mapping[str, float], text: str, parameters: Mapping[str, str]) -> None:
        """A text, and a row in the table of hyperparameters."""
        self.inner.log({"summary": text}, step=0)
        numbers = {key_of("final", name): value for name, value in values.items()}
        self.inner.tracker.add_hparams(dict(parameters), numbers, run_name=".")


class _WithArtifacts(Tracker):
    """W&B, and trackio, which has the same calls."""

    def files(self, paths: Mapping[str, Path]) -> None:
        """As one artifact."""
        package = require(self.module)
        artifact = package.Artifact(FOREIGN.sub("-", self.title).replace("/", "-").replace(" ", "-"), type="model")
        for name, path in paths.items():
            artifact.add_file(str(path), name=name)
        self.inner.tracker.log_artifact(artifact)


class WandB(_WithArtifacts):
    """Weights & Biases, by its own environment variables and login."""

    module = "wandb"

    def check(self) -> None:
        """Whether there is a key, and the server takes it; without a network WANDB_MODE=offline keeps all in files."""
        wandb = require(self.module)
        settings = wandb.setup().settings
        self.address = masked(settings.base_url)
        if settings.mode in ("offline", "disabled", "dryrun"):
            return
        hint = "wandb login, WANDB_MODE=offline for files that wandb sync sends later, or --track none"
        try:
            known = wandb.login(timeout=PATIENCE, verify=True, prompt=False)
        except Exception as error:  # no key, a wrong one, no network: all are the user's to mend
            raise MissingError(f"{self.address} can't be used: {told(error)}", hint) from None
        if not known:
            raise MissingError(f"{self.address}: no key is known here", hint)

    def start(self, known: str) -> str:
        """Go on in the known run."""
        wandb = require(self.module)
        settings = wandb.Settings(init_timeout=3 * PATIENCE, finish_timeout=6 * PATIENCE, console="off", silent=True)
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        again = {"id": known, "resume": "allow"} if known else {}
        self.inner = accelerated.WandBTracker(project, name=self.title, settings=settings, **again)
        self.inner.start()
        return str(self.inner.tracker.id)

    def log(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Each group has steps of its own: W&B's common one only grows, and a stage begins anew at 1."""
        at = key_of(group, "step")
        self.inner.tracker.define_metric(key_of(group, "*"), step_metric=at)
        self.inner.log({at: step, **{key_of(group, name): value for name, value in values.items()}})

    def summary(self, values: Mapping[str, float], text: str, parameters: Mapping[str, str]) -> None:
        """In the columns of W&B's table of runs."""
        self.inner.tracker.summary.update({key_of("final", name): value for name, value in values.items()})

    def end(self, how: Ending) -> None:
        """With an exit code, by which W&B knows a run that failed."""
        self.inner.tracker.finish(exit_code=0 if how == "finished" else 1)


class Trackio(_WithArtifacts):
    """trackio's database on this machine."""

    module = "trackio"

    def start(self, known: str) -> str:
        """Go on in the known run, or open one whose name is free."""
        name = known or f"{self.title}-{os.urandom(3).hex()}"
        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        # Its pages and lines on the screen aren't part of a run's output.
        with contextlib.redirect_stdout(io.StringIO()):
            self.inner = accelerated.TrackioTracker(project, name=name, resume="allow", embed=False)
            self.inner.start()
        return name

    def end(self, how: Ending) -> None:
        """Wait for what is still to be written."""
        with contextlib.redirect_stdout(io.StringIO()):
            super().end(how)


TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB, "trackio": Trackio}
NONE = "none"


def check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The trackers that were asked for, once each, of which ``none`` is none.

    Raises:
        InputError: There is no such tracker, or ``none`` isn't alone.
        MissingError: Its package isn't installed.
    """
    known = (*TRACKERS, NONE)
    for name in names:
        if name not in known:
            raise InputError(
                f"--track {name[:40]}: no such tracker{did_you_mean(name, known)}", f"one of: {', '.join(known)}"
            )
    if NONE in names and len(set(names)) > 1:
        raise InputError("--track none beside others: wanted it alone, or left out", "--track mlflow")
    asked = tuple(dict.fromkeys(name for name in names if name != NONE))
    for name in asked:
        require(TRACKERS[name].module)
    return asked


def open_trackers(names: tuple[str, ...], folder: Path, device: str) -> dict[str, Tracker]:
    """The trackers by name, each checked; none in a process that isn't the first of several.

    Raises:
        InputError: As ``check_names``, or a tracker can't be used as it is set up.
        MissingError: A package or a server isn't there.
    """
    asked = check_names(names)
    # accelerate's trackers ask for the process state; made by them, it would take a GPU that the run leaves alone.
    if not asked or not PartialState(cpu=device == "cpu").is_main_process:
        return {}
    opened = {name: TRACKERS[name](folder) for name in asked}
    for tracker in opened.values():
        tracker.check()
    return opened
