"""Baselines that a repository keeps."""

import json
from pathlib import Path

import onnx
import pytest
from convolutions import write_convolutions
from written_runs import write_run

from compressor.errors import InputError
from compressor.gate import Gate, checked, subject_of, write_baseline


def test_what_is_written_is_read_as_it_was_and_times_its_own_copy(tmp_path: Path) -> None:
    run = subject_of(write_run(tmp_path / "run"))
    path = tmp_path / "baseline.json"
    assert any(line.startswith("size: none -> ") for line in write_baseline(run, path))
    kept = subject_of(path)
    assert kept.file == str(tmp_path / "baseline.onnx")
    assert kept.model_copy(update={"file": run.file}) == run
    assert all(check.passed for check in checked(run, kept, Gate()))
    assert json.loads(path.read_text())["file"] == "baseline.onnx"


def test_an_update_says_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(subject_of(write_run(tmp_path / "a")), path)
    assert write_baseline(subject_of(tmp_path / "a"), path) == []
    changes = write_baseline(subject_of(write_run(tmp_path / "b", layers=3, score=0.91)), path)
    assert "params: 288 -> 432" in changes and "score: 0.9 -> 0.91" in changes


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    graph = onnx.load(write_convolutions(tmp_path / "whole.onnx", 4))
    onnx.save_model(graph, tmp_path / "model.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(InputError, match="weights in other files"):
        write_baseline(subject_of(tmp_path / "model.onnx"), tmp_path / "baseline.json")
    assert not (tmp_path / "baseline.json").exists()


def test_what_it_does_not_write_over(tmp_path: Path) -> None:
    run = subject_of(write_run(tmp_path / "run"))
    (tmp_path / "package.json").write_text("{}")
    with pytest.raises(InputError, match="which is no baseline"):
        write_baseline(run, tmp_path / "package.json")
    with pytest.raises(InputError, match=r"wanted a \.json file"):
        write_baseline(run, tmp_path / "run")
    with pytest.raises(InputError, match="no folder"):
        write_baseline(run, tmp_path / "nowhere" / "baseline.json")
    with pytest.raises(InputError, match="no result"):
        write_baseline(run.model_copy(update={"failed": "interrupted"}), tmp_path / "baseline.json")
