"""``--track``: what is typed wrong is said at once, and without it TensorBoard's files are there to be opened."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compressor.cli.main import main
from compressor.cli.track import trackers_of


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", "--profile", "mobile-cpu", "no.pt", "--data", "digits", *arguments])


def test_a_wrong_name_and_a_missing_package_come_before_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = run("--track", "tensorbord")
    assert unknown.exit_code == 2
    assert "did you mean 'tensorboard'" in unknown.stderr
    monkeypatch.setitem(sys.modules, "wandb", None)
    missing = run("--track", "wandb")
    assert missing.exit_code == 4
    assert "pip install 'compressor[wandb]'" in missing.stderr
    assert run("--track", "none").exit_code == 2  # there is no such model


def test_without_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trackers_of(()) == ("tensorboard",)
    assert trackers_of(("none",)) == ()
    monkeypatch.setattr("compressor.cli.track.find_spec", lambda name: None)
    assert trackers_of(()) == ()
    assert find_spec("tensorboard") is not None


@pytest.mark.filterwarnings("ignore")  # of MLflow's own code
def test_a_server_that_is_not_there_ends_the_command_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    trained = CliRunner().invoke(main, ["example", "digits.pt", "--epochs", "1"])
    assert trained.exit_code == 0
    result = CliRunner().invoke(main, ["run", "--profile", "mobile-cpu", "digits.pt", "--track", "mlflow"])
    assert result.exit_code == 4
    assert "http://me:***@127.0.0.1:9 can't be reached" in result.stderr
    assert "secret" not in result.output
    assert not list(tmp_path.rglob("00-reference"))
