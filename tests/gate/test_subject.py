"""What is known of runs, reports and files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from convolutions import macs_of, values_of, write_convolutions
from safetensors.numpy import save_file
from written_runs import write_run

from compressor.errors import InputError
from compressor.gate import subject_of


def test_a_run_by_its_folder_its_report_and_what_points_to_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (tmp_path / "last").write_text(f"{run}\n")
    found = [subject_of(path) for path in (run, run / "report.json", tmp_path / "last")]
    assert found[0] == found[1] == found[2]
    assert found[0].file == str(run / "01-export" / "model.onnx")
    assert found[0].score is not None and found[0].score.drop == 0.005
    assert found[0].called.p50 == 0.5
    copied = tmp_path / "told.json"
    shutil.copy(run / "report.json", copied)
    assert subject_of(copied).size_bytes == found[0].size_bytes
    # Beside a copy there is no file.
    assert subject_of(copied).file == ""


def test_a_graph_alone(tmp_path: Path) -> None:
    path = write_convolutions(tmp_path / "model.onnx", layers=3)
    found = subject_of(path)
    assert (found.params, found.macs) == (values_of(3), macs_of(3))
    assert found.size_bytes == path.stat().st_size
    assert "--data" in found.lacking["score"] and "reference" in found.lacking["score_drop"]


def test_weights_and_engines_alone(tmp_path: Path) -> None:
    save_file({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.int8)}, tmp_path / "model.safetensors")
    found = subject_of(tmp_path / "model.safetensors")
    assert found.params == 17 and "without a network" in found.lacking["latency"]
    (tmp_path / "model.engine").write_bytes(b"engine")
    found = subject_of(tmp_path / "model.engine")
    assert found.size_bytes == 6 and found.called.runtime == "tensorrt" and "params" in found.lacking


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_run_without_a_result(tmp_path: Path, status: str) -> None:
    run = write_run(tmp_path / "run", status=status, notes=["the disk was full"])
    assert subject_of(run).failed == f"the run is {status}: the disk was full"


def test_what_is_damaged_or_of_another_kind(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    text = (run / "report.json").read_text()
    with pytest.raises(InputError, match="no file"):
        subject_of(tmp_path / "nothing")
    for name, content in {
        "half.json": text[: len(text) // 2],
        "nan.json": text.replace('"score":0.9', '"score":NaN'),
        "list.json": "[]",
        "other.json": "{}",
        "later.json": json.dumps({"version": 99, "name": "x"}),
        "model.onnx": "nothing",
        "empty.onnx": "",
        "model.safetensors": "nothing",
        "model.pt": "nothing",
    }.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError):
            subject_of(tmp_path / name)
    write_convolutions(run / "01-export" / "model.onnx", layers=4)
    with pytest.raises(InputError, match="its sha256 is another"):
        subject_of(run)


def test_a_report_that_names_a_file_of_others(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    text = (run / "report.json").read_text().replace("01-export/model.onnx", "../secret.onnx")
    (run / "report.json").write_text(text)
    with pytest.raises(InputError, match="not the run's"):
        subject_of(run)
