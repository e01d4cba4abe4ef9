"""What a machine can do, and that the test of it can fail."""

import pytest
import reports

from compressor.errors import StageError
from compressor.pipeline import doctor
from compressor.pipeline.doctor import findings, self_test
from compressor.report import Parity


def test_what_can_be_seen() -> None:
    found = {one.name: one for one in findings("cpu")}
    assert found["torch"].value and found["processor"].value
    assert int(found["cores"].value) >= 1
    assert {"extra vision", "extra hf", "extra tensorrt"} <= set(found)
    for name, one in found.items():
        assert not name.startswith("extra") or one.value == "yes" or "pip install" in one.said


def test_a_run_of_some_seconds() -> None:
    seconds, said = self_test("cpu")
    assert seconds > 0 and said.startswith("prune, quantize, export: ")


def test_a_file_that_answers_otherwise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    report = reports.full_report()
    apart = Parity(max_abs_error=1.0, mean_abs_error=0.5, logit_std=1.0, agreement=0.3, samples=9)
    artifacts = [one.model_copy(update={"parity": apart}) for one in report.artifacts]
    wrong = report.model_copy(update={"artifacts": artifacts})
    monkeypatch.setattr(doctor.pipeline, "run", lambda job: wrong)
    with pytest.raises(StageError, match=r"0\.50 of their standard deviation"):
        self_test("cpu")
