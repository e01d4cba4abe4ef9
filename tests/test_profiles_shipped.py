"""Every shipped profile parses, chains, gives a reason per setting, and runs on a tiny network with tiny data."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from compressor.pipeline import Job, plan, run
from compressor.profile import chain_faults, load_profile, profile_path, shipped_names
from compressor.tasks import make_task

_spec = importlib.util.spec_from_file_location("small", Path(__file__).with_name("small.py"))
assert _spec is not None and _spec.loader is not None
small: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


def test_all_targets_are_there() -> None:
    assert shipped_names() == ["jetson", "mobile-cpu", "server-cpu", "server-gpu"]


@pytest.mark.parametrize("name", shipped_names())
def test_parses_and_chains(name: str) -> None:
    profile = load_profile(name)
    assert chain_faults(profile) == []
    assert [stage.kind for stage in profile.stages] == ["distill", "prune", "quantize", "export"]
    assert profile.summary


@pytest.mark.parametrize("name", shipped_names())
def test_how_much_goes_is_left_to_the_goals_unless_it_is_typed(name: str) -> None:
    shipped = load_profile(name)
    assert shipped.stages[0].is_open and shipped.stages[1].is_open
    assert shipped.budget.score_drop
    for table in (shipped, shipped.for_inputs("texts")):
        assert [stage.is_open for stage in table.stages if stage.kind == "prune"] == [True]
    typed = load_profile(name, ["prune.budget.macs=0.3", "distill.student=same"])
    assert not typed.stages[0].is_open and not typed.stages[1].is_open


@pytest.mark.parametrize("name", shipped_names())
def test_every_choice_has_its_reason(name: str) -> None:
    """A comment on each line that sets something, but for the names of things."""
    lines = profile_path(name).read_text().splitlines()
    named = ("#", "summary", "extends", "runtime", "kind")
    assert [line for line in lines if " = " in line and not line.startswith(named) and "#" not in line] == []


@pytest.mark.parametrize("name", shipped_names())
def test_runs(name: str, tmp_path: Path) -> None:
    profile = load_profile(name, ["budget.score_drop=0.9"])
    job = Job(
        model=small.small_model(width=64),
        data=small.small_data(),
        profile=profile,
        task=make_task("image-classification"),
        out=tmp_path / "run",
        quick=True,
        device="cpu",
    )
    assert len(plan(job).lines) == 4
    report = run(job)
    assert report.status in ("ok", "budget_missed")
    assert report.search is not None and any(point.chosen for point in report.search.front)
    assert [record.kind for record in report.stages][-2:] == ["quantize", "export"]
    assert (tmp_path / "run" / "report.html").exists()
    assert report.stages[-1].params is None or report.stages[-1].params < (report.stages[0].params or 0)
