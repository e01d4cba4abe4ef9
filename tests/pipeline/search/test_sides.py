"""Halving, on networks that are imagined; test_search.py has real students."""

import pytest
from imagined import Imagined, moves_on

from compressor.pipeline.search.sides import Sides


def test_halving_keeps_the_best_and_trains_the_better_half() -> None:
    work = Imagined(steepness=0.01, free=0.3, untrained=0.01)
    moves = moves_on(work, score_drop=0.01)
    cuts = [moves.cut(work.origin, keep) for keep in (0.9, 0.5, 0.2, 0.02)]
    best = Sides(moves, (), None, ()).halved([cut for cut in cuts if cut is not None])
    # The smallest that keeps the goal: a share of .2 loses less than a point, one of .02 loses four.
    assert work.keep_of(best) == pytest.approx(0.2)
    trained = [line.split()[1] for line in work.log if " recover " in line]
    assert trained == ["p03", "p02"]


def test_where_nothing_keeps_the_goal_the_least_loss_wins() -> None:
    work = Imagined(steepness=0.05, free=0.9, untrained=0.0)
    moves = moves_on(work, score_drop=0.01)
    cuts = [moves.cut(work.origin, keep) for keep in (0.1, 0.3)]
    best = Sides(moves, (), None, ()).halved([cut for cut in cuts if cut is not None])
    assert work.keep_of(best) == pytest.approx(0.3)
