"""The path: small cuts, each won back by training and measured as a file, for as long as the goal is kept.

Cutting and training in turns, the size of a cut following from what the last ones cost, is how NetAdapt (Yang et al.
2018, https://arxiv.org/abs/1804.03230) meets a budget of time; here it is the score that is limited, and what is to be
small is measured in the runtime.
"""

import math

from compressor.pipeline.search.mixed import narrowed
from compressor.pipeline.search.moves import MORE, WHOLE, Moves
from compressor.pipeline.search.work import Node

# Of each layer's channels, kept by the first cut and by the boldest; what a smaller cut would gain isn't looked for.
FIRST_KEEP, BOLDEST, LAST_KEEP = 0.5, 0.4, 0.9
# Where that share of what could be lost is left after a cut, the next one is bolder by that power.
PLENTY, BOLDER = 0.5, 1.3
# A smaller cut should lose less than this of what the one before it lost.
SAME = 0.85
MOST_CUTS, MOST_RECOVERIES, MOST_RETURNS = 16, 2, 4
# Cuts of a search that is only to show that it works.
BRIEFLY = 2


def smallest(moves: Moves, start: Node) -> None:
    """Look for the smallest file that keeps the goals; the files are in ``moves``.

    A cut that costs too much isn't trained again: the path goes on from the network before it with a smaller one. The
    network that missed by least gets a whole training at the end, and where that is enough the path goes on from it.
    """
    here, missed = _down(moves, start, FIRST_KEEP) if _keeps(moves, start)[1] else (start, None)
    for _ in range(0 if moves.brief else MOST_RETURNS):
        longer = None if missed is None else moves.recover(missed, WHOLE)
        if longer is None:
            break
        longer, kept = _keeps(moves, longer, MOST_RECOVERIES)
        if not kept:
            break
        here, missed = _down(moves, longer, math.sqrt(FIRST_KEEP))
    moves.finish(here)
    narrowed(moves, here)


def _down(moves: Moves, here: Node, keep: float) -> tuple[Node, Node | None]:
    """Cut on from a network that keeps the goal, until no cut does.

    Returns:
        The last that kept it, and the one that missed it by least, if any did.
    """
    missed: Node | None = None
    # The share of this network's channels that is known to be too few.
    too_few = 0.0
    for _ in range(BRIEFLY if moves.brief else MOST_CUTS):
        cut = moves.cut(here, keep) if too_few <= LAST_KEEP else None
        if cut is None:
            break
        before = moves.spare(here)
        tried, kept = _keeps(moves, cut)
        after = moves.spare(tried)
        if kept:
            here, missed, too_few = tried, missed if too_few else None, too_few / keep
            keep = max(next_keep(keep, before, after), math.sqrt(too_few))
        else:
            if missed is not None and too_few and after < SAME * moves.spare(missed):
                # A smaller cut lost as much: it isn't the channels that are missing, but training.
                break
            missed, too_few, keep = tried, keep, shorter_keep(keep, before, after)
    return here, missed


def _keeps(moves: Moves, node: Node, recoveries: int = 0) -> tuple[Node, bool]:
    """Whether a network's file keeps the goal, or does after more training; the network that was trained last."""
    file = moves.file(node)
    while file is not None and moves.spare(node) < 0:
        lacking, record = -moves.spare(node), file.measured
        if moves.rounding_loss(node) >= lacking:
            # In float it is good enough: training with rounding may win that back.
            moves.finish(node)
            break
        near = max(moves.judge.goals.score_drop or 0.0, 2 * (record.score_drop_stderr or 0.0))
        longer = moves.recover(node, MORE) if recoveries < MOST_RECOVERIES and lacking <= near else None
        if longer is None:
            break
        node, file, recoveries = longer, moves.file(longer), recoveries + 1
        gained = moves.spare(node) + lacking
        if gained < lacking / 2:
            break
    return node, moves.spare(node) >= 0


def next_keep(keep: float, before: float, after: float) -> float:
    """The share of channels for the cut after one that kept the goal: a bolder one where that cost little.

    Most of what a cut costs is won back later, so that a drop which is still within the goal says little of where the
    goal ends; only a cut that misses it does.

    Args:
        keep: Of the last cut.
        before: What could be lost before it.
        after: What can be lost after it, at least 0.
    """
    return max(BOLDEST, float(keep**BOLDER)) if after >= PLENTY * before else keep


def shorter_keep(keep: float, before: float, after: float) -> float:
    """The share of channels to try in place of a cut that missed the goal: further back the more it missed by.

    Args:
        keep: Of that cut.
        before: What could be lost before it, at least 0.
        after: What it lost too much, below 0.
    """
    part = before / (before - after) if math.isfinite(after) else 0.0
    return float(keep ** min(max(part, 0.3), 0.7))
