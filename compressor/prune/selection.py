"""How many channels of each group stay, and which: counting and ranking, without a network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Scope = Literal["local", "global"]
MOST_REMOVED = 0.95


@dataclass(frozen=True, slots=True)
class Candidate:
    """One group of channels, as the selection sees it.

    Args:
        scores: One per channel, for all that are left.
        original: How many channels the ratio refers to; more than are left after earlier rounds.
        blocks: Channels lie in this many equal blocks (a grouped convolution's groups) that must stay equal.
    """

    scores: Tensor
    original: int
    blocks: int = 1

    @property
    def size(self) -> int:
        """Channels per block that are left."""
        return len(self.scores) // self.blocks


def kept_per_block(candidate: Candidate, ratio: float, round_to: int) -> int:
    """How many channels of each block stay: the nearest count that makes the whole a multiple of ``round_to``.

    At least one multiple stays; where there isn't room for a smaller multiple, all do.
    """
    unit = round_to // math.gcd(round_to, candidate.blocks)
    wanted = candidate.original / candidate.blocks * (1 - ratio)
    kept = max(unit, math.floor(wanted / unit + 0.5) * unit)
    return min(kept, candidate.size)


def select(candidates: Sequence[Candidate], ratio: float, round_to: int, scope: Scope) -> list[list[int]]:
    """The channels to remove from each candidate.

    ``local`` removes the same share of every group; ``global`` ranks the channels of all groups together,
    so that each group's share follows from its scores. Ties go to the lower index.

    Args:
        candidates: The groups.
        ratio: Share of the original channels to remove in all.
        round_to: Kept counts are multiples of this.
        scope: How shares are set.
    """
    shares = [ratio] * len(candidates) if scope == "local" else _shares(candidates, ratio)
    chosen = []
    for candidate, share in zip(candidates, shares, strict=True):
        kept = kept_per_block(candidate, share, round_to)
        order = torch.argsort(_block_scores(candidate), stable=True)[: candidate.size - kept].tolist()
        chosen.append(sorted(block * candidate.size + place for block in range(candidate.blocks) for place in order))
    return chosen


def _block_scores(candidate: Candidate) -> Tensor:
    return candidate.scores.view(candidate.blocks, candidate.size).mean(0)


def _shares(candidates: Sequence[Candidate], ratio: float) -> list[float]:
    total = sum(candidate.original for candidate in candidates)
    gone = [candidate.original - len(candidate.scores) for candidate in candidates]
    ranked = sorted(
        (score, index, place)
        for index, candidate in enumerate(candidates)
        for place, score in enumerate(_block_scores(candidate).tolist())
    )
    left = ratio * total - sum(gone)
    for _, index, _ in ranked:
        candidate = candidates[index]
        if left < candidate.blocks / 2:
            break
        if gone[index] + candidate.blocks <= MOST_REMOVED * candidate.original:
            gone[index] += candidate.blocks
            left -= candidate.blocks
    return [count / candidate.original for count, candidate in zip(gone, candidates, strict=True)]
