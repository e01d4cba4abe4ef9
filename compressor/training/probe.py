"""What may be spent on a timing that decides something about a training, and how steps are timed within it."""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import torch

from compressor.context import RunContext
from compressor.data import Batch
from compressor.training.layout import Layout

SHARE = 0.05
MOST_SECONDS = 20.0
# Samples: two small parts of a batch tell what a call costs and what a sample does; below LEAST nothing is compared.
SMALL, LEAST = 4, 16
ROUNDS = 3
# Works that are so far apart in both of the first two rounds aren't called again.
CLEAR = 1.5

Clock = Callable[[], float]


@dataclass
class Allowance:
    """Seconds that a probe may take: a twentieth of the training that it steers, and never more than 20.

    Args:
        steps: Of that training.
        most: In place of 20, where several probes share them.
        clock: Seconds; the allowance runs from when it was made.
    """

    steps: float
    most: float = MOST_SECONDS
    clock: Clock = field(default_factory=lambda: time.perf_counter)

    def __post_init__(self) -> None:
        self._start = self.clock()

    @property
    def spent(self) -> float:
        """Seconds since it was made."""
        return self.clock() - self._start

    def left(self, seconds_per_step: float) -> float:
        """Seconds that are left, if a step of the training takes so long."""
        return min(self.most, SHARE * self.steps * seconds_per_step) - self.spent

    def covers(self, kinds: int, batch_size: int) -> bool:
        """Whether so many kinds of work could be compared in that part of the training, known without a clock."""
        small, least = min(SMALL, batch_size), min(LEAST, batch_size)
        return SHARE * self.steps * batch_size >= kinds * (2 * (small + least) + (ROUNDS + 1) * least)


OVERDRAWN = f"timing it would have taken more than {SHARE:.0%} of the training, or {MOST_SECONDS:g} s"


@dataclass(frozen=True)
class Timing:
    """Seconds of a step on a whole batch, by kind of work.

    Args:
        seconds: Empty where the first calls took all there was.
        compared: Whether the works were timed in turn on enough samples to say which is faster; otherwise
            the seconds are extrapolated from small parts of a batch.
    """

    seconds: dict[str, float]
    compared: bool


def time_steps(
    works: Mapping[str, Callable[[Batch], object]],
    batch: Batch,
    layout: Layout,
    ctx: RunContext,
    allowance: Allowance,
) -> Timing:
    """Time several kinds of work on a batch in turn, on as much of it as the allowance pays for.

    Random numbers that they draw are put back.

    Args:
        works: Each called with a batch on the run's device, to do what one step does.
        batch: A real one, of the training's size.
        layout: In which the works want it.
        ctx: Gives the device.
        allowance: Is looked at after every call.
    """
    size = len(batch.labels)
    parts = [min(SMALL, size), min(LEAST, size)]
    warm: dict[str, list[float]] = {name: [] for name in works}
    with torch.random.fork_rng():
        for count in parts:
            part = _part(batch, count, layout, ctx)
            for name, work in works.items():
                for _ in range(2):
                    taken = _seconds(work, part, ctx.device, allowance.clock)
                    if allowance.spent > allowance.most:
                        return Timing({}, compared=False)
                warm[name].append(taken)
        lines = {name: _line(parts, times) for name, times in warm.items()}
        rough = {name: _at(line, size) for name, line in lines.items()}
        left = allowance.left(min(rough.values()))
        affordable = [
            count
            for count in (size // 2**halved for halved in range(size.bit_length()))
            if count >= parts[1] and (ROUNDS + 1) * sum(_at(line, count) for line in lines.values()) <= left
        ]
        if not affordable:
            return Timing(rough, compared=False)
        times: dict[str, list[float]] = {name: [] for name in works}
        part = _part(batch, affordable[0], layout, ctx)
        for done in range(ROUNDS + 1):
            for name, work in works.items():
                times[name].append(_seconds(work, part, ctx.device, allowance.clock))
                if allowance.left(min(rough.values())) < 0:
                    return Timing(rough, compared=False)
            if done == 1 and _are_clear(list(times.values())):
                break
    seconds = {name: median(taken[1:]) for name, taken in times.items()}
    if affordable[0] < size:
        seconds = {name: taken * rough[name] / _at(lines[name], affordable[0]) for name, taken in seconds.items()}
    return Timing(seconds, compared=True)


def _are_clear(times: list[list[float]]) -> bool:
    """Whether several works' times are far apart, and in the same order in every round."""
    ordered = sorted(times)
    neighbours = itertools.pairwise(ordered)
    return all(
        CLEAR * mine < other for faster, slower in neighbours for mine, other in zip(faster, slower, strict=True)
    )


def seconds_of(
    work: Callable[[Batch], object], batch: Batch, layout: Layout, ctx: RunContext, allowance: Allowance
) -> float:
    """What one kind of work takes on a whole batch: always an answer, from larger and larger parts of it.

    A part is called with while calls of twice the size stay within the allowance; the last two sizes say what a
    call costs and what each sample of it does. Random numbers that it draws are put back.

    Args:
        work: Called with a batch on the run's device.
        batch: A real one, of the training's size.
        layout: In which the work wants it.
        ctx: Gives the device.
        allowance: At least two calls with the smallest part are made, whatever they take.
    """
    size = len(batch.labels)
    counts, times = [min(SMALL, size)], []
    with torch.random.fork_rng():
        _seconds(work, _part(batch, counts[0], layout, ctx), ctx.device, allowance.clock)
        while True:
            part = _part(batch, counts[-1], layout, ctx)
            taken = [_seconds(work, part, ctx.device, allowance.clock)]
            while len(taken) < ROUNDS and allowance.spent + 4 * taken[0] < allowance.most:
                taken.append(_seconds(work, part, ctx.device, allowance.clock))
            times.append(median(taken))
            if counts[-1] == size or allowance.spent + 2 * times[-1] > allowance.most:
                break
            counts.append(min(size, 2 * counts[-1]))
    if len(times) == 1:
        # What a call costs by itself isn't known: all of it is taken to be the samples'.
        return times[0] * size / counts[0]
    return _at(_line(counts[-2:], times[-2:]), size)


def _part(batch: Batch, count: int, layout: Layout, ctx: RunContext) -> Batch:
    if count < len(batch.labels):
        batch = batch.of(torch.arange(len(batch.labels)) < count)
    return layout.move(batch, ctx.device)


def _line(counts: list[int], times: list[float]) -> tuple[float, float]:
    """What a call costs, and each sample of it."""
    if counts[0] == counts[1]:
        return times[1], 0.0
    each = min(max(0.0, (times[1] - times[0]) / (counts[1] - counts[0])), times[1] / counts[1])
    return times[1] - counts[1] * each, each


def _at(line: tuple[float, float], count: int) -> float:
    return line[0] + line[1] * count


def _seconds(work: Callable[[Batch], object], batch: Batch, device: str, clock: Clock) -> float:
    _synchronize(device)
    start = clock()
    work(batch)
    _synchronize(device)
    return clock() - start


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
