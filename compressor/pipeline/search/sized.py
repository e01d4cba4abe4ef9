"""The best network of a size: cut to just within the limits, and trained for as long as that helps."""

import math
from collections.abc import Callable

from compressor.errors import PlanError, StageError
from compressor.pipeline.search.moves import WHOLE, Moves
from compressor.pipeline.search.work import Node
from compressor.prune.budget import HIGHEST

# At once nothing more than half of every layer goes: what is left has to learn in between.
AT_ONCE = 0.5
# Shares of channels that differ by less give networks of one size.
NEAR, TRIALS = 0.02, 7
# Whole trainings of the network that was cut to size, one on top of the other.
MOST_TRAININGS, MOST_WITH_TIME = 2, 10


def best_of_size(moves: Moves, start: Node, better: Callable[[Node], Node] | None = None) -> None:
    """Look for the best file within the limits; the files are in ``moves``.

    Args:
        moves: The search's.
        start: What is cut.
        better: Gives the network that was cut to size, or another one of that size that learns better; None where no
            other is looked for.
    """
    here, keep = start, keep_within(moves, start)
    while keep < AT_ONCE:
        cut = moves.cut(here, AT_ONCE)
        if cut is None:
            break
        here, keep = cut, keep_within(moves, cut)
    if keep < 1.0:
        here = moves.cut(here, keep) or here
        here = here if better is None else better(here)
    file = moves.file(here)
    trainings = 0 if moves.brief else MOST_WITH_TIME if moves.judge.goals.hours else MOST_TRAININGS
    for _ in range(trainings):
        longer = None if file is None else moves.recover(here, WHOLE)
        after = None if longer is None else moves.file(longer)
        if file is None or longer is None or after is None:
            break
        gained = _drop(file) - _drop(after)
        if gained > 0:
            here, file = longer, after
        if gained <= (after.measured.score_drop_stderr or 0.0) / 2:
            break
    moves.finish(here)


def keep_within(moves: Moves, node: Node) -> float:
    """The largest share of every layer's channels with which the file keeps the limits; 1 where it does whole.

    Found on copies that nobody trains, each cut, rounded and written as a file.
    """
    by_clock = bool(moves.judge.goals.limits().keys() & {"latency", "latency_ms"})

    def fits(keep: float) -> bool:
        cut = () if keep == 1.0 else (moves.cutting(keep, 1),)
        try:
            return moves.judge.within(moves.work.trial(node, (*cut, *moves.tail), timed=by_clock))
        except (PlanError, StageError):
            # Rounding leaves all channels: there is nothing smaller to be had of it.
            return False

    def found() -> float:
        if fits(1.0):
            return 1.0
        low, high = 1 - HIGHEST, 1.0
        for _ in range(TRIALS):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if fits(middle) else (low, middle)
            if high - low < NEAR:
                break
        return low

    # Of a latency the clock decides, and a search that goes on must go on with the same.
    return moves.work.decisions.settle(f"keep of {node.content[:12]}", found, setting="prune.ratio")


def _drop(file: Node) -> float:
    return file.measured.score_drop or 0.0
