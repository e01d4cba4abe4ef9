"""The best of a size, on networks whose costs are a formula."""

import pytest
from imagined import WHOLE_BYTES, Imagined, moves_on

from compressor.errors import PlanError
from compressor.pipeline.search.sized import NEAR, best_of_size, keep_within
from compressor.pipeline.search.work import Node
from compressor.prune.stage import Prune
from compressor.report import StageRecord
from compressor.stage import Stage


@pytest.mark.parametrize("limit", [0.9, 0.25, 0.01])
def test_the_largest_share_within_a_size(limit: float) -> None:
    moves = moves_on(Imagined(), size_mb=limit)
    known = (limit * 1e6 / WHOLE_BYTES) ** 0.5
    assert known - 2 * NEAR < keep_within(moves, moves.work.origin) <= known * 1.01


def test_a_network_that_is_small_enough_is_left_whole() -> None:
    work = Imagined()
    moves = moves_on(work, size_mb=2.0)
    assert keep_within(moves, moves.work.origin) == 1.0
    best_of_size(moves, moves.work.origin, lambda node: node)
    assert not any(" prune " in line for line in work.log)


def test_cuts_no_more_than_half_at_once_and_trains_while_it_helps() -> None:
    work = Imagined(steepness=0.001)
    moves = moves_on(work, size_mb=0.05)
    best_of_size(moves, moves.work.origin, lambda node: node)
    best = moves.judge.best(moves.files)
    assert best is not None
    size = best.measured.size_bytes or 0
    assert 0.04e6 < size <= 0.05e6
    cuts = [float(line.split()[3]) for line in work.log if " prune " in line]
    assert len(cuts) > 1 and max(cuts) <= 0.5
    assert any(" recover " in line for line in work.log)


def test_what_can_t_be_cut_further_is_as_small_as_it_gets() -> None:
    work = Imagined()
    moves = moves_on(work, size_mb=0.05)
    tried, stepped = work.trial, work.step

    def is_cut_again(node: Node, stages: tuple[Stage, ...]) -> bool:
        return work.keep_of(node) < 0.6 and any(isinstance(stage, Prune) for stage in stages)

    def trial(node: Node, stages: tuple[Stage, ...], timed: bool) -> StageRecord:
        if is_cut_again(node, stages):
            raise PlanError("no layer can lose channels")
        return tried(node, stages, timed)

    def step(node: Node, stage: Stage) -> Node | str:
        return "no layer can lose channels" if is_cut_again(node, (stage,)) else stepped(node, stage)

    work.trial, work.step = trial, step  # type: ignore[method-assign]
    best_of_size(moves, work.origin, lambda node: node)
    assert moves.files and moves.judge.best(moves.files) is None
    assert "comes nearest, with size_mb" in moves.judge.lacking(moves.files)


def test_better_within_more() -> None:
    drops = []
    for limit in (0.02, 0.05, 0.2):
        moves = moves_on(Imagined(), size_mb=limit)
        best_of_size(moves, moves.work.origin, lambda node: node)
        best = moves.judge.best(moves.files)
        assert best is not None
        drops.append(best.measured.score_drop or 0.0)
    assert drops == sorted(drops, reverse=True)
