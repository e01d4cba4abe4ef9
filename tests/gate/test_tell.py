"""The same checks for people, CI servers and programs."""

import json
from xml.etree import ElementTree

from compressor.gate import Check, annotations, as_json, junit, markdown, sentence

KEPT = Check("size", 1_500_000.0, 2e6, True, "bytes", passed=True)
GROWN = Check("size against the baseline", 0.12, 0.01, True, "share", passed=False, before=1_000_000, after=1_120_000)
OPEN = Check("score", 0.9, 0.899, False, "score", True, 0.89, 0.91, is_open=True, said="undecided")
HOSTILE = Check("latency", None, 5.0, True, "ms", passed=False, said="a|b\n::error::<script>, 100%: \x01")
ALL = [KEPT, GROWN, OPEN, HOSTILE]


def test_in_a_sentence() -> None:
    assert sentence(KEPT) == "size: 1.5 MB, wanted at most 2 MB"
    assert sentence(GROWN) == "size against the baseline: +12 %, from 1,000,000 to 1,120,000, wanted at most +1 %"
    assert sentence(OPEN) == "score: 0.9000 [0.8900, 0.9100], wanted at least 0.8990; undecided"
    assert sentence(Check("run", None, 0.0, True, "count", False, said="it failed")) == "run: it failed"


def test_junit_is_read_back() -> None:
    root = ElementTree.fromstring(junit(ALL, "a <model> \x00"))
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")
    assert [case.get("name") for case in suite] == [check.name for check in ALL]
    failures = [case.find("failure") for case in suite]
    assert [found is not None for found in failures] == [False, True, False, True]
    assert failures[1] is not None and "+12 %" in (failures[1].get("message") or "")


def test_annotations_are_one_line_each_and_nothing_in_them_is_a_command() -> None:
    lines = annotations(ALL)
    assert [line.split(" ", 1)[0] for line in lines] == ["::error", "::warning", "::error"]
    assert lines[0].startswith("::error title=compress gate%3A size against the baseline::")
    assert "+12 %25" in lines[0]
    assert all("\n" not in line for line in lines) and "%0A" in lines[2]


def test_markdown_has_a_row_a_check() -> None:
    text = markdown(ALL, "runs/last", "baseline.json")
    assert text.startswith("### compress gate: 2 of 4 checks failed")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "figure" not in line]
    assert len(rows) == 4
    assert "1,000,000" in rows[1] and "+12 %" in rows[1] and "at most +1 %" in rows[1]
    assert "<script>" not in text and "a\\|b" in text


def test_json_is_one_object() -> None:
    told = json.loads(as_json(ALL, "runs/last", ""))
    assert told["passed"] is False and told["baseline"] is None
    assert told["checks"][1]["before"] == 1_000_000
