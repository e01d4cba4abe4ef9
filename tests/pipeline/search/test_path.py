"""The path on networks whose best is known by a formula."""

import pytest
from imagined import Imagined, moves_on

from compressor.pipeline.search.path import BOLDEST, next_keep, shorter_keep, smallest
from compressor.pipeline.search.work import Node
from compressor.prune.stage import Prune


def chosen(work: Imagined, **goals: float) -> Node:
    moves = moves_on(work, **goals)
    smallest(moves, work.origin)
    best = moves.judge.best(moves.files)
    assert best is not None
    return best


@pytest.mark.parametrize("steepness", [0.002, 0.01, 0.05])
@pytest.mark.parametrize("free", [0.8, 0.3, 0.1])
def test_comes_near_to_the_smallest_that_keeps_the_goal(steepness: float, free: float) -> None:
    work = Imagined(steepness=steepness, free=free)
    best = chosen(work, score_drop=0.01)
    known = free * 2 ** (-0.01 / steepness)
    assert best.measured.score_drop is not None and best.measured.score_drop <= 0.01
    assert work.keep_of(best) <= max(known, 0.03) * 1.35


def test_a_path_may_have_no_length() -> None:
    """A compact network, of which no cut is small enough: rounding alone is the answer."""
    work = Imagined(free=1.0, steepness=0.5)
    best = chosen(work, score_drop=0.01)
    assert work.keep_of(best) == 1.0


def test_a_miss_goes_back_without_training() -> None:
    work = Imagined(free=0.5, steepness=0.2, untrained=0.0)
    chosen(work, score_drop=0.01)
    parents = [line.split()[1] for line in work.log if " prune " in line]
    names = [line.partition(":")[0] for line in work.log if " prune " in line]
    # The second cut missed by far: the third starts from the same network as it, and nothing was trained for that.
    assert parents[1] == parents[2] == names[0]
    between = work.log[[line.partition(":")[0] for line in work.log].index(names[1]) :]
    assert not any(line.startswith(f"{names[2]}:") and "recover" in line for line in between)


def test_what_missed_by_little_is_trained_on() -> None:
    work = Imagined(free=0.1, steepness=0.2, untrained=0.06, forgets=0.6)
    best = chosen(work, score_drop=0.01)
    assert any("recover" in line for line in work.log)
    assert work.keep_of(best) <= 0.2


def test_rounding_that_costs_too_much_is_trained_for() -> None:
    work = Imagined(rounding=0.05, free=0.3)
    best = chosen(work, score_drop=0.01)
    assert best.name.endswith("finished")
    assert work.keep_of(best) < 0.5


def test_nothing_can_go() -> None:
    work = Imagined(least_step=0.99)
    moves = moves_on(work, score_drop=0.01)
    smallest(moves, work.origin)
    assert moves.notes == ["p00: prune: nothing can go"]
    assert [file.name for file in moves.files] == ["p00", "p00 finished"]


def test_the_time_is_kept_to() -> None:
    work = Imagined()
    moves = moves_on(work, left=1.5, score_drop=0.01)
    smallest(moves, work.origin)
    assert not any(isinstance(stage, Prune) for file in moves.files for stage in file.stages)
    assert "no time is left" in moves.notes[0]


def test_the_next_cut_by_hand() -> None:
    # It cost less than half of what could be lost: bolder, but not without end.
    assert next_keep(0.7, 0.010, 0.008) == pytest.approx(0.7**1.3)
    assert next_keep(0.5, 0.010, 0.011) == pytest.approx(0.5**1.3)
    assert next_keep(0.42, 0.010, 0.008) == BOLDEST
    # It cost more: as far again.
    assert next_keep(0.7, 0.010, 0.004) == 0.7


def test_the_cut_in_place_of_one_that_missed_by_hand() -> None:
    # Of 0.012 that a halving cost 0.006 could be lost: half as far, in the logarithm.
    assert shorter_keep(0.5, 0.006, -0.006) == pytest.approx(0.5**0.5)
    assert shorter_keep(0.5, 0.0, -0.5) == pytest.approx(0.5**0.3)
    assert shorter_keep(0.5, 0.01, float("-inf")) == pytest.approx(0.5**0.3)
