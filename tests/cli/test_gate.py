"""``compress gate`` as it is typed, in a repository with a baseline."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from click.testing import CliRunner
from convolutions import write_convolutions
from written_runs import TARGET, write_run

from compressor.cli.main import main
from compressor.export.onnx import export_onnx
from compressor.loading import load_file
from compressor.models import TorchModel


def gate(*typed: object, env: dict[str, str] | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["gate", *map(str, typed)], env={"GITHUB_ACTIONS": "", **(env or {})})
    return result.exit_code, result.output


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A baseline that was written by the gate itself, and a table that asks for no more than it."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "first")
    assert gate("first", "--baseline", "baseline.json", "--update")[0] == 0
    (tmp_path / "compress.toml").write_text('[gate]\nbaseline = "baseline.json"\nseconds = 0.3\n')
    return tmp_path


def test_an_unchanged_model_passes(repository: Path) -> None:
    code, said = gate("first")
    assert code == 0, said
    assert "all 5 checks passed" in said


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"layers": 3}, "size against the baseline"),
        ({"layers": 12}, "latency against the baseline"),
        ({"score": 0.8}, "score lost against the baseline"),
        ({"score": None}, "score lost against the baseline: not measured"),
        ({"status": "interrupted", "notes": ["killed"]}, "run: the run is interrupted: killed"),
    ],
)
def test_each_fails_with_its_own_message(repository: Path, changed: dict[str, object], name: str) -> None:
    write_run(repository / "second", **changed)  # type: ignore[arg-type]
    code, said = gate("second", "--junit", "junit.xml", "--markdown", "gate.md")
    assert code == 6, said
    failed = [line for line in said.splitlines() if line.startswith("FAILED")]
    assert any(name in line for line in failed)
    (suite,) = ElementTree.parse(repository / "junit.xml").getroot()
    assert int(suite.get("failures", "0")) == len(failed) > 0
    assert (repository / "gate.md").read_text().count("❌") == len(failed)


def test_after_an_update_what_grew_passes(repository: Path) -> None:
    write_run(repository / "second", layers=3)
    assert gate("second")[0] == 6
    code, said = gate("second", "--update")
    assert code == 0 and "params: 288 -> 432" in said
    assert gate("second")[0] == 0


def test_in_github_actions(repository: Path) -> None:
    write_run(repository / "second", layers=3)
    summary = repository / "summary.md"
    summary.write_text("before\n")
    code, said = gate("second", env={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)})
    assert code == 6
    assert "::error title=compress gate%3A size against the baseline::" in said
    assert summary.read_text().startswith("before\n### compress gate: ")


def test_json_is_all_there_is_on_standard_output(repository: Path) -> None:
    result = CliRunner().invoke(main, ["gate", "first", "--json"], env={"GITHUB_ACTIONS": "true"})
    assert json.loads(result.stdout)["passed"] is True


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('max_sise = "2MB"', "no setting 'max_sise'; did you mean 'max_size'?"),
        ('max_size = "2mb"', "did you mean 'MB'?"),
        ("max_latency = 5", "wanted a number with a unit of ms"),
        ('baseline = "nothing.json"', "no file"),
        ("[gate", "is not TOML"),
    ],
)
def test_a_table_with_a_fault(repository: Path, table: str, said: str) -> None:
    (repository / "bad.toml").write_text(f"[gate]\n{table}\n")
    code, output = gate("first", "--config", "bad.toml")
    assert code == 2 and said in output


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("first", "--max-size", "0"), "max_size"),
        (("first", "--max-latency", "1us", "--confidence", "2"), "confidence"),
        (("first", "--max-latency", "0.1us"), "max_latency"),
        (("nothing", "--max-size", "1MB"), "no file nothing"),
        (("first", "--tolerate", "size"), "wanted KEY=VALUE"),
        (("first", "--tolerate", "sise=1%"), "did you mean 'size'?"),
        (("first", "--junit", "nowhere/junit.xml"), "there is no folder"),
        (("first", "--junit", "first"), "is a folder"),
        (("first", "--config", "nothing.toml"), "no file"),
    ],
)
def test_what_is_typed_wrong(repository: Path, typed: tuple[str, ...], said: str) -> None:
    code, output = gate(*typed)
    assert code == 2 and said in output, output


def test_a_corrupt_report_and_a_baseline_of_another_target(repository: Path) -> None:
    run = write_run(repository / "second")
    text = (run / "report.json").read_text()
    (run / "report.json").write_text(text[: len(text) // 2])
    code, said = gate("second")
    assert code == 2 and "is not JSON" in said
    other = write_run(repository / "third", profile={"target": {**TARGET, "runtime": "tensorrt"}})
    code, said = gate(other, "--baseline", "baseline.json")
    assert code == 2 and "another target" in said


def test_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = gate(write_convolutions(tmp_path / "model.onnx", 2))
    assert code == 2 and "nothing to check" in said
    code, said = gate(write_run(tmp_path / "run"), "--update")
    assert code == 2 and "where to?" in said


def test_a_file_alone_is_scored_on_data_that_is_named(tmp_path: Path, digits_checkpoint: Path) -> None:
    model = load_file(digits_checkpoint)
    assert isinstance(model, TorchModel)
    file = export_onnx(model, tmp_path / "model.onnx", (torch.zeros(2, *model.info.inputs[0].shape),)).path
    code, said = gate(file, "--min-score", "0.9")
    assert code == 6 and "--data" in said
    code, said = gate(file, "--min-score", "0.9", "--data", "digits", "--task", "image-classification")
    assert code == 0, said


def test_a_file_alone_is_answered_without_torch(tmp_path: Path) -> None:
    file = write_convolutions(tmp_path / "model.onnx", 4)
    typed = ["-X", "importtime", "-m", "compressor", "gate", str(file), "--max-size", "1MB", "--max-params", "1M"]
    done = subprocess.run(
        [sys.executable, *typed], capture_output=True, text=True, env={**os.environ, "GITHUB_ACTIONS": ""}, check=False
    )
    assert done.returncode == 0, done.stderr
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "onnx" in imported and not any(name == "torch" or name.startswith("torch.") for name in imported)
