"""Edits by hand, by brute force, and of words with two pronunciations."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor.tasks.error_rates import edits

SYMBOLS = st.lists(st.sampled_from("ABC"), max_size=6)


def by_recursion(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """The definition, with nothing clever in it."""

    @functools.cache
    def between(first: int, second: int) -> int:
        if not first or not second:
            return first + second
        same = one[first - 1] == other[second - 1]
        return min(
            between(first - 1, second) + 1, between(first, second - 1) + 1, between(first - 1, second - 1) + (not same)
        )

    return between(len(one), len(other))


@given(SYMBOLS, SYMBOLS.filter(bool))
def test_edits_are_the_fewest(one: list[str], other: list[str]) -> None:
    assert edits([one], [[other]]).made.tolist() == [by_recursion(tuple(one), tuple(other))]


def test_symbols_are_whole() -> None:
    found = edits([("AA1", "R")], [[("AA0", "R")]])
    assert found.made.tolist() == [1] and found.error_rate == 0.5


def test_the_nearest_reference_counts() -> None:
    tomato = [("T", "AH", "M", "EY", "T", "OW"), ("T", "AH", "M", "AA", "T", "OW")]
    found = edits([tomato[1], tomato[0], ("T", "AH"), ()], [tomato] * 3 + [[("A",), ("B", "C")]])
    assert found.made.tolist() == [0, 0, 4, 1] and found.wanted.tolist() == [6, 6, 6, 1]
    assert found.wrong.tolist() == [False, False, True, True]
    assert found.error_rate == pytest.approx(5 / 19)


def test_the_error_bar_is_the_spread_of_such_rates() -> None:
    draws = np.random.default_rng(1)
    rates, bars = [], []
    for _ in range(60):
        wrong = draws.random(200) < 0.3
        found = edits([("B",) if bad else ("A",) for bad in wrong], [[("A",)]] * 200)
        rates.append(found.error_rate)
        bars.append(found.error_rate_stderr)
    assert np.mean(bars) == pytest.approx(np.std(rates), rel=0.3)
    assert np.mean(bars) == pytest.approx(np.sqrt(0.3 * 0.7 / 200), rel=0.15)
