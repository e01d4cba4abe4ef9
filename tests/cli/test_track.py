"""``--track``: what is typed wrong is said at once, and without it TensorBoard's files are there to be opened."""

import sys
from importlib.util import find_spec

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
