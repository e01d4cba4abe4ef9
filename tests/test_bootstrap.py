"""Intervals against what they are drawn from."""

import numpy as np
import pytest

from compressor.bootstrap import interval


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
