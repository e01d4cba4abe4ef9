"""Ranges against numpy and against the definition, written out."""

import numpy as np
import pytest
import torch

from compressor.quantize.observers import (
    LEVELS,
    HistogramObserver,
    MinMaxObserver,
    entropy_range,
    kl_of_clipping,
    percentile_range,
)


def counted(values: torch.Tensor) -> HistogramObserver:
    observer = HistogramObserver(float(values.min()), float(values.max()))
    observer(values)
    return observer


def test_minmax_is_the_mean_of_batches() -> None:
    observer = MinMaxObserver()
    observer(torch.tensor([-1.0, 2.0]))
    observer(torch.tensor([-3.0, 8.0]))
    assert observer.mean_range() == (-2.0, 5.0)
    assert observer.full_range() == (-3.0, 8.0)


def test_histogram_counts_all_batches() -> None:
    observer = HistogramObserver(0.0, 2048.0)
    for _ in range(2):
        observer(torch.tensor([0.5, 0.6, 2047.5]))
    assert observer.counts[0] == 4
    assert observer.counts[-1] == 2
    assert observer.edges()[1] == 1.0


@pytest.mark.parametrize("percentile", [99.0, 99.9, 100.0])
def test_percentiles_leave_out_what_they_may_and_no_bin_less(percentile: float) -> None:
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(0)).numpy()
    observer = counted(torch.from_numpy(values))
    low, high = percentile_range(observer.counts, observer.edges(), percentile)
    width = observer.edges()[1] - observer.edges()[0]
    left_out = 1 - percentile / 100 + 1e-4
    assert (values < low - 1e-6).mean() <= left_out
    assert (values > high + 1e-6).mean() <= left_out
    if percentile < 100:
        assert (values < low + 1.01 * width).mean() > 1 - percentile / 100
        assert (values > high - 1.01 * width).mean() > 1 - percentile / 100


def test_percentiles_are_numpys() -> None:
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(0))
    found = percentile_range(counted(values).counts, counted(values).edges(), 99.0)
    assert found == pytest.approx(tuple(np.percentile(values.numpy(), [1.0, 99.0])), abs=0.01)


def test_percentile_keeps_the_zeros_of_a_relu() -> None:
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(0)).relu()
    observer = counted(values)
    low, high = percentile_range(observer.counts, observer.edges(), 99.9)
    assert low == 0.0
    assert 2.5 < high < float(values.max())


def kl_written_out(histogram: list[float], size: int) -> float:
    wanted = list(histogram[:size])
    wanted[-1] += sum(histogram[size:])
    spread = [0.0] * size
    for level in range(LEVELS):
        members = [i for i in range(size) if i * LEVELS // size == level and histogram[i] > 0]
        for i in members:
            spread[i] = sum(histogram[m] for m in members) / len(members)
    p = [w / sum(wanted) for w in wanted]
    q = [s / sum(spread) for s in spread]
    return sum(a * np.log(a / max(b, 1e-7)) for a, b in zip(p, q, strict=True) if a > 0)


@pytest.mark.parametrize("size", [128, 200, 256])
def test_divergence_by_definition(size: int) -> None:
    histogram = np.random.default_rng(0).poisson(3.0, 256).astype(float)
    assert kl_of_clipping(histogram, size) == pytest.approx(kl_written_out(list(histogram), size), rel=1e-9)


def test_entropy_cuts_an_outlier_and_keeps_a_flat_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    bulk = torch.randn(100_000, generator=generator).relu()
    low, high = entropy_range(*histogram_of(torch.cat([bulk, torch.tensor([60.0])])))
    assert low == 0.0
    assert 3.5 < high < 10
    flat = torch.rand(100_000, generator=generator) * 2 - 1
    low, high = entropy_range(*histogram_of(flat))
    assert low < -0.95
    assert high > 0.95


def histogram_of(values: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    observer = counted(values)
    return observer.counts, observer.edges()
