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
    # Of few groups the bootstrap's spread is too small, as a deviation over n in place of n - 1 is.
    widened = middle + (np.median(np.median(drawn, axis=2), axis=1) - middle) * np.sqrt(count / (count - 1))
    low, high = np.quantile(widened, [(1 - confidence) / 2, (1 + confidence) / 2])
    return middle, float(low), float(high)
