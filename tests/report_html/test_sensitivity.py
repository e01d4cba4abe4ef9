"""The parts of a network as rows of the page."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from compressor.report import Report, Search, Sensitivity
from compressor.report_html import write_html
from compressor.report_html.sensitivity import sensitivity_rows

_spec = importlib.util.spec_from_file_location("reports", Path(__file__).with_name("reports.py"))
assert _spec is not None and _spec.loader is not None
reports: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reports)

PARTS = [
    Sensitivity(name="fc", kind="precision", layers=["fc"], drop=-0.001, stderr=0.002, params=640, samples=500),
    Sensitivity(name="late", kind="channels", layers=["late"], ratio=0.25, reason="not measured: 1 s"),
    Sensitivity(
        name="stem", kind="channels", layers=["stem", "<b>", "c"], ratio=0.5, drop=0.123, stderr=0.01, params=7000,
        macs=1_234_567, samples=500,
    ),
]  # fmt: skip


@pytest.fixture
def report() -> Report:
    search = Search(
        objective="size", goals={}, split="validation", samples=2000, epochs=3, seconds={}, sensitivity=PARTS
    )
    full: Report = reports.full_report(search=search)
    return full


def test_the_dearest_comes_first_and_the_unmeasured_last(report: Report) -> None:
    rows = sensitivity_rows(report)
    assert [row["name"] for row in rows] == ["stem and 2 more", "fc", "late"]
    assert [row["done"] for row in rows] == ["50% of its channels removed", "int8", "25% of its channels removed"]
    assert [row["change"] for row in rows] == ["-12.30 ± 1.00", "+0.10 ± 0.20", "–"]
    assert (rows[0]["params"], rows[0]["macs"]) == ("7,000", "1,234,567")
    assert rows[2]["reason"] == "not measured: 1 s" and rows[2]["params"] == "–"


def test_the_page_has_a_row_for_each(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_html(report, path)
    body = re.search(r'<table id="sensitivity".*?<tbody>(.*?)</tbody>', path.read_text(), re.DOTALL)
    assert body is not None and body.group(1).count("<tr>") == 3
    assert "stem, &lt;b&gt;, c" in body.group(1)


def test_without_a_search_there_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_html(reports.full_report(), path)
    assert 'id="sensitivity"' not in path.read_text()
    assert sensitivity_rows(reports.full_report()) == []
