"""MLflow as a tracker: accelerate's class for values, its own calls for files, and a bound on how long it waits."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from accelerate import tracking as accelerated

from compressor.errors import InputError, MissingError
from compressor.extras import require
from compressor.passwords import masked
from compressor.training.tracker import PATIENCE, PROJECT, Ending, Tracker, told


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
