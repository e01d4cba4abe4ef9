"""An MLflow store that can't be used is said at once, before anything is trained, and without its password."""

import time
from pathlib import Path

import pytest

from compressor.errors import InputError, MissingError
from compressor.training.trackers import open_trackers


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
