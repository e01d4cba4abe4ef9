"""No timing costs more than a twentieth of its training or 20 s, by a clock that only the timed works advance."""

from collections.abc import Callable
from pathlib import Path

import pytest
import small
import torch

from compressor.context import RunContext
from compressor.data import Batch
from compressor.training.layout import Layout
from compressor.training.probe import LEAST, Allowance, Timing, seconds_of, time_steps

BATCH = 64


class Works:
    """Kinds of work of which each call takes some seconds, and each sample of it some more."""

    def __init__(self, **costs: tuple[float, float]) -> None:
        self.costs, self.now, self.sizes = costs, 0.0, list[int]()

    def time(self, ctx: RunContext, steps: float, most: float = 20.0) -> Timing:
        def work(call: float, sample: float) -> Callable[[Batch], None]:
            def done(batch: Batch) -> None:
                self.sizes.append(len(batch.labels))
                self.now += call + sample * len(batch.labels)

            return done

        batch = next(ctx.data.training_batches(BATCH, 0, 0))
        works = {name: work(*cost) for name, cost in self.costs.items()}
        return time_steps(works, batch, Layout(False), ctx, Allowance(steps, most, clock=lambda: self.now))


def test_a_long_training_is_timed_on_whole_batches(tmp_path: Path) -> None:
    works = Works(one=(0.0, 0.001), other=(0.0, 0.002))
    timing = works.time(small.small_context(tmp_path), steps=10_000)
    assert timing.compared and timing.seconds == pytest.approx({"one": 0.064, "other": 0.128})
    assert BATCH in works.sizes


@pytest.mark.parametrize(("other", "calls"), [(0.0011, 4), (0.0014, 4), (0.0016, 2), (0.0001, 2)])
def test_what_is_clear_is_not_timed_again(tmp_path: Path, other: float, calls: int) -> None:
    works = Works(one=(0.0, 0.001), other=(0.0, other))
    assert works.time(small.small_context(tmp_path), steps=10_000).compared
    assert works.sizes.count(BATCH) == 2 * calls


@pytest.mark.parametrize("steps", [30, 100, 300, 1000, 100_000])
@pytest.mark.parametrize("cost", [(0.0, 0.001), (0.5, 0.0), (0.1, 0.02), (2.0, 0.1), (0.0, 0.5)])
def test_it_keeps_to_its_share_and_to_the_seconds(tmp_path: Path, steps: int, cost: tuple[float, float]) -> None:
    works = Works(one=cost, other=(2 * cost[0], 2 * cost[1]))
    timing = works.time(small.small_context(tmp_path), steps)
    step = cost[0] + BATCH * cost[1]
    # What a first call takes is known only when it is over.
    rough = 2 * 3 * (2 * cost[0] + (4 + LEAST) * cost[1])
    assert works.now <= max(rough, min(20.0, 0.05 * steps * step)) + 1e-9
    assert works.now <= 20 + 2 * (cost[0] + LEAST * cost[1])
    if timing.compared:
        assert timing.seconds == pytest.approx({"one": step, "other": 2 * step})


def test_what_is_too_slow_is_extrapolated_or_left(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    timing = Works(one=(0.1, 0.05)).time(ctx, steps=30)
    assert not timing.compared and timing.seconds == pytest.approx({"one": 0.1 + BATCH * 0.05})
    works = Works(one=(30.0, 0.0), other=(30.0, 0.0))
    assert works.time(ctx, steps=1e6) == Timing({}, compared=False)
    assert works.now == 30, "one call, and no second"


def test_a_short_training_is_known_to_be_short_without_a_clock() -> None:
    def clock() -> float:
        return 0.0

    assert not Allowance(20, clock=clock).covers(2, 128)
    assert Allowance(100, clock=clock).covers(2, 128)


def test_it_takes_no_chance_from_the_training(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    state = torch.get_rng_state()
    batch = next(ctx.data.training_batches(BATCH, 0, 0))
    time_steps({"draws": lambda _: torch.rand(3)}, batch, Layout(True), ctx, Allowance(10))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("cost", [(0.0, 0.001), (0.5, 0.05), (0.1, 0.02)])
def test_a_plan_always_has_an_answer(tmp_path: Path, cost: tuple[float, float]) -> None:
    now = [0.0]

    def work(batch: Batch) -> None:
        now[0] += cost[0] + cost[1] * len(batch.labels)

    ctx = small.small_context(tmp_path)
    batch = next(ctx.data.training_batches(BATCH, 0, 0))
    seconds = seconds_of(work, batch, Layout(False), ctx, Allowance(float("inf"), 4.0, clock=lambda: now[0]))
    assert seconds == pytest.approx(cost[0] + BATCH * cost[1])
    assert now[0] <= 4.0
