"""Runs as they lie in a folder: a report and the file that it tells of."""

from pathlib import Path
from typing import Any

from convolutions import write_convolutions

from compressor.digests import file_digest
from compressor.report import Artifact, Latency, Report, ScoreInfo, StageRecord

OF_REPORT = {"status", "profile", "notes"}
TARGET = {"runtime": "onnxruntime", "threads": 1, "batch_size": 1}


def write_run(folder: Path, layers: int = 2, says: str = "", **changed: Any) -> Path:
    """A finished run's folder; ``changed`` are fields of its last record, or those of ``OF_REPORT``."""
    (folder / "01-export").mkdir(parents=True)
    file = write_convolutions(folder / "01-export" / "model.onnx", layers, says=says)
    size = file.stat().st_size
    record = StageRecord(
        name="01-export",
        kind="export",
        seconds=1.0,
        params=layers * 144,
        macs=layers * 144 * 64,
        size_bytes=size,
        score=0.9,
        score_stderr=0.003,
        score_drop=0.005,
        score_drop_stderr=0.002,
        latency_ms=Latency(p50=0.5, spread=0.01, reference_p50=2.0, runtime="onnxruntime"),
    ).model_copy(update={name: value for name, value in changed.items() if name not in OF_REPORT})
    artifact = Artifact(
        path="01-export/model.onnx", format="onnx", precision="fp32", size_bytes=size, sha256=file_digest(file)
    )
    report = Report(
        status="ok",
        profile={"name": "mobile-cpu", "target": TARGET},
        seed=0,
        environment={},
        command="",
        model={},
        data={"fingerprint": "abc"},
        score=ScoreInfo(name="accuracy", higher_is_better=True, split="test", count=10_000),
        stages=[record],
        artifacts=[artifact],
    ).model_copy(update={name: value for name, value in changed.items() if name in OF_REPORT})
    (folder / "report.json").write_text(report.model_dump_json())
    return folder
