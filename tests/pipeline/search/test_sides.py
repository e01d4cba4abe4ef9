"""Halving, on networks that are imagined; test_search.py has real students."""

import pytest
from imagined import Imagined, moves_on

from compressor.pipeline.search.sides import Sides


def halved(work: Imagined, *keeps: float, left: float = float("inf")) -> float:
    """The share of channels of the network that wins among cuts to these."""
    moves = moves_on(work, left, score_drop=0.01)
    cuts = [moves.cut(work.origin, keep) for keep in keeps]
    return work.keep_of(Sides(moves, (), None, ()).halved([cut for cut in cuts if cut is not None]))


def trained_on(work: Imagined) -> list[str]:
    return [line.split()[1] for line in work.log if " recover " in line]


def test_halving_keeps_the_best_and_trains_the_better_half() -> None:
    # After a short training all miss the goal, after a longer one those that kept half and more keep it.
    work = Imagined(steepness=0.01, free=0.3, untrained=0.1)
    assert halved(work, 0.9, 0.5, 0.2, 0.02) == pytest.approx(0.5)
    assert trained_on(work) == ["p01", "p02"]


def test_what_keeps_the_goal_already_is_not_trained_to_be_compared() -> None:
    work = Imagined(steepness=0.01, free=0.3, untrained=0.01)
    # The smallest that keeps the goal: a share of .2 loses less than a point, one of .02 loses four.
    assert halved(work, 0.9, 0.5, 0.2, 0.02) == pytest.approx(0.2)
    assert trained_on(work) == []


def test_nor_what_would_take_too_much_of_the_time() -> None:
    # Four epochs take four seconds, of which a quarter is asked at most.
    work = Imagined(steepness=0.01, free=0.3, untrained=0.1)
    halved(work, 0.9, 0.5, 0.2, 0.02, left=15.0)
    assert trained_on(work) == []
    halved(work, 0.9, 0.5, 0.2, 0.02, left=17.0)
    assert len(trained_on(work)) == 2


def test_where_nothing_keeps_the_goal_the_least_loss_wins() -> None:
    work = Imagined(steepness=0.05, free=0.9, untrained=0.0)
    assert halved(work, 0.1, 0.3) == pytest.approx(0.3)
