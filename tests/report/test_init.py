"""The report survives JSON, and refuses what it doesn't know."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from compressor.report import (
    Artifact,
    Baseline,
    BudgetCheck,
    FrontPoint,
    KdComparison,
    Latency,
    Layer,
    Parity,
    Ratios,
    Report,
    ScoreInfo,
    Search,
    Sensitivity,
    StageRecord,
    all_notes,
    in_ms_of,
)


def report() -> Report:
    latency = Latency(p50=1.5, p90=2.0, p99=3.0, runs=100, runtime="onnxruntime", reference_p50=3.0)
    record = StageRecord(name="00-reference", kind="reference", seconds=1.0, score=0.9, latency_ms=latency)
    return Report(
        status="ok",
        profile={"name": "mobile-cpu"},
        seed=0,
        environment={},
        command="compress run",
        model={},
        data={},
        score=ScoreInfo(name="accuracy", higher_is_better=True, split="test", count=360),
        stages=[record],
        ratios=Ratios(size=2.0),
    )


def test_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(report().model_dump_json())
    assert Report.read(path) == report()


def test_names_of_the_first_schema_stay() -> None:
    promised = {
        "status",
        "profile",
        "seed",
        "environment",
        "command",
        "model",
        "teachers",
        "data",
        "score",
        "stages",
        "artifacts",
        "ratios",
        "budget",
    }
    assert promised <= set(report().model_dump())
    assert report().schema_version == 1
    stage = {"name", "kind", "seconds", "cached", "params", "macs", "size_bytes", "score", "score_stderr"}
    stage |= {"latency_ms", "kd", "notes", "layers", "artifact"}
    assert stage <= set(StageRecord.model_fields)


def test_every_field_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    known = set(re.findall(r"`(\w+)`", page))
    records: list[type[BaseModel]] = [Report, StageRecord, Layer, Latency, Parity, KdComparison, Artifact, Ratios]
    records += [BudgetCheck, ScoreInfo, Search, FrontPoint, Sensitivity, Baseline]
    assert {field for record in records for field in record.model_fields} - known == set()


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match="no_such_field"):
        Report.model_validate({**report().model_dump(), "no_such_field": 1})


def test_what_several_stages_say_alike_is_said_once() -> None:
    one = report()
    stages = [
        one.stages[0].model_copy(update={"name": name, "notes": ["the same", f"of {name}"]})
        for name in ("01-a", "02-b")
    ]
    told = all_notes(one.model_copy(update={"stages": stages, "notes": ["the run's"]}))
    assert told == ["the run's", "01-a, 02-b: the same", "01-a: of 01-a", "02-b: of 02-b"]


def test_milliseconds_of_another_moment() -> None:
    first = Latency(p50=2.0, runtime="onnxruntime", reference_p50=2.0)
    # Timed while the machine was twice as slow.
    later = Latency(p50=1.0, runtime="onnxruntime", reference_p50=4.0)
    assert in_ms_of(later, first) == 0.5
    assert in_ms_of(first, first) == 2.0
    assert in_ms_of(None, first) is None
    assert in_ms_of(Latency(p50=1.0, runtime="onnxruntime"), first) is None
