"""The baseline that a search has to beat: as much training, spent on cuts drawn at random."""

import math

import torch

from compressor.pipeline.search.moves import MORE, Moves
from compressor.pipeline.search.work import Node
from compressor.prune.budget import HIGHEST

# The largest share of channels that a cut leaves.
LARGEST = 0.9


def random_cuts(moves: Moves, start: Node, epochs: int, seed: int) -> None:
    """Cut a network at once to shares of its channels that are drawn at random; the files are in ``moves``.

    Shares are even in their logarithm, from all that can go to a tenth (random search as Bergstra and Bengio 2012 have
    it, https://www.jmlr.org/papers/v13/bergstra12a.html). Each network is trained for half of a whole training, and
    the best of them is finished as the search's would be.

    Args:
        moves: Its prune stage gives the training.
        start: What every cut begins with.
        epochs: Of all trainings together; the last may go beyond.
        seed: Of the draws.
    """
    draws = torch.Generator().manual_seed(seed)
    low, high = math.log(1 - HIGHEST), math.log(LARGEST)
    each = moves.epochs(MORE)
    moves.file(start)
    spent = 0
    while spent < epochs:
        keep = math.exp(low + (high - low) * float(torch.rand((), generator=draws)))
        spent += each
        node = moves.made(start, moves.cutting(keep, each))
        if node is not None:
            moves.file(node)
    best = moves.judge.best(moves.files)
    if best is not None and len(best.stages) > len(moves.tail):
        moves.finish(moves.network_of(best))
