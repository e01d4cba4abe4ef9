"""``compress verify`` on a run of the example: whole, with one byte changed anywhere, and unfinished."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compressor.cli.main import main
from compressor.digests import file_digest, seal
from compressor.pipeline.lineage import NAME, read_lineage

SHORT = ("--quick", "--device", "cpu", "--without", "distill", "--without", "quantize", "--set", "prune.ratio=0.5")


@pytest.fixture(scope="module")
def run(digits_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("verify") / "run"
    typed = ("run", "--profile", "mobile-cpu", str(digits_checkpoint), "--out", str(out), "--max-drop", "0.9")
    assert CliRunner().invoke(main, [*typed, *SHORT]).exit_code == 0
    return out


def verify(*typed: object) -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, typed)])


def test_a_run_as_it_was_left(run: Path) -> None:
    found = verify(run)
    assert found.exit_code == 0, found.output
    assert "read back: 01-prune, 02-export" in found.output and "reported" in found.output
    told = json.loads(verify(run.parent / "last", "--no-score", "--json").stdout)
    assert told["files"] > 10 and told["networks"] == ["01-prune", "02-export"] and told["score"] is None


def test_a_byte_of_any_file_is_named(run: Path) -> None:
    for name in read_lineage(run).files:
        path = run / name
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        found = verify(run, "--no-score")
        path.write_bytes(content)
        assert found.exit_code == 2 and name in found.output, name


def test_a_score_that_is_another(run: Path) -> None:
    report, lineage = run / "report.json", run / NAME
    before = report.read_text(), lineage.read_text()
    told = json.loads(before[0])
    told["stages"][-1]["score"] -= 0.2
    report.write_text(json.dumps(told))
    values = json.loads(before[1])
    values["files"]["report.json"] = file_digest(report)
    del values["seal"]
    lineage.write_text(json.dumps({**values, "seal": seal(values)}))
    found = verify(run)
    report.write_text(before[0])
    lineage.write_text(before[1])
    assert found.exit_code == 6, found.output


def test_what_is_no_run(tmp_path: Path) -> None:
    found = verify(tmp_path)
    assert found.exit_code == 2 and "lineage.json" in found.output
