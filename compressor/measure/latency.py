"""Latency of several runners, measured in turns so that a busy machine disturbs all of them alike."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from compressor.bootstrap import ratio_interval
from compressor.context import RunContext
from compressor.report import Latency
from compressor.runners import Arrays, OnnxRunner, Runner, arrays_of

WARM_UP_RUNS = 3
# For each runner; slow ones take longer, since each block runs at least once.
SECONDS = 1.25
MOST_RUNS_PER_BLOCK = 500
# On a quiet machine more of it says nothing new: it ends where, after so many blocks and runs of each, the blocks'
# medians differ by less than this share.
FEWEST_BLOCKS, ENOUGH_RUNS, STILL = 4, 300, 0.01
FASTER_CONFIDENCE = 0.95
# Of the test split, evenly spread.


@dataclass
class _Times:
    """Milliseconds of one runner's calls, a list a block."""

    blocks: list[list[float]] = field(default_factory=list)


def interleaved_latency(
    runners: Sequence[Runner],
    inputs: Sequence[Sequence[Arrays]],
    *,
    threads: int = 1,
    seconds: float | None = None,
    blocks: int = 10,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Latency]:
    """Time runners in blocks, A B then B A and so on, on the same samples.

    Every runner gets equal time, hence a fast one more runs. The first call of a
    block isn't counted: it finds the caches full of another network.

    Args:
        runners: Entered; the first is the reference.
        inputs: Per runner what it is called with in turn, at the batch size that the device will see: one
            call's inputs, or several where samples differ in length.
        threads: Torch is held to as many; ONNX Runtime's sessions are made with theirs.
        seconds: For all runners together; None for up to ``SECONDS`` each.
        blocks: How many for each runner.
        clock: Seconds.

    Returns:
        In the order of ``runners``, each with the reference's p50.
    """
    timed = [_Times() for _ in runners]
    with _quiet_machine(threads):
        share = (SECONDS if seconds is None else seconds / len(runners)) / blocks
        calls = list(zip(runners, inputs, strict=True))
        counts = [_runs_per_block(runner, own, share, clock) for runner, own in calls]
        for block in range(blocks):
            order = range(len(runners)) if block % 2 == 0 else reversed(range(len(runners)))
            for place in order:
                runner, own = calls[place]
                runner.infer(own[0])
                timed[place].blocks.append(
                    [_milliseconds(runner, own[call % len(own)], clock) for call in range(counts[place])]
                )
            if seconds is None and all(map(_stands_still, timed)):
                break
    return [
        _summary(times, runner.name, threads, len(own[0][0]), timed[0])
        for times, (runner, own) in zip(timed, calls, strict=True)
    ]


def _runs_per_block(runner: Runner, inputs: Sequence[Arrays], share: float, clock: Callable[[], float]) -> int:
    """As many as fit; each of the inputs equally often, so that all runners see the same mix of lengths."""
    first = [_milliseconds(runner, inputs[0], clock) for _ in range(WARM_UP_RUNS)]
    one = max(min(first), 1e-6) / 1000
    count = max(1, min(MOST_RUNS_PER_BLOCK, int(share / one)))
    return -(-count // len(inputs)) * len(inputs)


def _stands_still(times: _Times) -> bool:
    if len(times.blocks) < FEWEST_BLOCKS or sum(map(len, times.blocks)) < ENOUGH_RUNS:
        return False
    middle, spread = _spread(times)
    return spread <= STILL * middle


def _spread(times: _Times) -> tuple[float, float]:
    """The median of the blocks' medians, and half of where two thirds of them lie."""
    low, middle, high = np.percentile([float(np.median(block)) for block in times.blocks], [16, 50, 84])
    return float(middle), float(high - low) / 2


def timed_inputs(ctx: RunContext) -> list[Arrays]:
    """What a form is timed with: a batch as the target is called; of samples with sizes of their own several."""
    size = ctx.target.batch_size
    chosen = ctx.task.modality.timed(ctx.data, size)
    if not chosen:
        return [arrays_of(ctx.task.example_inputs(ctx.data, size))]
    return [arrays_of(ctx.task.call(ctx.data.batch("test", indices))) for indices in chosen]


def p50s(paths: Sequence[Path], ctx: RunContext, *, seconds: float | None = None, blocks: int = 10) -> list[float]:
    """Median milliseconds of ONNX files in ONNX Runtime, timed in turns, called as the target calls them."""
    threads, inputs = ctx.target.threads, timed_inputs(ctx)
    with ExitStack() as stack:
        runners = [stack.enter_context(OnnxRunner(path, threads)) for path in paths]
        own = [inputs] * len(runners)
        timed = interleaved_latency(runners, own, threads=threads, seconds=seconds, blocks=blocks)
    return [latency.p50 for latency in timed if latency.p50 is not None]


def _milliseconds(runner: Runner, inputs: Arrays, clock: Callable[[], float]) -> float:
    start = clock()
    runner.infer(inputs)
    return (clock() - start) * 1000


def _summary(times: _Times, runtime: str, threads: int, batch: int, reference: _Times) -> Latency:
    every = np.concatenate(times.blocks)
    p50, p90, p99 = (float(value) for value in np.percentile(every, [50, 90, 99]))
    low, high = _faster(reference, times)
    return Latency(
        p50=p50,
        p90=p90,
        p99=p99,
        spread=_spread(times)[1],
        runs=len(every),
        threads=threads,
        batch=batch,
        runtime=runtime,
        reference_p50=float(np.percentile(np.concatenate(reference.blocks), 50)),
        faster_low=low,
        faster_high=high,
    )


def _faster(reference: _Times, times: _Times) -> tuple[float | None, float | None]:
    """The interval of how many times faster than the reference, by the rounds in which both had a block."""
    if times is reference or len(times.blocks) < 2:
        return None, None
    return ratio_interval(reference.blocks, times.blocks, FASTER_CONFIDENCE)


@contextmanager
def _quiet_machine(threads: int) -> Iterator[None]:
    """Torch on a fixed number of threads, and no garbage collection, for the time of a measurement."""
    threads_before, collecting = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(threads)
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        if collecting:
            gc.enable()
