"""Where a run's files come from, and whether they are as it left them."""

import json
from pathlib import Path

import pytest
from written_runs import write_run

from compressor.errors import InputError
from compressor.pipeline.lineage import NAME, damage, read_lineage, write_lineage
from compressor.report import Report


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = write_run(tmp_path / "run")
    (folder / "search").mkdir()
    (folder / "search" / "lock").touch()
    (folder / "picked").mkdir()
    (folder / "picked" / "model.onnx").write_bytes(b"another")
    (folder / "01-export" / "model.onnx.tmp").write_bytes(b"half")
    write_lineage(Report.read(folder / "report.json"), folder)
    return folder


def test_every_file_of_the_run_is_in_it(run: Path) -> None:
    assert set(read_lineage(run).files) == {"report.json", "01-export/model.onnx"}
    assert damage(run) == []


def test_one_byte_of_any_file(run: Path) -> None:
    for name in read_lineage(run).files:
        path = run / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert damage(run) == [f"{name} is not what the run wrote"]
        path.unlink()
        assert damage(run) == [f"{name} is gone"]
        path.write_bytes(content)
    text = (run / NAME).read_text()
    (run / NAME).write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(InputError, match="is not what the run wrote"):
        damage(run)
    (run / NAME).unlink()
    with pytest.raises(InputError, match="no file"):
        damage(run)


def test_the_same_again_is_not_written_again(run: Path) -> None:
    before = (run / NAME).stat().st_mtime_ns
    report = Report.read(run / "report.json")
    write_lineage(report.model_copy(update={"command": "typed otherwise"}), run)
    assert (run / NAME).stat().st_mtime_ns == before
    write_lineage(report.model_copy(update={"seed": 7}), run)
    assert json.loads((run / NAME).read_text())["seed"] == 7
    # One that is damaged is written anew.
    (run / NAME).write_text("{}")
    write_lineage(report, run)
    assert damage(run) == []
