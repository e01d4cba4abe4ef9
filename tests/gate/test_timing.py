"""Timing on machines that are only imagined: what is really slower is known."""

from collections.abc import Callable

import numpy as np
import pytest

from compressor.gate.timing import MOST_SITTINGS, ROUNDS, Call, Timed, alone, compared

TRIES = 30


class Machine:
    """A clock and calls; other work slows both files by turns, and memory falls differently in every session."""

    def __init__(self, seed: int) -> None:
        self.now, self._slowed = 0.0, 1.0
        self._draws = np.random.default_rng(seed)

    def clock(self) -> float:
        return self.now

    def call(self, seconds: float) -> Call:
        own = seconds * float(np.exp(0.015 * self._draws.standard_normal()))

        def go() -> None:
            if self._draws.random() < 0.002:
                self._slowed = float(self._draws.choice([1.0, 1.0, 1.5, 2.2, 3.0]))
            self.now += own * self._slowed * (1 + 0.03 * abs(self._draws.standard_normal()))

        return go

    def pair(self, ratio: float) -> Callable[[], tuple[Call, Call]]:
        return lambda: (self.call(4e-4 * ratio), self.call(4e-4))


@pytest.mark.parametrize("ratio", [1.0, 1.1])
def test_what_is_a_tenth_slower_is_told_from_what_is_not(ratio: float) -> None:
    for seed in range(TRIES):
        machine = Machine(seed)
        timed = compared(machine.pair(ratio), 1.05, confidence=0.99, seconds=20, clock=machine.clock)
        assert timed.is_decided(1.05)
        assert (timed.value > 1.05) == (ratio > 1.05)
        assert machine.now < 20


def test_the_nearer_the_limit_the_longer() -> None:
    rounds = []
    for ratio in (1.0, 1.04):
        machine = Machine(1)
        timed = compared(machine.pair(ratio), 1.05, confidence=0.99, seconds=60, clock=machine.clock)
        rounds.append(timed.rounds)
    assert rounds[0] < rounds[1] <= MOST_SITTINGS * ROUNDS


def test_without_time_it_is_left_open() -> None:
    machine = Machine(0)
    timed = compared(machine.pair(1.05), 1.05, confidence=0.99, seconds=0.0, clock=machine.clock)
    assert timed.rounds == 2 * ROUNDS
    assert not timed.is_decided(1.05)


def test_milliseconds_of_one_file_alone() -> None:
    machine = Machine(3)
    timed = alone(lambda: machine.call(4e-4), 0.8, confidence=0.99, seconds=20, clock=machine.clock)
    assert timed.is_decided(0.8) and timed.low <= timed.value <= timed.high
    assert timed.value == pytest.approx(0.41, rel=0.05)


def test_on_which_side_an_interval_lies() -> None:
    assert Timed(1.0, 0.9, 1.0, 4).is_decided(1.0)
    assert not Timed(1.0, 0.9, 1.1, 4).is_decided(1.0)
    assert Timed(1.2, 1.1, 1.3, 4).is_decided(1.0)
