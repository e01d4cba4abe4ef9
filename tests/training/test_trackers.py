"""Which trackers there are, and what is said of one that can't be used, before anything is trained."""

import sys
import time
from pathlib import Path

import pytest

from compressor.errors import InputError, MissingError
from compressor.extras import EXTRAS
from compressor.passwords import masked
from compressor.training.trackers import TRACKERS, check_names, open_trackers, told


def test_names() -> None:
    assert check_names(("none",)) == () == check_names(())
    assert check_names(("tensorboard", "tensorboard")) == ("tensorboard",)
    with pytest.raises(InputError, match="did you mean 'mlflow'"):
        check_names(("mlfow",))
    with pytest.raises(InputError, match="alone"):
        check_names(("none", "tensorboard"))


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, tracker in TRACKERS.items():
        monkeypatch.setitem(sys.modules, tracker.module, None)
        with pytest.raises(MissingError) as caught:
            check_names((name,))
        assert caught.value.hint == f"pip install 'compressor[{EXTRAS[tracker.module]}]'"


@pytest.mark.filterwarnings("ignore")  # of MLflow's own code
def test_a_server_that_is_not_there_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(MissingError, match=r"http://me:\*\*\*@127\.0\.0\.1:9 can't be reached") as caught:
        open_trackers(("mlflow",), tmp_path / "run", "cpu")
    assert time.monotonic() - start < 20
    assert "MLFLOW_TRACKING_URI" in caught.value.hint and "secret" not in str(caught.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "gopher://me:secret@there")
    with pytest.raises(InputError, match="can't be used") as wrong:
        open_trackers(("mlflow",), tmp_path / "run", "cpu")
    assert "secret" not in str(wrong.value)
    assert not (tmp_path / "run").exists()


def test_what_is_told_of_an_error_is_short_and_holds_no_password() -> None:
    assert told(ValueError()) == "ValueError"
    error = ValueError("http://me:secret@there\nand much more")
    assert told(error) == masked("http://me:secret@there")
