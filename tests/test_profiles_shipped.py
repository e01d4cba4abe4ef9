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
def test_a_share_gives_way_unless_it_was_typed(name: str) -> None:
    shipped = load_profile(name)
    limit = next(key for key, value in shipped.stages[1].model_dump()["budget"].items() if value)
    typed = load_profile(name, [f"prune.budget.{limit}=0.3"])
    assert shipped.stages[1].model_dump()["budget"]["nearest"]
    assert not typed.stages[1].model_dump()["budget"]["nearest"]


@pytest.mark.parametrize("name", shipped_names())
def test_every_choice_has_its_reason(name: str) -> None:
    """A comment on each line that sets something, but for the names of things."""
    lines = profile_path(name).read_text().splitlines()
    named = ("#", "summary", "extends", "runtime", "kind")
    assert [line for line in lines if " = " in line and not line.startswith(named) and "#" not in line] == []


@pytest.mark.parametrize("name", shipped_names())
def test_runs(name: str, tmp_path: Path) -> None:
    profile = load_profile(name, ["distill.student=same"])
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
    assert [record.kind for record in report.stages] == ["reference", "distill", "prune", "quantize", "export"]
    assert (tmp_path / "run" / "report.html").exists()
    assert report.stages[-1].params is None or report.stages[-1].params < (report.stages[0].params or 0)
