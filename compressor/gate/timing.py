"""Whether a file is slower than another, or than a limit, told from what else a shared machine does.

Two files are timed in rounds, one after the other and in turns: what slows the machine for longer than a round slows
both, and the ratio of a round is free of it. Where memory falls differs from one session to the next and with it the
time, by more than rounds alone would tell: sessions are opened anew in every sitting. The interval is the bootstrap's
(Efron 1979), over sittings and over the rounds in each; timing goes on until it lies on one side of the limit. Each
look at it takes its share of the error that is allowed (Bonferroni), so that looking often doesn't add up.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compressor.bootstrap import interval

Call = Callable[[], object]
Clock = Callable[[], float]

ROUNDS, WARM_UP = 16, 3
# Seconds that one file has in a round: shorter than most of what disturbs, long beside a clock's tick.
BLOCK = 0.003
FEWEST_SITTINGS, MOST_SITTINGS = 4, 64
# Looks at the interval: after 4, 8, 16, 32 and 64 sittings, or when the time is over.
MOST_LOOKS = 6


@dataclass(frozen=True)
class Timed:
    """What was measured, with its interval.

    Args:
        value: Milliseconds of a call, or how many times the other's they are.
        low: The interval's lower end.
        high: Its upper end.
        rounds: How many were timed.
    """

    value: float
    low: float
    high: float
    rounds: int

    def is_decided(self, limit: float) -> bool:
        """Whether the interval lies on one side of a limit."""
        return self.high <= limit or self.low > limit


def compared(
    open_pair: Callable[[], tuple[Call, Call]],
    limit: float,
    *,
    confidence: float,
    seconds: float,
    clock: Clock = time.perf_counter,
) -> Timed:
    """How many times a call's time is another's.

    Args:
        open_pair: Opens both anew: the one in question, and the one that it is compared with.
        limit: What the ratio is asked to be at most.
        confidence: Of the interval, all looks together.
        seconds: When to end undecided.
        clock: Seconds.
    """

    def sitting() -> list[float]:
        pair = open_pair()
        counts = [_calls(one, clock) for one in pair]
        found = []
        for number in range(ROUNDS):
            taken = [0.0, 0.0]
            for place in (0, 1) if number % 2 == 0 else (1, 0):
                taken[place] = _block(pair[place], counts[place], clock)
            found.append(float(np.log(taken[0] / taken[1])))
        return found

    timed = _until_decided(sitting, float(np.log(limit)), confidence, seconds, clock)
    value, low, high = (float(np.exp(end)) for end in (timed.value, timed.low, timed.high))
    return Timed(value, low, high, timed.rounds)


def alone(
    open_one: Callable[[], Call],
    limit: float,
    *,
    confidence: float,
    seconds: float,
    clock: Clock = time.perf_counter,
) -> Timed:
    """Milliseconds of a call; arguments as ``compared``'s, the limit in milliseconds."""

    def sitting() -> list[float]:
        one = open_one()
        count = _calls(one, clock)
        return [1000 * _block(one, count, clock) for _ in range(ROUNDS)]

    return _until_decided(sitting, limit, confidence, seconds, clock)


def _until_decided(
    sitting: Callable[[], list[float]], limit: float, confidence: float, seconds: float, clock: Clock
) -> Timed:
    start, sittings = clock(), list[list[float]]()
    look = FEWEST_SITTINGS
    while True:
        sittings.append(sitting())
        is_over = clock() - start >= seconds or len(sittings) >= MOST_SITTINGS
        if len(sittings) < look and not (is_over and len(sittings) > 1):
            continue
        look *= 2
        timed = Timed(*interval(sittings, 1 - (1 - confidence) / MOST_LOOKS), sum(map(len, sittings)))
        if is_over or timed.is_decided(limit):
            return timed


def _calls(call: Call, clock: Clock) -> int:
    """How many calls fill a block."""
    fastest = min(_block(call, 1, clock) for _ in range(WARM_UP))
    return max(1, min(1000, round(BLOCK / max(fastest, 1e-7))))


def _block(call: Call, count: int, clock: Clock) -> float:
    """Seconds of one call, over so many; what was called before it isn't counted."""
    start = clock()
    for _ in range(count):
        call()
    return max(clock() - start, 1e-9) / count
