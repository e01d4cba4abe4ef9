"""The waterfall in the terminal."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from compressor.cli.console import megabytes, print_report

_path = Path(__file__).parents[1] / "report_html" / "reports.py"
_spec = importlib.util.spec_from_file_location("reports", _path)
assert _spec is not None and _spec.loader is not None
reports: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reports)


def test_units() -> None:
    assert [megabytes(v) for v in (44_800_000, 450_000, 2_345, None)] == ["44.8 MB", "0.45 MB", "2.35 kB", "–"]


def test_report_holds_rows_budget_notes_and_paths(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(reports.full_report(quick=True), "runs/x")
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    last = next(line for line in lines if line.startswith("03-quantize"))
    for part in (
        "420 k",
        "16.8 M",
        "0.45 MB",
        "0.9305 ± 0.0025",
        "0.15 of 2.8",
        "99.6x",
        "18.7x (18.3-19)",
        "+0.0045 ± 0.0011",
    ):
        assert part in last
    assert "budget missed: size_mb 0.45, limit 0.4" in lines
    assert "budget unknown: latency_ms not measured here, limit 8; run the kit on the device" in lines
    assert "note: 02-prune: removed <b>85 %</b> of the channels" in lines
    assert "onnx int8: runs/x/04-export/model.onnx" in lines
    assert "--quick" in shown


def test_a_wider_search_stands_beside_simpler_ways(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(reports.full_report(search=reports.wider_search()), "runs/x")
    lines = capsys.readouterr().out.splitlines()
    first = lines.index("against simpler ways")
    assert [line.split("  ")[0] for line in lines[first + 2 : first + 5]] == [
        "this search",
        "fixed profile",
        "random search",
    ]
    for part in ("0.35 MB", "14x", "+0.0200 ± 0.0010", "40", "no"):
        assert part in lines[first + 4]
