"""The same checks for people, for CI servers and for programs.

JUnit's XML as Jenkins and GitLab read it; workflow commands as GitHub documents them (docs.github.com, "Workflow
commands for GitHub Actions").
"""

import json
import re
from collections.abc import Sequence
from xml.etree import ElementTree

from compressor.gate.checks import Check

SUITE = "compress gate"
UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def sentence(check: Check) -> str:
    """A check in words: what was measured, the interval, the limit, and why where there is no figure."""
    if check.value is None:
        limit = "" if check.name == "run" else f" (limit {shown(check.limit, check.unit)})"
        missing = "" if check.name == "run" else "not measured: "
        return f"{check.name}: {missing}{check.said}{limit}"
    change = ""
    if check.before is not None and check.after is not None:
        change = f", from {number(check.before)} to {number(check.after)}"
    interval = ""
    if check.low is not None and check.high is not None and check.low < check.high:
        interval = f" [{shown(check.low, check.unit)}, {shown(check.high, check.unit)}]"
    limit = f"{'at most' if check.at_most else 'at least'} {shown(check.limit, check.unit)}"
    said = f"; {check.said}" if check.said else ""
    return f"{check.name}: {shown(check.value, check.unit)}{interval}{change}, wanted {limit}{said}"


def shown(value: float, unit: str) -> str:
    """A figure as it is read: ``1.25 MB``, ``0.041 ms``, ``+12.0 %``, ``.9312``."""
    match unit:
        case "bytes":
            return f"{value / 1e6:.4g} MB" if value >= 1e5 else f"{value / 1e3:.4g} kB"
        case "ms":
            return f"{value:.4g} ms"
        case "share":
            return f"{100 * value:+.3g} %"
        case "score":
            return f"{value:.4f}"
    return number(value)


def number(value: float) -> str:
    """A count with its thousands, and what is no count with four digits."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def state(check: Check) -> str:
    """``passed`` or ``failed``, and whether that is sure."""
    word = "passed" if check.passed else "failed"
    return f"{word}, undecided" if check.is_open else word


def markdown(checks: Sequence[Check], subject: str, baseline: str) -> str:
    """For a pull request: the verdict and a table."""
    failed = sum(not check.passed for check in checks)
    verdict = f"{failed} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed"
    against = f" against `{_cell(baseline)}`" if baseline else ""
    lines = [f"### compress gate: {verdict}", "", f"`{_cell(subject)}`{against}", ""]
    lines += ["| | figure | before | now | limit | |", "|---|---|---|---|---|---|"]
    for check in checks:
        before = "" if check.before is None else number(check.before)
        now = "not measured" if check.value is None else shown(check.value, check.unit)
        if check.after is not None:
            now = f"{number(check.after)} ({now})"
        relation = "at most" if check.at_most else "at least"
        limit = "" if check.name == "run" else f"{relation} {shown(check.limit, check.unit)}"
        cells = (check.name, before, now, limit, check.said)
        lines.append(f"| {'✅' if check.passed else '❌'} | {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines) + "\n"


def junit(checks: Sequence[Check], subject: str) -> str:
    """An XML text with a test case a check."""
    failures = sum(not check.passed for check in checks)
    suite = ElementTree.Element("testsuite", name=SUITE, tests=str(len(checks)), failures=str(failures), errors="0")
    for check in checks:
        case = ElementTree.SubElement(suite, "testcase", classname=_printable(subject), name=check.name, time="0")
        text = _printable(sentence(check))
        if check.passed:
            ElementTree.SubElement(case, "system-out").text = text
        else:
            ElementTree.SubElement(case, "failure", message=text, type=check.name).text = text
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def annotations(checks: Sequence[Check]) -> list[str]:
    """GitHub's workflow commands: an error for what failed, a warning for what passed undecided or unmeasured."""
    lines = []
    for check in checks:
        if check.passed and not check.is_open and check.value is not None:
            continue
        kind = "warning" if check.passed else "error"
        title = _property(f"{SUITE}: {check.name}")
        lines.append(f"::{kind} title={title}::{_message(sentence(check))}")
    return lines


def as_json(checks: Sequence[Check], subject: str, baseline: str) -> str:
    """One JSON object."""
    told = {
        "passed": all(check.passed for check in checks),
        "subject": subject,
        "baseline": baseline or None,
        "checks": [vars(check) for check in checks],
    }
    return json.dumps(told, indent=2, allow_nan=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'").replace("<", "&lt;").replace("\n", " ").replace("\r", " ")


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _printable(text: str) -> str:
    """Without what XML 1.0 has no place for."""
    return UNPRINTABLE.sub("?", text)
