"""Intervals of medians that were taken in groups (Efron 1979, "Bootstrap methods: another look at the jackknife")."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

RESAMPLED = 1000


def interval(groups: Sequence[Sequence[float]], confidence: float) -> tuple[float, float, float]:
    """The median over groups of their own medians, and the bootstrap's interval: groups are drawn, and values in each.

    Args:
        groups: Two at least, with equally many values.
        confidence: Of the interval, 0.5 to 1.

    Returns:
        The median, and the interval's lower and upper end.
    """
    values: npt.NDArray[np.float64] = np.asarray(groups, dtype=np.float64)
    count, size = values.shape
    draws = np.random.default_rng(0)
    places = draws.integers(count, size=(RESAMPLED, count, 1))
    drawn = values[places, draws.integers(size, size=(RESAMPLED, count, size))]
    middle = float(np.median(np.median(values, axis=1)))
    return middle, *_ends(middle, np.median(np.median(drawn, axis=2), axis=1), count, confidence)


def ratio_interval(
    above: Sequence[Sequence[float]], below: Sequence[Sequence[float]], confidence: float
) -> tuple[float, float]:
    """The bootstrap's interval of the ratio of two medians over all values, which were taken in the same rounds.

    Rounds are drawn, both sides' together: what slows one round slows both.

    Args:
        above: By round, two at least; the rounds' sizes may differ.
        below: The same rounds.
        confidence: Of the interval, 0.5 to 1.

    Returns:
        The lower and the upper end.
    """
    count = len(above)
    sides = [[np.asarray(one, dtype=np.float64) for one in side] for side in (above, below)]

    def ratio(places: Sequence[int]) -> float:
        first, second = (float(np.median(np.concatenate([side[place] for place in places]))) for side in sides)
        return first / second

    draws = np.random.default_rng(0).integers(count, size=(RESAMPLED, count))
    return _ends(ratio(range(count)), np.array([ratio(places) for places in draws]), count, confidence)


def _ends(middle: float, drawn: npt.NDArray[np.float64], count: int, confidence: float) -> tuple[float, float]:
    # Of few groups the bootstrap's spread is too small, as a deviation over n in place of n - 1 is.
    widened = middle + (drawn - middle) * np.sqrt(count / (count - 1))
    low, high = np.quantile(widened, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
