import gc
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pytest
import small
import small_texts
import torch
from torch import nn

from compressor.measure import interleaved_latency, latency, timed_inputs
from compressor.runners import Arrays, TorchRunner
from compressor.target import Target

INPUTS = (np.zeros((2, 3), np.float32),)


class Clock:
    """Seconds that pass only where a runner lets them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Timed:
    """A runner that takes given milliseconds, one after another and over again."""

    def __init__(self, name: str, clock: Clock, durations: list[float], log: list[str]) -> None:
        self.name, self._clock, self._durations, self._log, self._calls = name, clock, durations, log, 0

    def infer(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        self._clock.now += self._durations[self._calls % len(self._durations)] / 1000
        self._calls += 1
        self._log.append(self.name)
        return np.zeros((1, 1), np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


def test_blocks_alternate_and_their_order_is_swapped() -> None:
    clock, log = Clock(), list[str]()
    runners = [Timed("A", clock, [10.0], log), Timed("B", clock, [5.0], log)]
    interleaved_latency(runners, [[INPUTS]] * len(runners), seconds=0.12, blocks=3, clock=clock)
    # 3 warm-ups each; a share of 20 ms a block is 2 runs of A and 4 of B, after one that isn't counted.
    a, b = "A" * 3, "B" * 5
    assert "".join(log) == "AAABBB" + a + b + b + a + a + b


def test_percentiles_and_spread_by_hand() -> None:
    clock, log = Clock(), list[str]()
    # Warm-ups at 1, 1, 1 ms; then each block is one uncounted call and one counted: 9 of them, 1..9 ms.
    counted = [4.0, 1.0, 7.0, 3.0, 9.0, 2.0, 8.0, 5.0, 6.0]
    durations = [1.0, 1.0, 1.0] + [d for c in counted for d in (50.0, c)]
    (found,) = interleaved_latency(
        [Timed("A", clock, durations, log)], [[INPUTS]], seconds=0.009, blocks=9, clock=clock
    )
    assert found.p50 == pytest.approx(5.0)
    assert found.p90 == pytest.approx(8.2)  # place 0.9 * 8 = 7.2 of 1..9
    assert found.p99 == pytest.approx(8.92)
    assert found.spread == pytest.approx((1 + 8 * 0.84 - (1 + 8 * 0.16)) / 2)
    assert (found.runs, found.batch, found.threads, found.runtime) == (9, 2, 1, "A")


def test_each_gets_the_reference_p50_and_a_slow_runner_still_runs() -> None:
    clock, log = Clock(), list[str]()
    runners = [Timed("slow", clock, [3000.0], log), Timed("fast", clock, [1.0], log)]
    slow, fast = interleaved_latency(runners, [[INPUTS]] * len(runners), seconds=1.0, blocks=2, clock=clock)
    assert slow.p50 == pytest.approx(3000)
    assert fast.reference_p50 == slow.reference_p50 == slow.p50
    assert slow.runs == 2
    assert fast.runs == 2 * 250


def test_the_interval_of_how_many_times_faster_is_that_of_the_rounds() -> None:
    clock, log = Clock(), list[str]()
    runners = [Timed("A", clock, [10.0], log), Timed("B", clock, [5.0], log)]
    first, second = interleaved_latency(runners, [[INPUTS]] * 2, seconds=0.4, blocks=5, clock=clock)
    assert first.faster_low is None
    assert (second.faster_low, second.faster_high) == (pytest.approx(2.0), pytest.approx(2.0))
    # Every other round is twice as slow for both: the ratio is what it was.
    slowed = [1.0] * 3 + [1.0, 2.0] * 20
    runners = [Timed("A", clock, [10 * one for one in slowed], log), Timed("B", clock, [4.0, 6.0], log)]
    _, second = interleaved_latency(runners, [[INPUTS]] * 2, seconds=0.4, blocks=5, clock=clock)
    assert second.faster_low is not None and second.faster_high is not None and second.p50 is not None
    assert second.faster_low <= (second.reference_p50 or 0) / second.p50 <= second.faster_high


def test_a_stall_of_the_machine_does_not_move_p50() -> None:
    clock, log = Clock(), list[str]()
    (found,) = interleaved_latency(
        [Timed("A", clock, [2.0] * 19 + [400.0], log)], [[INPUTS]], seconds=0.4, blocks=10, clock=clock
    )
    assert found.p50 == pytest.approx(2.0)
    assert found.p99 is not None and found.p99 > 100


@pytest.mark.parametrize(
    ("durations", "blocks"),
    [([1.0], 4), ([1.0, 1.008], 4), ([1.0] * 129 + [1.1] * 129, 10), ([5.0], 10)],
    ids=["still", "nearly", "it moves", "too few runs"],
)
def test_it_ends_where_a_quiet_machine_says_nothing_new(
    durations: list[float], blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "SECONDS", 1.25)
    clock, log = Clock(), list[str]()
    (found,) = interleaved_latency([Timed("A", clock, durations, log)], [[INPUTS]], clock=clock)
    share = int(125 / durations[0])
    assert (found.runs, len(log)) == (blocks * share, 3 + blocks * (share + 1))


class Counting(Timed):
    """Takes as many milliseconds as its input is long."""

    def infer(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        self._durations = [float(inputs[0].shape[1])]
        return super().infer(inputs)


def test_each_of_several_inputs_is_timed_equally_often() -> None:
    clock = Clock()
    calls = [(np.zeros((2, length), np.int64),) for length in (1, 2, 6)]
    (found,) = interleaved_latency([Counting("A", clock, [], [])], [calls], seconds=0.3, blocks=2, clock=clock)
    # 150 ms a block at the first input's 1 ms are 150 calls, 50 of each length.
    assert found.runs == 300 and found.batch == 2
    assert [found.p50, found.p90, found.p99] == pytest.approx([2.0, 6.0, 6.0])


def test_a_runner_that_is_slow_sees_every_input_all_the_same() -> None:
    clock, log = Clock(), list[str]()
    calls = [(np.zeros((1, length), np.int64),) for length in (300, 500)]
    (found,) = interleaved_latency([Counting("A", clock, [], log)], [calls], seconds=0.1, blocks=3, clock=clock)
    assert found.runs == 6 and found.p50 == pytest.approx(400.0)


def test_texts_are_timed_at_their_own_lengths(tmp_path: Path) -> None:
    ctx = small_texts.text_context(tmp_path, small_texts.encoder())
    calls = timed_inputs(ctx)
    assert len(calls) == 32 and all(len(call) == 3 and len(call[0]) == 1 for call in calls)
    lengths = ctx.data.test.lengths  # type: ignore[attr-defined]
    assert [call[0].shape[1] for call in calls] == lengths.tolist()
    batched = timed_inputs(replace(ctx, target=Target(runtime="onnxruntime", batch_size=40)))
    assert {call[0].shape for call in batched} == {(32, int(lengths.max()))}
    (images,) = timed_inputs(small.small_context(tmp_path))
    assert images[0].shape == (1, 1, 8, 8)


def test_threads_and_garbage_collection_are_put_back() -> None:
    seen = []

    class Watching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((torch.get_num_threads(), gc.isenabled()))
            return x

    before = torch.get_num_threads()
    with TorchRunner(Watching()) as runner:
        interleaved_latency([runner], [[INPUTS]], threads=1, seconds=0.01, blocks=2)
    assert set(seen) == {(1, False)}
    assert (torch.get_num_threads(), gc.isenabled()) == (before, True)


@pytest.mark.latency
def test_twice_the_work_takes_longer() -> None:
    def layers(count: int) -> nn.Module:
        return nn.Sequential(*(nn.Linear(256, 256) for _ in range(count)))

    inputs = (np.ones((16, 256), np.float32),)
    with TorchRunner(layers(4)) as small, TorchRunner(layers(12)) as large, TorchRunner(layers(4)) as again:
        first, slow, same = interleaved_latency([small, large, again], [[inputs]] * 3, seconds=1.0)
    assert first.p50 and slow.p50 and same.p50
    assert slow.p50 > 1.7 * first.p50
    assert same.p50 == pytest.approx(first.p50, rel=0.25)
