"""Another file of a front: the one that meets the goals, whole, and from the run alone."""

from pathlib import Path
from typing import Any

import pytest

from compressor.digests import file_digest
from compressor.errors import BudgetError, InputError
from compressor.pipeline.pick import pick
from compressor.report import FrontPoint, Report, ScoreInfo, Search, StageRecord
from compressor.target import Goals

FIGURES = {"p00": (4000, 2.0, 0.0), "p01": (1000, 1.0, 0.002), "p02": (300, 0.8, 0.008), "p03": (100, 0.5, 0.05)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    points = []
    for name, (size, milliseconds, drop) in FIGURES.items():
        folder = tmp_path / "run" / "search" / f"export-{name}"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(name.encode() * size)
        (folder / "infer.py").write_text("print()")
        (folder / "stage.json").write_text("{}")
        points.append(
            FrontPoint(
                name=name,
                made_by=["prune 50%"],
                score=0.9 - drop,
                score_drop=drop,
                size_bytes=size,
                latency_ms=milliseconds,
                reference_latency_ms=4.0,
                precision="int8",
                epochs=1,
                meets=True,
                on_front=True,
                artifact=f"search/export-{name}/model.onnx",
                sha256=file_digest(folder / "model.onnx"),
            )
        )
    write(tmp_path / "run", points)
    return tmp_path / "run"


def write(folder: Path, points: list[FrontPoint] | None) -> None:
    search = None
    if points is not None:
        search = Search(objective="size", goals={}, split="validation", samples=9, epochs=1, seconds={}, front=points)
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
        search=search,
    )
    (folder / "report.json").write_text(report.model_dump_json())


@pytest.mark.parametrize(
    ("goals", "name"),
    [
        ({"size_mb": 0.002}, "p01"),
        ({"size_mb": 0.0005}, "p02"),
        ({"score_drop": 0.01}, "p02"),
        ({"score_drop": 0.003}, "p01"),
        ({"latency_ms": 0.9}, "p02"),
        ({"score_drop": 0.1, "minimize": "latency"}, "p03"),
        ({"latency": 0.25}, "p01"),
    ],
)
def test_the_best_that_meets_the_goals(run: Path, goals: dict[str, Any], name: str) -> None:
    picked = pick(run, Goals(**goals), None, None)
    assert picked.point.name == name
    assert picked.path == run / "picked" / "model.onnx"
    assert file_digest(picked.path) == picked.point.sha256
    assert sorted(path.name for path in picked.path.parent.iterdir()) == ["infer.py", "model.onnx"]


def test_by_its_name_and_to_another_place(run: Path, tmp_path: Path) -> None:
    picked = pick(run / "report.json", Goals(), "p03", tmp_path / "there")
    assert picked.path == tmp_path / "there" / "model.onnx" and picked.path.read_bytes().startswith(b"p03")


def test_through_the_pointer_to_the_last_run(run: Path) -> None:
    (run.parent / "last").write_text(f"{run}\n")
    assert pick(run.parent / "last", Goals(), "p00", None).point.name == "p00"


def test_none_meets_that(run: Path) -> None:
    with pytest.raises(BudgetError, match="p03 comes nearest") as caught:
        pick(run, Goals(size_mb=0.00005), None, None)
    assert "--point p03" in caught.value.hint


def test_what_is_wrong_with_a_run_is_said(run: Path) -> None:
    with pytest.raises(InputError, match="has no point 'p05'; did you mean"):
        pick(run, Goals(), "p05", None)
    (run / "search" / "export-p02" / "model.onnx").write_bytes(b"other")
    with pytest.raises(InputError, match="is not the file that was measured"):
        pick(run, Goals(), "p02", None)
    (run / "search" / "export-p02" / "model.onnx").unlink()
    with pytest.raises(InputError, match="is gone"):
        pick(run, Goals(), "p02", None)
    points = Report.read(run / "report.json").search
    assert points is not None
    write(run, [points.front[0].model_copy(update={"artifact": "../../secret"})])
    with pytest.raises(InputError, match="a file that is not the run's"):
        pick(run, Goals(), "p00", None)
    write(run, None)
    with pytest.raises(InputError, match="no search to pick from"):
        pick(run, Goals(), "p00", None)
    with pytest.raises(InputError):
        pick(run / "nowhere", Goals(), "p00", None)
