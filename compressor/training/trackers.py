"""Experiment trackers behind one interface: accelerate's classes for values, each tool's own calls for the rest."""

import contextlib
import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from accelerate import tracking as accelerated
from accelerate.state import PartialState

from compressor.errors import InputError, MissingError, did_you_mean
from compressor.extras import require
from compressor.passwords import masked

# Experiment, project: where a tracker puts runs that nobody named a place for.
PROJECT = "compressor"
Ending = Literal["finished", "failed", "interrupted"]
# So long a server may take, in seconds, before it counts as gone.
PATIENCE = 10
# What all of them take in the name of a value.
FOREIGN = re.compile(r"[^\w\-. /]")


class Tracker:
    """One tool that keeps runs. Nothing is written there before ``start``.

    Args:
        folder: The run's: where files go, and what the run is called.

    Attributes:
        module: The package it needs.
        address: Where runs go, as it may be shown.
    """

    module: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.title = folder.absolute().name
        self.address = ""
        self.inner: Any = None

    def check(self) -> None:
        """Find out, within seconds, whether runs can be kept there; writes nothing.

        Raises:
            MissingError: A package or the server isn't there.
            InputError: It can't be used as it is set up.
        """

    def start(self, known: str) -> str:
        """Open a run.

        Args:
            known: One that was opened before and is to go on; empty for a new one.

        Returns:
            What to give as ``known`` the next time. A ``known`` that is gone becomes a new run of another name.
        """
        raise NotImplementedError

    def parameters(self, values: Mapping[str, str]) -> None:
        """Keep what the run was asked for."""
        self.inner.store_init_configuration(dict(values))

    def log(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Keep numbers as ``group/name`` at a step, an epoch from 1 or the place of a stage."""
        self.inner.log({_key(group, name): value for name, value in values.items()}, step=step)

    def summary(self, values: Mapping[str, float], text: str, parameters: Mapping[str, str]) -> None:
        """Keep what the whole run came to: numbers, and a table in Markdown."""
        self.log("final", values, 0)

    def files(self, paths: Mapping[str, Path]) -> None:
        """Keep files under these names, where the tool keeps files."""

    def end(self, how: Ending) -> None:
        """Close the run."""
        self.inner.finish()


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
        numbers = {_key("final", name): value for name, value in values.items()}
        self.inner.tracker.add_hparams(dict(parameters), numbers, run_name=".")


class MLflow(Tracker):
    """An MLflow store, by its own environment variables."""

    module = "mlflow"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._mlflow = require(self.module)
        self.address = masked(self._mlflow.get_tracking_uri())

    def check(self) -> None:
        """One short request, not repeated for minutes."""
        hint = "MLFLOW_TRACKING_URI with the address of a server that runs, or --track none"
        try:
            with _patience():
                self._mlflow.MlflowClient().search_experiments(max_results=1)
        except ModuleNotFoundError as error:
            lacking = f"the MLflow store {self.address} needs '{error.name}', which is not installed"
            raise MissingError(
                lacking, "pip install mlflow, or MLFLOW_TRACKING_URI with the address of a server"
            ) from None
        except Exception as error:  # whatever a store raises, the user has to act on it
            if any("onnection" in type(one).__name__ or "Timeout" in type(one).__name__ for one in _causes(error)):
                raise MissingError(f"the MLflow server {self.address} can't be reached", hint) from None
            raise InputError(f"the MLflow store {self.address} can't be used: {told(error)}", hint) from None

    def start(self, known: str) -> str:
        """Go on in the known run, unless somebody deleted it."""
        with _patience():
            self.inner = accelerated.MLflowTracker(
                self._experiment(), run_id=self._living(known), run_name=self.title, nested_run=True
            )
            self.inner.start()
        return str(self.inner.tracker.info.run_id)

    def parameters(self, values: Mapping[str, str]) -> None:
        """Within seconds."""
        with _patience():
            super().parameters(values)

    def log(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Within seconds."""
        with _patience():
            super().log(group, values, step)

    def files(self, paths: Mapping[str, Path]) -> None:
        """In the run's artifacts; a large file may take its time, so only repetitions are limited."""
        with _patience(None):
            for name, path in paths.items():
                self.inner.log_artifact(str(path), str(Path(name).parent) if Path(name).parent != Path() else None)

    def end(self, how: Ending) -> None:
        """With the status that MLflow has for it."""
        status = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}[how]
        with _patience():
            self._mlflow.end_run(status)

    def _experiment(self) -> str:
        number = os.environ.get("MLFLOW_EXPERIMENT_ID")
        return str(self._mlflow.get_experiment(number).name) if number else PROJECT

    def _living(self, known: str) -> str | None:
        if not known:
            return None
        try:
            found = self._mlflow.MlflowClient().get_run(known).info
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return known if found.lifecycle_stage == "active" else None


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
        self.address = masked(os.environ.get("WANDB_BASE_URL", "wandb.ai"))
        if os.environ.get("WANDB_MODE", "online") in ("offline", "disabled", "dryrun"):
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
        at = _key(group, "step")
        self.inner.tracker.define_metric(_key(group, "*"), step_metric=at)
        self.inner.log({at: step, **{_key(group, name): value for name, value in values.items()}})

    def summary(self, values: Mapping[str, float], text: str, parameters: Mapping[str, str]) -> None:
        """In the columns of W&B's table of runs."""
        self.inner.tracker.summary.update({_key("final", name): value for name, value in values.items()})

    def end(self, how: Ending) -> None:
        """With an exit code, by which W&B knows a run that failed."""
        self.inner.tracker.finish(exit_code=0 if how == "finished" else 1)


class Trackio(_WithArtifacts):
    """trackio's database on this machine."""

    module = "trackio"

    def start(self, known: str) -> str:
        """Go on in the known run, or open one whose name is free."""
        require(self.module)
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


def told(error: BaseException) -> str:
    """The first line of what an error says, short, without passwords."""
    lines = masked(str(error)).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _key(group: str, name: str) -> str:
    if name == "*":
        return f"{FOREIGN.sub('_', group)}/*"
    return FOREIGN.sub("_", f"{group}/{name}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def _patience(seconds: int | None = PATIENCE) -> Iterator[None]:
    """MLflow's own settings, where the user has none: a run doesn't wait for minutes on a server that is gone.

    And nothing of it goes to standard output, where a report may be expected.
    """
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    if seconds is not None:
        wanted["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(seconds)
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
