"""Several runs beside one another."""

from pathlib import Path
from typing import Any

import pytest
import reports

from compressor.comparison import compared
from compressor.errors import InputError
from compressor.report import Report
from compressor.report_html.compare import write_comparison


def other(**changed: Any) -> Report:
    """The same run with another last record."""
    report = reports.full_report()
    return report.model_copy(update={"stages": [*report.stages[:-1], report.stages[-1].model_copy(update=changed)]})


def test_which_no_other_beats() -> None:
    found = compared(
        [("a", other()), ("larger", other(size_bytes=10**7)), ("better", other(size_bytes=10**7, score=0.99))]
    )
    assert [run.on_front for run in found.runs] == [True, False, True]
    assert found.notes == ()


def test_a_score_that_is_to_be_small() -> None:
    small = [other(score=score) for score in (0.1, 0.2)]
    small = [
        one.model_copy(update={"score": one.score.model_copy(update={"higher_is_better": False})}) for one in small
    ]
    assert [run.on_front for run in compared([("a", small[0]), ("b", small[1])]).runs] == [True, False]


def test_milliseconds_are_beside_one_reference_s() -> None:
    one = other()
    assert one.stages[-1].latency_ms is not None
    slowed = one.stages[-1].latency_ms.model_copy(update={"p50": 0.3, "reference_p50": 5.6})
    found = compared([("a", one), ("b", other(latency_ms=slowed))])
    assert found.runs[0].milliseconds == pytest.approx(found.runs[1].milliseconds)


def test_what_does_not_compare_is_said() -> None:
    one, elsewhere = other(), other()
    elsewhere = elsewhere.model_copy(
        update={"data": {"fingerprint": "z"}, "model": {"sha256": "z"}, "environment": {"cpu": {"model": "z"}}}
    )
    notes = " ".join(compared([("a", one), ("b", elsewhere)]).notes)
    assert "other networks" in notes and "other data" in notes and "other processors" in notes


def test_what_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="1 run, wanted at least 2"):
        compared([("a", other())])
    with pytest.raises(InputError, match="b has no result: it is failed"):
        compared([("a", other()), ("b", other().model_copy(update={"status": "failed"}))])
    mse = other()
    mse = mse.model_copy(update={"score": mse.score.model_copy(update={"name": "mse"})})
    with pytest.raises(InputError, match="other scores"):
        compared([("a", other()), ("b", mse)])


def test_the_page_escapes_what_users_call_their_runs(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    write_comparison(compared([(name, other()), ("b", other(size_bytes=10**7))]), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<script") == 1 and page.count("&lt;script&gt;") >= 3
    assert page.count("<svg") == 2 and "http" not in page.replace("http://www.w3.org/2000/svg", "").replace(
        "http-equiv", ""
    )
