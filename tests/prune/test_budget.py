"""The ratio that meets a budget, against a brute force over ratios."""

import copy
from pathlib import Path

import pytest
import small
from pydantic import ValidationError

from compressor.context import RunContext
from compressor.errors import BudgetError, PlanError
from compressor.measure import count_macs, count_params
from compressor.prune import prune_channels
from compressor.prune.budget import PruneBudget, check_measurable, find_ratio
from compressor.target import Target


def pruner(ctx: RunContext, round_to: int = 1):  # type: ignore[no-untyped-def]
    inputs = ctx.task.example_inputs(ctx.data, 2)
    return lambda module, ratio: prune_channels(module, inputs, ratio, round_to=round_to)


@pytest.mark.parametrize(("name", "count"), [("macs", count_macs), ("params", lambda m, _: count_params(m))])
def test_smallest_ratio_within(tmp_path: Path, name: str, count) -> None:  # type: ignore[no-untyped-def]
    ctx = small.small_context(tmp_path)
    inputs = ctx.task.example_inputs(ctx.data, 2)
    prune = pruner(ctx)
    ratio, said = find_ratio(ctx.reference, PruneBudget(**{name: 0.4}), ctx, prune)
    assert said == ""
    full = count(ctx.reference.module, inputs)

    def share(candidate: float) -> float:
        pruned = copy.deepcopy(ctx.reference.module)
        prune(pruned, candidate)
        return count(pruned, inputs) / full

    assert share(ratio) <= 0.4
    brute = next(step / 100 for step in range(1, 97) if share(step / 100) <= 0.4)
    assert abs(ratio - brute) < 0.02


def test_size_is_that_of_the_exported_file(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    ratio, said = find_ratio(ctx.reference, PruneBudget(size_mb=0.05), ctx, pruner(ctx, 4))
    assert 0 < ratio < 1 and said == ""


def test_within_already(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    assert find_ratio(ctx.reference, PruneBudget(macs=1.0), ctx, pruner(ctx)) == (0.0, "")


def test_out_of_reach_says_what_is(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    with pytest.raises(BudgetError, match="can't be reached") as caught:
        find_ratio(ctx.reference, PruneBudget(macs=0.01), ctx, pruner(ctx, 8))
    assert 0.01 < caught.value.smallest < 1
    assert f"prune.budget.macs={caught.value.smallest * 1.05:.2g}" in caught.value.hint


def test_the_nearest_stands_for_what_is_out_of_reach_and_is_said(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    prune = pruner(ctx, 8)
    ratio, said = find_ratio(ctx.reference, PruneBudget(params=0.01, nearest=True), ctx, prune)
    assert "prune.budget.params = 0.01 can't be reached" in said and "nearest" in said
    reached, least = copy.deepcopy(ctx.reference.module), copy.deepcopy(ctx.reference.module)
    prune(reached, ratio)
    prune(least, 0.97)
    assert count_params(reached) <= 1.02 * count_params(least)


def test_a_latency_needs_its_runtime(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path, Target(runtime="tensorrt"))
    with pytest.raises(PlanError, match="can't be measured") as caught:
        check_measurable(PruneBudget(latency_ms=1.0), ctx)
    assert "macs" in caught.value.hint
    check_measurable(PruneBudget(macs=0.5), ctx)


@pytest.mark.parametrize("limits", [{}, {"macs": 0.5, "params": 0.5}, {"score_drop": 0.1}])
def test_exactly_one_limit(limits: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        PruneBudget(**limits)


def test_a_network_of_which_nothing_can_go(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    ratio, said = find_ratio(ctx.reference, PruneBudget(macs=0.5, nearest=True), ctx, lambda _module, _ratio: None)
    assert ratio > 0.9 and "still leaves 1" in said


def test_what_is_as_slow_without_its_channels_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compressor.prune.budget._cost", lambda *_: 2.0)
    ctx = small.small_context(tmp_path)
    ratio, said = find_ratio(ctx.reference, PruneBudget(latency_ms=1.0, nearest=True), ctx, pruner(ctx))
    assert ratio == 0.0 and "gains nothing" in said
