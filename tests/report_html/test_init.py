"""The page, as a browser renders it."""

import importlib.util
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from compressor.report_html import write_html

if TYPE_CHECKING:
    from compressor.report import Report

_spec = importlib.util.spec_from_file_location("reports", Path(__file__).with_name("reports.py"))
assert _spec is not None and _spec.loader is not None
reports: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reports)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--window-size=1100,1900"]
    profile = f"--user-data-dir={page.parent / 'browser'}"
    command = [CHROMIUM, *fixed, profile, *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def brightness(png: Path) -> tuple[float, int]:
    """Mean brightness of a screenshot's raw bytes, and how many byte values occur; no image library needed."""
    raw = png.read_bytes()
    place, parts, width, channels = 8, [], 0, 4
    while place < len(raw):
        length, kind = struct.unpack(">I4s", raw[place : place + 8])
        body = raw[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, _, _, colour = struct.unpack(">IIBB", body[:10])
            channels = {2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            parts.append(body)
        place += 12 + length
    rows = zlib.decompress(b"".join(parts))
    corner = rows[1 : 1 + channels]
    return sum(corner[:3]) / 3, len(set(rows[: 400 * (width * channels + 1)]))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_html(reports.full_report(), path)
    return path


def test_page_needs_nothing_beside_it(page: Path) -> None:
    text = page.read_text()
    outside = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', text) + re.findall(r"url\(([^)]*)\)|@import", text)
    assert [link for link in outside if not link.startswith("data:")] == []
    assert "<script" not in text
    assert "<b>85" not in text and "&lt;b&gt;85" in text
    assert list(page.parent.glob("*.tmp")) == []


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_page_renders_every_part(page: Path) -> None:
    done = browse(page, "--dump-dom")
    for table, rows in {"waterfall": 4, "recovery": 1, "control": 1, "budget": 2, "recall": 2, "artifacts": 1}.items():
        body = re.search(rf'<table id="{table}".*?<tbody>(.*?)</tbody>', done.stdout, re.DOTALL)
        assert body is not None and body.group(1).count("<tr>") == rows
    assert done.stdout.count("<svg") == 2 and done.stdout.count("<circle") == 8
    assert "compress run --profile mobile-cpu 'my model.pt'" in done.stdout
    assert "CONSOLE" not in done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_page_is_light_or_dark(page: Path) -> None:
    light, dark = page.parent / "light.png", page.parent / "dark.png"
    browse(page, f"--screenshot={light}")
    browse(page, f"--screenshot={dark}", "--blink-settings=preferredColorScheme=0")
    assert brightness(light)[0] > 200 > 60 > brightness(dark)[0]
    assert brightness(light)[1] > 50


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
