"""Intervals against what they are drawn from."""

import numpy as np
import pytest

from compressor.bootstrap import interval, ratio_interval


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        shifts = draws.normal(0, 0.02, size=(8, 1))
        _, low, high = interval((shifts + draws.normal(0, 0.03, size=(8, 16))).tolist(), 0.95)
        held += low <= 0 <= high
    assert held >= 0.93 * 200


def test_by_hand() -> None:
    assert interval([[1.0, 2.0, 9.0], [4.0, 4.0, 4.0], [7.0, 6.0, 5.0]], 0.95)[0] == 4.0
    assert interval([[2.0], [2.0]], 0.95) == (2.0, 2.0, 2.0)
    _, low, high = interval([[0.0], [1.0]], 0.95)
    # Either both are drawn or one twice, widened by the root of two over one.
    assert (low, high) == pytest.approx((0.5 - 0.5 * 2**0.5, 0.5 + 0.5 * 2**0.5))


def test_the_ratio_of_medians_lies_in_its_interval_and_so_does_the_truth() -> None:
    """Rounds that are slow for both, some more than twice, and sizes that differ: three against one."""
    draws = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        slow = np.exp(np.abs(draws.normal(0, 0.4, size=(10, 1))))
        above, below = (base * slow * np.exp(draws.normal(0, 0.05, (10, size))) for base, size in ((3, 12), (1, 30)))
        low, high = ratio_interval(above.tolist(), below.tolist(), 0.95)
        assert low <= np.median(above) / np.median(below) <= high
        held += low <= 3 <= high
    assert held >= 90


def test_a_ratio_that_never_differs_has_no_width() -> None:
    assert ratio_interval([[4.0], [8.0]], [[2.0, 2.0], [4.0, 4.0]], 0.95) == (2.0, 2.0)
