"""The page as it is written; test_browser.py looks at what browsers make of it."""

import base64
import hashlib
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from compressor.report import BudgetCheck
from compressor.report_html import write_html

if TYPE_CHECKING:
    from compressor.report import Report

_spec = importlib.util.spec_from_file_location("reports", Path(__file__).with_name("reports.py"))
assert _spec is not None and _spec.loader is not None
reports: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reports)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_html(reports.full_report(), path)
    return path


def test_page_needs_nothing_beside_it(page: Path) -> None:
    text = page.read_text()
    outside = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', text) + re.findall(r"url\(([^)]*)\)|@import", text)
    assert [link for link in outside if not link.startswith("data:")] == []
    assert text.count("<script") == 1
    assert "<b>85" not in text and "&lt;b&gt;85" in text
    assert list(page.parent.glob("*.tmp")) == []


def test_no_script_runs_but_the_one_that_it_names(page: Path) -> None:
    text = page.read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text and "default-src 'none'" in text


def test_hundreds_of_layers_stay_under_a_megabyte(tmp_path: Path) -> None:
    path = tmp_path / "long.html"
    write_html(reports.long_report("<script>alert(1)</script>", stages=20, wide=1000), path)
    assert path.stat().st_size < 1_000_000
    assert path.read_text().count("<script") == 1


def test_what_is_missing_is_a_dash(tmp_path: Path) -> None:
    full: Report = reports.full_report()
    bare = full.stages[0].model_copy(update={"latency_ms": None, "params": None, "score_stderr": None, "per_class": {}})
    path = tmp_path / "bare.html"
    write_html(full.model_copy(update={"stages": [bare], "budget": [], "artifacts": [], "status": "failed"}), path)
    text = path.read_text()
    assert "This run failed" in text and "–" in text
    assert 'id="recall"' not in text and 'id="budget"' not in text


def test_a_wider_search_stands_beside_simpler_ways(tmp_path: Path) -> None:
    path = tmp_path / "search.html"
    write_html(reports.full_report(search=reports.wider_search()), path)
    table = path.read_text().partition('id="baselines"')[2].partition("</table>")[0]
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in table.split("<tr>")[2:]]
    assert [row[0] for row in rows] == ["this search", "fixed profile", "random search"]
    assert rows[0][1:4] == ["300", "149x", "0.2"] and rows[2][5:8] == ["-2.00 ± 0.10", "40", "missed"]
    write_html(reports.full_report(search=reports.wider_search().model_copy(update={"baselines": []})), path)
    assert 'id="baselines"' not in path.read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Goals missed: size_mb 0.45 of 0.4; not measured here: latency_ms"),
        ({"status": "ok", "budget": []}, "No goal was checked"),
        ({"status": "ok", "budget": [BudgetCheck(name="size_mb", limit=1, value=0.5, met=True)]}, "Goals met: size_mb"),
        ({"status": "failed"}, None),
    ],
)
def test_the_verdict_comes_first(tmp_path: Path, changes: dict[str, Any], said: str | None) -> None:
    write_html(reports.full_report(**changes), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    found = text.find('<p class="verdict')
    assert (found < 0) if said is None else found < text.index("<h2>") and said in text
