"""What a model hub is shown of a run's file."""

import json
from pathlib import Path

import reports
import yaml
from written_runs import write_run

from compressor.export.text_files import USAGE
from compressor.pipeline.model_card import BILL, CARD, model_card, write_card
from compressor.report import Report


def front_matter(page: str) -> dict[str, object]:
    _, matter, _ = page.split("---\n", 2)
    read: dict[str, object] = yaml.safe_load(matter)
    return read


def test_the_front_matter_and_the_figures() -> None:
    report = reports.full_report()
    report = report.model_copy(update={"model": {**report.model, "task": "image-classification"}})
    page = model_card(report)
    matter = front_matter(page)
    assert matter["pipeline_tag"] == "image-classification"
    assert {"compressor", "onnx", "int8", "pruning", "quantization"} <= set(matter["tags"])  # type: ignore[call-overload]
    (model,) = matter["model-index"]  # type: ignore[misc]
    (metric,) = model["results"][0]["metrics"]
    assert metric["value"] == report.stages[-1].score
    assert f"| {report.score.name} | {report.stages[0].score:.4f} | {report.stages[-1].score:.4f} |" in page
    assert report.artifacts[-1].sha256 in page


def test_what_users_call_things_is_text() -> None:
    hostile = "a\n---\nlicense: x\n<script>alert(1)</script> | `b` .pt"
    report = reports.full_report()
    report = report.model_copy(update={"model": {"source": hostile}, "data": {"source": hostile}, "command": hostile})
    page = model_card(report)
    assert "license" not in front_matter(page)
    body = page.split("---\n", 2)[2]
    assert "<script" not in body and "&lt;script&gt;" in body
    assert all(line.count("`") % 2 == 0 for line in body.splitlines())


def test_it_lies_beside_the_file_and_nowhere_else(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / CARD).write_text("the user's own")
    write_card(Report.read(run / "report.json"), run)
    assert (run / CARD).read_text() == "the user's own"
    assert (run / "01-export" / CARD).read_text().startswith("---\n")
    assert json.loads((run / "01-export" / BILL).read_text())["bomFormat"] == "CycloneDX"
    # What the export stage says of the use is part of it, once.
    (run / "01-export" / USAGE).write_text("    ask(it)\n")
    write_card(Report.read(run / "report.json"), run)
    assert (run / "01-export" / CARD).read_text().count("\n    ask(it)\n") == 1
    before = (run / "01-export" / CARD).stat().st_mtime_ns
    write_card(Report.read(run / "report.json"), run)
    assert (run / "01-export" / CARD).stat().st_mtime_ns == before
