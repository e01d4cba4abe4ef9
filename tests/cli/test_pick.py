"""``compress pick`` as it is typed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from compressor.cli.main import main
from compressor.digests import file_digest
from compressor.report import FrontPoint, Report, ScoreInfo, Search, StageRecord


@pytest.fixture
def run(tmp_path: Path) -> Path:
    file = tmp_path / "search" / "model.onnx"
    file.parent.mkdir()
    file.write_bytes(b"x" * 900)
    point = FrontPoint(
        name="p01",
        made_by=[],
        score=0.8,
        score_drop=0.01,
        score_drop_stderr=0.002,
        size_bytes=900,
        precision="int8",
        epochs=1,
        meets=True,
        on_front=True,
        artifact="search/model.onnx",
        sha256=file_digest(file),
    )
    report = Report(
        status="ok",
        profile={},
        seed=0,
        environment={},
        command="",
        model={},
        data={},
        score=ScoreInfo(name="accuracy", higher_is_better=True, split="test", count=9),
        stages=[StageRecord(name="00-reference", kind="reference", seconds=0.0, size_bytes=16_000)],
        search=Search(objective="size", goals={}, split="validation", samples=9, epochs=1, seconds={}, front=[point]),
    )
    (tmp_path / "report.json").write_text(report.model_dump_json())
    return tmp_path


def test_a_point_within_a_size(run: Path) -> None:
    result = CliRunner().invoke(main, ["pick", str(run), "--max-size", "1kB"])
    assert result.exit_code == 0, result.output
    assert "0.9 kB" in result.stdout and "+0.0100 ± 0.0020" in result.stdout
    assert (run / "picked" / "model.onnx").read_bytes() == b"x" * 900
    printed = CliRunner().invoke(main, ["pick", str(run), "--point", "p01", "--json"])
    assert json.loads(printed.stdout)["path"] == str(run / "picked" / "model.onnx")


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ([], 2, "which one?"),
        (["--point", "p01", "--max-size", "1kB"], 2, "not both"),
        (["--max-size", "0.5kB"], 3, "p01 comes nearest"),
        (["--max-size", "small"], 2, "wanted a number"),
    ],
)
def test_what_cannot_be_had(run: Path, typed: list[str], code: int, said: str) -> None:
    result = CliRunner().invoke(main, ["pick", str(run), *typed])
    assert result.exit_code == code and said in result.stderr and "Traceback" not in result.stderr
